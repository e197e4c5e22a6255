// The tested backend against the oracle, everything it writes; the CPU's on every instruction set there is.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "support/expect.h"
#include "support/library_run.h"
#include "support/norm_condition.h"
#include "support/selection.h"

namespace support {

template <class Real>
struct Expected {
  std::map<std::string, std::vector<Real>> values;
};

template <class Real>
Expected<Real> expect_from_oracle(const Case& c, const reference::BasicParameters<Real>& parameters,
                                  const reference::BasicBatch<Real>& batch,
                                  const reference::BasicUpstream<Real>& upstream) {
  const auto forward = reference::forward(c.layer, parameters, batch);
  const auto gradients = reference::backward(c.layer, parameters, batch, forward, upstream);
  Expected<Real> out;
  out.values["hidden"] = forward.hidden;
  out.values["evolved_hidden"] = forward.evolved_hidden;
  out.values["cell"] = forward.cell;
  out.values["final_hidden"] = forward.final_hidden;
  out.values["final_cell"] = forward.final_cell;
  const std::size_t k = static_cast<std::size_t>(c.layer.input_width()),
                    d = static_cast<std::size_t>(c.layer.features);
  out.values["imputed"] = {};
  for (std::size_t s = 0; s * k < forward.input.size(); ++s)
    out.values["imputed"].insert(out.values["imputed"].end(),
                                 forward.input.begin() + static_cast<std::ptrdiff_t>(s * k),
                                 forward.input.begin() + static_cast<std::ptrdiff_t>(s * k + d));
  for (const auto& [name, tensor] : reference::named_tensors(gradients.parameters))
    out.values[std::string("d_") + name] = *tensor;
  out.values["d_values"] = gradients.d_values;
  out.values["d_delta_t"] = gradients.d_delta_t;
  out.values["d_initial_hidden"] = gradients.d_initial_hidden;
  out.values["d_initial_cell"] = gradients.d_initial_cell;
  return out;
}

// The rows that are judged together: kinds that belong to one unit, feature or token.
inline std::size_t row_width(const std::string& name, const Case& c) {
  if (name == "hidden" || name == "evolved_hidden" || name == "final_hidden" ||
      name == "d_initial_hidden")
    return static_cast<std::size_t>(c.layer.output_width());
  if (name == "cell" || name == "final_cell" || name == "d_initial_cell")
    return static_cast<std::size_t>(c.layer.hidden);
  if (name == "imputed" || name == "d_values") return static_cast<std::size_t>(c.layer.features);
  return 0;
}

// By a parameter's gradient, what its sequences, each by itself, add up to: the root of their squares, for terms of either
// sign, and of that the largest in the array. Where only one element of an array is alive, it alone would say how large its
// terms were, and may be what is left of a sum in which they cancelled.
inline std::map<std::string, double> sums_of_sequences(const Case& c, const Data& all) {
  std::map<std::string, std::vector<double>> squares;
  for (std::int64_t b = 0; b < all.batch.sequences(); ++b) {
    const auto at = static_cast<std::size_t>(b);
    Selection one;
    one.add(b, all.batch.offsets[at], all.batch.offsets[at + 1]);
    const Data alone = select(all, one);
    const auto gradients = reference::backward(
        c.layer, alone.parameters, alone.batch,
        reference::forward(c.layer, alone.parameters, alone.batch), alone.upstream);
    for (const auto& [name, tensor] : reference::named_tensors(gradients.parameters)) {
      std::vector<double>& sums = squares[std::string("d_") + name];
      sums.resize(tensor->size());
      for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += (*tensor)[i] * (*tensor)[i];
    }
  }
  std::map<std::string, double> largest;
  for (const auto& [name, sums] : squares)
    if (!sums.empty()) largest[name] = std::sqrt(*std::max_element(sums.begin(), sums.end()));
  return largest;
}

// Equal, or both NaN, which here means that there has been none.
template <class Real>
Comparison compare_carry(std::span<const Real> result, const std::vector<double>& expected) {
  std::vector<Real> rounded = convert<Real>(expected);
  for (std::size_t at = 0; at < rounded.size() && at < result.size(); ++at)
    if (std::isnan(rounded[at]) && std::isnan(result[at])) rounded[at] = result[at];
  return compare_bits<Real>(result, rounded);
}

// What the oracle says of a case, in double and by its plain loops in the tested type.
template <class Real>
class Verdict {
 public:
  // `epsilon`: of the type that values and states are stored in, where that is not Real.
  Verdict(const Case& c, const reference::Parameters& parameters, const reference::Batch& batch,
          const reference::Upstream& upstream, double epsilon = 0)
      : case_(c),
        widened_(
            std::max(1.0, epsilon / static_cast<double>(std::numeric_limits<Real>::epsilon())) *
            norm_condition(c.layer, parameters, reference::forward(c.layer, parameters, batch))),
        tokens_(batch.tokens()),
        blends_(batch.noise.drawn ? 0 : 1),
        added_(sums_of_sequences(c, Data(parameters, batch, upstream))),
        expected_(expect_from_oracle<double>(c, parameters, batch, upstream)),
        plain_(expect_from_oracle<Real>(c, convert<Real>(parameters), convert<Real>(batch),
                                        convert<Real>(upstream))),
        context_(reference::observe(c.layer, batch).context) {}

