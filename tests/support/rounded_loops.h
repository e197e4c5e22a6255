// What a layer of fp16, bf16 or tf32 rounds beside its fp32 arithmetic: its unit, and the oracle's loops with these roundings.
//
// Operands of products are rounded to the type, weights and vectors; of types that are stored, what a tape keeps and every
// stored result too. Gates, sums and states on their way from token to token are fp32. How far an imputed value had decayed
// is what the tape's input differs from the mean by.
#pragma once

#include <cmath>
#include <type_traits>
#include <utility>
#include <vector>

#include "reference/layer_pass.h"
#include "reference/rounding.h"
#include "support/convert.h"
#include "support/random.h"

namespace support {

// Of roundings that might have been: random relative errors of at most the unit.
struct Drawn {
  Random random{1};
  double unit = 0;
};
inline thread_local Drawn drawn;

struct Rounding {
  const char* name = "";                        // of the type
  double (*to)(double) = nullptr;               // null: none
  double unit = 0;                              // the largest relative error of `to`
  bool stored = false;                          // states, values and their gradients are kept so
  double (*between)(double, double) = nullptr;  // two stored numbers' difference

  explicit operator bool() const { return to != nullptr; }
  double operator()(double value) const { return to == nullptr ? value : to(value); }
};

template <class Stored>
double round_as(double value) {
  return Stored::widen(Stored::round(value));
}

template <class Stored>
Rounding rounding_of() {
  return {std::is_same_v<Stored, Fp16> ? "fp16" : "bf16", round_as<Stored>, Stored::epsilon / 2,
          true, [](double a, double b) { return round_as<Stored>(a) - round_as<Stored>(b); }};
}

// 11 bits of operands whose range is fp32's.
inline Rounding rounding_of_tf32() {
  const auto round = [](double value) {
    if (value == 0 || !std::isfinite(value)) return value;
    const int exponent = std::ilogb(value) - 10;
    return std::ldexp(std::nearbyint(std::ldexp(value, -exponent)), exponent);
  };
  return {"tf32", round, 0x1p-11, false, nullptr};
}

inline double with_drawn_error(double value) {
  return value * (1 + drawn.unit * drawn.random.uniform(-1, 1));
}

// On a grid that is drawn for both, so that numbers that are alike differ by nothing.
template <class Stored>
double between_drawn(double a, double b) {
  const double grid = drawn.random.uniform(1, 2);
  return (round_as<Stored>(a * grid) - round_as<Stored>(b * grid)) / grid;
}

// The next of what might have been instead.
inline Rounding draw(const Rounding& of) {
  drawn.unit = of.unit;
  Rounding next = of;
  next.to = with_drawn_error;
  if (of.stored)
    next.between = of.unit == rounding_of<Fp16>().unit ? between_drawn<Fp16> : between_drawn<Bf16>;
  return next;
}

// None but what a sum loses by its own precision, as if its operands had lost it.
inline Rounding rounding_of_sums(double loss) {
  return {"", [](double value) { return value; }, loss, false, nullptr};
}

// While it lives, the oracle's loops round so.
class RoundLoops {
 public:
  explicit RoundLoops(const Rounding& rounding)
      : before_(std::exchange(reference::rounded_loops, {rounding.to, rounding.between})) {}
  ~RoundLoops() { reference::rounded_loops = before_; }
  RoundLoops(const RoundLoops&) = delete;
  RoundLoops& operator=(const RoundLoops&) = delete;

 private:
  reference::RoundedLoops before_;
};

template <class Real>
void round_all(const Rounding& rounding, std::vector<Real>& values) {
  if (!rounding) return;
  for (Real& value : values) value = static_cast<Real>(rounding(static_cast<double>(value)));
}

// As products read them.
template <class Real>
reference::BasicParameters<Real> rounded_weights(const Rounding& rounding,
                                                 reference::BasicParameters<Real> parameters) {
  for (auto* weights : {&parameters.weights_x, &parameters.weights_h, &parameters.projection})
    round_all(rounding, *weights);
  return parameters;
}

// As a backward run reads it.
template <class Real>
void round_tape(const Rounding& rounding, reference::BasicForward<Real>& forward) {
  if (!rounding.stored) return;
  for (auto* kept :
       {&forward.input, &forward.state, &forward.evolved, &forward.updated, &forward.kept})
    round_all(rounding, *kept);
}

}  // namespace support
