#include "host/cpu/engine/instance.h"

namespace lacuna::cpu {

const Engine<float>& engine_f32_avx512() { return Instance<float, xsimd::avx512bw>::engine(); }

}  // namespace lacuna::cpu
