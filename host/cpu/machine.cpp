#include "host/cpu/machine.h"

#include <algorithm>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif

namespace lacuna::cpu {

lacuna_isa detect_isa() {
#if defined(__x86_64__) && !LACUNA_BASELINE_ONLY
  // The builtin asks the operating system too: registers that it does not save must not be used.
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  if (avx512) return LACUNA_ISA_AVX512;
  if (avx2) return LACUNA_ISA_AVX2;
#endif
  return LACUNA_ISA_BASELINE;
}

int usable_cores() {
#if defined(__linux__)
  // hardware_concurrency() counts the machine's cores, whatever this process may use of them.
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) return std::max(1, CPU_COUNT(&cores));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace lacuna::cpu
