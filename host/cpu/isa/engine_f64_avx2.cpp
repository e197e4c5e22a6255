#include "host/cpu/engine/instance.h"

namespace lacuna::cpu {

const Engine<double>& engine_f64_avx2() {
  return Instance<double, xsimd::fma3<xsimd::avx2>>::engine();
}

}  // namespace lacuna::cpu
