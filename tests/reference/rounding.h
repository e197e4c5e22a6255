// Where the oracle's loops may be asked to round, to learn what that costs; the oracle itself does not.
// See support/rounded_loops.h.
#pragma once

#include <vector>

namespace reference {

struct RoundedLoops {
  double (*operand)(double) = nullptr;          // of a vector that a product reads, or its norm
  double (*between)(double, double) = nullptr;  // an input less x_mean, both as a tape has them
};
inline thread_local RoundedLoops rounded_loops;

template <class Real>
std::vector<Real> operands(const Real* in, int count) {
  std::vector<Real> read(in, in + count);
  if (rounded_loops.operand != nullptr)
    for (Real& x : read) x = static_cast<Real>(rounded_loops.operand(static_cast<double>(x)));
  return read;
}

// gamma (last - mean), the input less the mean.
template <class Real>
Real decayed(Real gamma, Real last, Real mean) {
  if (rounded_loops.between == nullptr) return gamma * (last - mean);
  return static_cast<Real>(rounded_loops.between(
      static_cast<double>(gamma * last + (1 - gamma) * mean), static_cast<double>(mean)));
}

}  // namespace reference