  testing::AssertionResult on(const std::string& name, std::span<const Real> result) const {
    if (name == "carry_last_values")
      return agrees(name, compare_carry(result, context_.last_value));
    if (name == "carry_since") return agrees(name, compare_carry(result, context_.since));
    if (name == "carry_first_gap") return agrees(name, compare_carry(result, context_.first_gap));
    const auto found = expected_.values.find(name);
    if (found == expected_.values.end())
      return testing::AssertionFailure() << "the oracle knows no " << name;
    const auto added = added_.find(name);
    return agrees(name, compare_with_baseline<Real>(result, plain_.values.at(name), found->second,
                                                    tolerance(name), row_width(name, case_),
                                                    added == added_.end() ? 0 : added->second));
  }

 private:
  double tolerance(const std::string& name) const {
    const std::int64_t wide = case_.layer.hidden + case_.layer.input_width();
    const bool summed = name.starts_with("d_") && row_width(name, case_) == 0;
    // Dropout is an operation more of the four that round a whole state, and so is zoneout where it blends.
    const int operations = 4 + (case_.layer.recurrent_dropout_percent > 0 ? 1 : 0) + blends_;
    const double one = widened_ * operations / 4 *
                       rounding_tolerance<Real>(summed ? std::max(tokens_, wide) : wide,
                                                mixing_steps(case_.max_length()));
    // Terms of either sign add up to the square root of their number, while their errors belong to
    // their sizes.
    return summed ? one * std::sqrt(static_cast<double>(std::max<std::int64_t>(tokens_, 1))) : one;
  }

  Case case_;
  double widened_;
  std::int64_t tokens_;
  int blends_;
  std::map<std::string, double> added_;
  Expected<double> expected_;
  Expected<Real> plain_;
  reference::Context context_;
};

// Operands of 11 bits: as much as an fp16 layer loses by its own.
inline constexpr double tf32_epsilon = Fp16::epsilon;

// What a case asks for and is given: everything, or what a training step usually has to do with, neither evolved states nor
// cells of every token, for which walks on chip have code of their own (kernels/recurrence/resident/forms.h).
enum class Outputs { all, usual };
using WithOutputs = Setting<Outputs, Outputs::all>;

template <class Real, class Stored = Real>
void expect_agreement(const Case& c, std::int64_t room_for_sequences) {
  const auto parameters = make_parameters(c);
  auto batch = make_batch(c);
  auto upstream = make_upstream(c);
  const bool usual = WithOutputs::current == Outputs::usual;
  if (usual) upstream.d_cell.clear();
  double epsilon = 0;
  if constexpr (!std::is_same_v<Real, Stored>) {
    round_to<Stored>(batch, upstream);
    epsilon = Stored::epsilon;
  }
  if (InPrecision::current == LACUNA_PRECISION_TF32) epsilon = tf32_epsilon;
  const Verdict<Real> verdict(c, parameters, batch, upstream, epsilon);
  for (const lacuna_isa isa : instruction_sets()) {
    SCOPED_TRACE(to_string(c) + " isa " + std::to_string(isa));
    const auto context = make_context(1, isa);
    LibraryRun<Real, Stored> run(c, parameters, batch, upstream);
    if (usual)
      run.wanted = [](const std::string& name) {
        return name != "evolved_hidden" && name != "cell";
      };
    lacuna_capacity room = run.capacity();
    room.sequences = std::max(room.sequences, room_for_sequences);
    run.run(context.get(), room);
    for (const auto& [name, buffer] : run.results.entries()) {
      EXPECT_TRUE(guards_are_whole(name, *buffer));
      EXPECT_TRUE(verdict.on(name, buffer->span()));
    }
  }
}

// `room_for_sequences`: of the plan, where that is more than the case has. How sums are split
// depends on it.
inline void expect_agreement(const Case& c, std::int64_t room_for_sequences = 0) {
  switch (c.type) {
    case Type::f64: return expect_agreement<double>(c, room_for_sequences);
    case Type::f32: return expect_agreement<float>(c, room_for_sequences);
    case Type::f16: return expect_agreement<float, Fp16>(c, room_for_sequences);
    case Type::bf16: return expect_agreement<float, Bf16>(c, room_for_sequences);
  }
}
inline void expect_agreement(const std::string& text, std::int64_t room_for_sequences = 0) {
  expect_agreement(parse_case(text), room_for_sequences);
}

}  // namespace support
