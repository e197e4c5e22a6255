#include "host/cpu/engine/instance.h"

namespace lacuna::cpu {

const Engine<double>& engine_f64_baseline() { return Instance<double, xsimd::neon64>::engine(); }

}  // namespace lacuna::cpu
