// A conformance case: a kernel over a few wrappers of kernels/simt whose results must be the same
// bits from the device path and from the host path. Compiled once by nvcc and once by the C++
// compiler; both end in one program, on the two sides of SIMT_PATH.
#pragma once
#include "kernels/simt/simt.h"

namespace lacuna::conformance {

using Word = std::uint32_t;

// What every case is given, in global memory. `out` is all ones and `scratch` zero before a run.
struct Buffers {
  const Word* in;  // [input_words], the same on both sides, aligned to 256 bytes
  Word* out;       // [the case's out_words]
  Word* scratch;   // [scratch_words]
};
inline constexpr unsigned input_words = 4096, scratch_words = 4096;

inline namespace SIMT_PATH {

struct Case {
  const char* name;
  unsigned out_words;
  bool needs_clusters;  // sm_90 and newer
  void (*run)(const Buffers&, simt::Stream);
};

}  // namespace SIMT_PATH
}  // namespace lacuna::conformance
