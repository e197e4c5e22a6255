#include "host/cpu/engine/instance.h"

namespace lacuna::cpu {

const Engine<float>& engine_f32_avx2() {
  return Instance<float, xsimd::fma3<xsimd::avx2>>::engine();
}

}  // namespace lacuna::cpu
