// What objects that nvcc made call before main(), and through every <<<>>>.
#include "ptx/runtime_kernels.h"

#include <fatbinary_section.h>

#include <cstring>
#include <map>

namespace lacuna::ptx {
namespace {

std::map<const void*, HostKernel>& host_kernels() {
  static auto* const all = new std::map<const void*, HostKernel>;
  return *all;
}

struct Configuration {
  dim3 grid, block;
  std::size_t shared_bytes;
  cudaStream_t stream;
};
thread_local std::vector<Configuration> configurations;

}  // namespace

std::string_view find_ptx(const void* fat_binary) {
  // The container begins so; what lies in it is told apart by its own first words.
  struct Header {
    std::uint32_t magic;
    std::uint16_t version, header_bytes;
    std::uint64_t bytes;
  } header;
  std::memcpy(&header, fat_binary, sizeof header);
  if (header.magic != 0xba55ed50u) return {};
  const std::string_view all(static_cast<const char*>(fat_binary) + header.header_bytes,
                             header.bytes);
  const std::size_t begin = all.rfind(".version ");
  if (begin == std::string_view::npos) return {};
  const std::size_t end = all.find('\0', begin);
  return all.substr(begin, end == std::string_view::npos ? end : end - begin);
}

HostKernel& host_kernel(const void* stub) {
  const auto found = host_kernels().find(stub);
  if (found == host_kernels().end())
    throw Refusal{cudaErrorInvalidDeviceFunction, "no kernel is registered at this address"};
  HostKernel& kernel = found->second;
  if (kernel.kernel != nullptr) return kernel;
  Program& program = *kernel.program;
  if (program.text.empty())
    throw Refusal{cudaErrorInvalidPtx, "no PTX for " + kernel.name +
                                           ": its source has to be compiled with --no-compress"};
  try {
    if (!program.module) program.module = parse(program.text, "PTX");
    kernel.kernel = find(*program.module, kernel.name);
  } catch (const Fault& fault) {
    throw Refusal{cudaErrorInvalidPtx, fault.what()};
  }
  if (kernel.kernel == nullptr)
    throw Refusal{cudaErrorInvalidDeviceFunction, "the PTX has no kernel " + kernel.name};
  return kernel;
}

}  // namespace lacuna::ptx

using namespace lacuna::ptx;

extern "C" {

// The compiler's own interface, declared in no header that a host compiler may read.
void** __cudaRegisterFatBinary(void* wrapper) {
  const auto& binary = *static_cast<const __fatBinC_Wrapper_t*>(wrapper);
  return reinterpret_cast<void**>(
      new Program{find_ptx(binary.data)});  // lives as long as the program
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}

void __cudaRegisterFunction(void** program, const char* stub, char*, const char* name, int, uint3*,
                            uint3*, dim3*, dim3*, int*) {
  host_kernels()[stub] = {reinterpret_cast<Program*>(program), name};
}

// Variables are the module's own; nothing here copies to symbols.
void __cudaRegisterVar(void**, char*, char*, const char*, int, std::size_t, int, int) {}

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, std::size_t shared_bytes,
                                     CUstream_st* stream) {
  configurations.push_back({grid, block, shared_bytes, stream});
  return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, std::size_t* shared_bytes,
                                       void* stream) {
  if (configurations.empty()) return cudaErrorInvalidConfiguration;
  const Configuration last = configurations.back();
  configurations.pop_back();
  *grid = last.grid;
  *block = last.block;
  *shared_bytes = last.shared_bytes;
  *static_cast<cudaStream_t*>(stream) = last.stream;
  return cudaSuccess;
}

// A kernel's handle is the address of its stub.
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* stub) {
  *kernel = reinterpret_cast<cudaKernel_t>(const_cast<void*>(stub));
  return cudaSuccess;
}

cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments,
                               std::size_t shared_bytes, cudaStream_t stream) {
  return cudaLaunchKernel(reinterpret_cast<const void*>(kernel), grid, block, arguments,
                          shared_bytes, stream);
}

}  // extern "C"
