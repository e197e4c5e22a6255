#include "host/cpu/engine/instance.h"

namespace lacuna::cpu {

const Engine<double>& engine_f64_baseline() { return Instance<double, xsimd::sse2>::engine(); }

}  // namespace lacuna::cpu
