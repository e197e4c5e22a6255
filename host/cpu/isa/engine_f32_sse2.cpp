#include "host/cpu/engine/instance.h"

namespace lacuna::cpu {

const Engine<float>& engine_f32_baseline() { return Instance<float, xsimd::sse2>::engine(); }

}  // namespace lacuna::cpu
