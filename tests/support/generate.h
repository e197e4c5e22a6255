// Turns a case into the data it names. Every number is rounded to the tested type, so that the
// oracle and the tested code read the same inputs.
#pragma once

#include <vector>

#include "reference/batch.h"
#include "reference/layer_pass.h"
#include "reference/parameters.h"
#include "support/case.h"

namespace support {

// Weights are uniform in +-1/sqrt(H), so that a perturbation of the state dies out: their spectral
// radius is about 0.58. rnn_euler, which would add perturbations up for ever, gets a W_h that
// pulls the state back. Decays avoid their clamp's kink, where float and double may part: every
// w*delta + b stays at least 2^-18 away from zero, and is exact where it is small.
reference::Parameters make_parameters(const Case& c);

// Gaps are multiples of 2^-6 with many zeros and a few long ones (rnn_euler: of 2^-10, none long),
// so that sums of them are exact in float too; time stamps begin at 1.7e9, which is too large for float. About a
// quarter of the missing values stand in rows where all are missing. An unmeasured value is NaN
// where the mask is taken from NaN, and NaN, infinity and minus infinity in turn otherwise. The
// last sequence has the shortest length of the case, the one before it the longest. Noise, where the layer draws any, is
// that of a run with a tape.
reference::Batch make_batch(const Case& c);

// A gradient for every output, at every token and at the end.
reference::Upstream make_upstream(const Case& c);

}  // namespace support
