#include "host/cpu/engine/instance.h"

namespace lacuna::cpu {

const Engine<double>& engine_f64_avx512() { return Instance<double, xsimd::avx512bw>::engine(); }

}  // namespace lacuna::cpu
