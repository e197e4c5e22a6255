// Zoneout and recurrent dropout of one sequence. Only the generator is the library's, which its authors' numbers vouch for;
// which of its numbers is whose is written down in docs/equations.md, and again here.
#pragma once

#include <vector>

#include "reference/batch.h"
#include "reference/layer.h"

namespace reference {

// [S] What of a state, h and then c, stays as it was evolved: 0 or 1 where it is drawn, else the probability.
// `step`: how many of the sequence's tokens have been read.
std::vector<double> zoned_share(const Layer& layer, const Noise& noise, std::int64_t sequence,
                                std::int64_t step);

// [R] What W_h reads of h: 0 or 1/(1-p) where it is drawn, else 1.
std::vector<double> operand_factors(const Layer& layer, const Noise& noise, std::int64_t sequence);

}  // namespace reference
