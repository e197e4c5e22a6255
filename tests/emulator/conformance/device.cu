// The conformance program: runs every case on the GPU and compares with the emulator, bit by bit.
// Exit code 0: all equal; 1: some differ; 77: no GPU.
#include <cstdio>
#include <vector>

#include "emulator/conformance/cases.h"
#include "emulator/conformance/emulated.h"

namespace {

using lacuna::conformance::Word;

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(status));
  std::exit(1);
}

struct DeviceWords {
  Word* data = nullptr;
  explicit DeviceWords(std::size_t count) {
    check(cudaMalloc(&data, count * sizeof(Word)), "cudaMalloc");
  }
  ~DeviceWords() { cudaFree(data); }
  DeviceWords(const DeviceWords&) = delete;
  DeviceWords& operator=(const DeviceWords&) = delete;
};

std::vector<Word> device_results(const lacuna::conformance::Case& one) {
  using namespace lacuna::conformance;
  const DeviceWords in(input_words), out(one.out_words), scratch(scratch_words);
  const auto data = input_data();
  check(cudaMemcpy(in.data, data.data(), data.size() * sizeof(Word), cudaMemcpyDefault), "input");
  check(cudaMemset(out.data, 0xff, one.out_words * sizeof(Word)), "output");
  check(cudaMemset(scratch.data, 0, scratch_words * sizeof(Word)), "scratch");
  one.run({in.data, out.data, scratch.data}, nullptr);
  check(cudaDeviceSynchronize(), one.name);
  std::vector<Word> results(one.out_words);
  check(cudaMemcpy(results.data(), out.data, results.size() * sizeof(Word), cudaMemcpyDefault),
        "results");
  return results;
}

}  // namespace

int main() {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::puts("no CUDA device: nothing compared");
    return 77;
  }
  cudaDeviceProp device;
  check(cudaGetDeviceProperties(&device, 0), "device");
  std::printf("%s, sm_%d%d\n", device.name, device.major, device.minor);
  int differing_cases = 0;
  std::size_t index = 0;
  for (const auto& one : lacuna::conformance::all_cases) {
    const std::size_t own = index++;
    if (one.needs_clusters && device.major < 9) {
      std::printf("  %-34s not on this device\n", one.name);
      continue;
    }
    const auto got = device_results(one), want = lacuna::conformance::emulated_results(own);
    std::size_t differing = 0, first = 0;
    for (std::size_t i = 0; i < want.size(); ++i)
      if (got[i] != want[i] && differing++ == 0) first = i;
    if (differing == 0) {
      std::printf("  %-34s equal, %zu words\n", one.name, want.size());
    } else {
      std::printf("  %-34s DIFFERS in %zu of %zu words, first [%zu]: device %08x, host %08x\n",
                  one.name, differing, want.size(), first, got[first], want[first]);
      ++differing_cases;
    }
  }
  return differing_cases > 0;
}
