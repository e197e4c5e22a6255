// How much of the loss's gradient reaches back how far: where it vanishes, and where it explodes
// (Bengio, Simard and Frasconi 1994).
#pragma once

#include <vector>

#include "examples/long_sequence/model.h"

namespace long_sequence {

// Entry i: the norm of dL/dh after the token that lies i tokens before the end, over the units of all
// layers together, as the geometric mean over the batch's sequences; as far back as the shortest of them
// reaches. 0 where it is 0 in any sequence. Computed in double: what has vanished is soon too small for
// a float.
std::vector<double> gradient_flow(const lacuna::Context& context, const Model& model,
                                  const Sequences& batch);

}  // namespace long_sequence
