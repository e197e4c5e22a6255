// What objects that nvcc made call before main(), and through every <<<>>>.
#include "ptx/runtime_kernels.h"

#include <fatbinary_section.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace lacuna::ptx {
namespace {

struct Registered {
  Program* program;
  std::string name;                   // mangled
  std::map<int, HostKernel> on = {};  // each device that has asked for it
};

std::map<const void*, Registered>& registered() {
  static auto* const all = new std::map<const void*, Registered>;
  return *all;
}

struct Configuration {
  dim3 grid, block;
  std::size_t shared_bytes;
  cudaStream_t stream;
};
thread_local std::vector<Configuration> configurations;

}  // namespace

std::vector<std::string_view> find_ptx(const void* fat_binary) {
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
  std::vector<std::string_view> texts;
  for (std::size_t begin = all.find(".version "); begin != std::string_view::npos;) {
    const std::size_t end = std::min(all.find('\0', begin), all.size());
    texts.push_back(all.substr(begin, end - begin));
    begin = all.find(".version ", end);
  }
  return texts;
}

std::string_view choose_ptx(const std::vector<std::string_view>& texts, int capability) {
  constexpr std::string_view target = ".target sm_";
  std::string_view chosen;
  int newest = 0;
  for (const std::string_view text : texts) {
    const std::size_t at = text.find(target);
    if (at == std::string_view::npos) continue;
    const int needed = std::atoi(text.data() + at + target.size());
    if (needed > capability || needed < newest) continue;
    newest = needed;
    chosen = text;
  }
  return chosen;
}

HostKernel& host_kernel(const void* stub) {
  const auto found = registered().find(stub);
  if (found == registered().end())
    throw Refusal{cudaErrorInvalidDeviceFunction, "no kernel is registered at this address"};
  auto& [program, name, on] = found->second;
  const int device = Runtime::device();
  if (const auto known = on.find(device); known != on.end()) return known->second;
  if (program->texts.empty())
    throw Refusal{cudaErrorInvalidPtx,
                  "no PTX for " + name + ": its source has to be compiled with --no-compress"};
  const int capability = Runtime::chip().capability;
  const std::string_view text = choose_ptx(program->texts, capability);
  if (text.empty())
    throw Refusal{cudaErrorNoKernelImageForDevice,
                  "no PTX for " + name + " that runs on sm_" + std::to_string(capability)};
  try {
    std::shared_ptr<Module>& module = program->modules[device];
    if (!module) module = parse(text, "PTX");
    const Kernel* const kernel = find(*module, name);
    if (kernel == nullptr)
      throw Refusal{cudaErrorInvalidDeviceFunction, "the PTX has no kernel " + name};
    return on.insert({device, {name, kernel}}).first->second;
  } catch (const Fault& fault) {
    throw Refusal{cudaErrorInvalidPtx, fault.what()};
  }
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
  registered()[stub] = {reinterpret_cast<Program*>(program), name};
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
