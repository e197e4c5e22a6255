// main() of the tests that run on a GPU. Without one they end with 77, which ctest takes for skipped.
//
//   lacuna_device_tests [SOURCE | --sources] [--gtest_...]
//
// One program holds them all, since each carries the whole library with all its kernels. SOURCE: only the cases of
// tests/SOURCE_test.cpp. --sources: the names of these, one a line.
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <string_view>

namespace {

// tests/noise_test.cpp: noise
std::string source_of(const testing::TestSuite& suite) {
  std::string_view file = suite.GetTestInfo(0)->file();
  file.remove_prefix(file.find_last_of('/') + 1);
  return std::string(file.substr(0, file.rfind("_test.cpp")));
}

// Names of suites by the source that they stand in.
std::multimap<std::string, std::string> suites() {
  std::multimap<std::string, std::string> found;
  const testing::UnitTest& all = *testing::UnitTest::GetInstance();
  for (int index = 0; index < all.total_test_suite_count(); ++index) {
    const testing::TestSuite& suite = *all.GetTestSuite(index);
    if (suite.total_test_count() > 0) found.emplace(source_of(suite), suite.name());
  }
  return found;
}

// Leaves all other sources out, whatever --gtest_filter asks for. False: there is no such source.
bool keep_only(const std::string& source) {
  const auto found = suites();
  if (!found.contains(source)) return false;
  std::string& filter = testing::GTEST_FLAG(filter);
  for (const auto& [other, suite] : found) {
    if (other == source) continue;
    filter += (filter.find('-') == std::string::npos ? '-' : ':') + suite + ".*";
  }
  return true;
}

}  // namespace

int main(int count, char** arguments) {
  testing::InitGoogleTest(&count, arguments);
  if (count > 1 && std::string_view(arguments[1]) == "--sources") {
    std::string last;
    for (const auto& [source, suite] : suites())
      if (source != last) std::puts((last = source).c_str());
    return 0;
  }
  if (count > 2 || (count == 2 && !keep_only(arguments[1]))) {
    std::printf("%s: no such source, see --sources\n", arguments[count - 1]);
    return 1;
  }
  int devices = 0;
  const cudaError_t status = cudaGetDeviceCount(&devices);
  const bool none = status != cudaSuccess || devices == 0;
  if (none && !testing::GTEST_FLAG(list_tests)) {
    std::printf("skipped: %s\n", status == cudaSuccess ? "no GPU" : cudaGetErrorString(status));
    return 77;
  }
  cudaDeviceProp device{};
  int runtime = 0, driver = 0;
  if (!none && cudaGetDeviceProperties(&device, 0) == cudaSuccess &&
      cudaRuntimeGetVersion(&runtime) == cudaSuccess &&
      cudaDriverGetVersion(&driver) == cudaSuccess)
    std::printf("on %s, sm_%d%d, CUDA runtime %d.%d, driver's CUDA %d.%d\n", device.name,
                device.major, device.minor, runtime / 1000, runtime % 1000 / 10, driver / 1000,
                driver % 1000 / 10);
  return RUN_ALL_TESTS();
}
