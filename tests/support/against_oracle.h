// The tested backend against the oracle, everything it writes; the CPU's on every instruction set there is.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "reference/cell.h"
#include "support/expect.h"
#include "support/library_run.h"
#include "support/rounded_loops.h"
#include "support/selection.h"

namespace support {

template <class Real>
struct Expected {
  std::map<std::string, std::vector<Real>> values;
};

// A relu's gradient jumps where its argument is 0, and rounding may put that on either side: gradients are those of the sides
// that a result took, as its states show them. That these are right but for rounding is what states are judged by.
template <class Real>
void take_sides(const Case& c, std::span<const Real> hidden,
                reference::BasicForward<Real>& forward) {
  if (c.layer.cell != reference::Cell::rnn_relu || hidden.size() != forward.hidden.size()) return;
  const auto H = static_cast<std::size_t>(c.layer.hidden);
  const auto kept = static_cast<std::size_t>(reference::kept_width(c.layer));
  for (std::size_t at = 0; at < hidden.size(); ++at)
    forward.kept[at / H * kept + at % H] = hidden[at] > 0 ? Real(1) : Real(0);
}

// `sides`: states whose sides a relu's gradients take; empty: the oracle's own.
template <class Real>
Expected<Real> expect_from_oracle(const Case& c, const reference::BasicParameters<Real>& parameters,
                                  const reference::BasicBatch<Real>& batch,
                                  const reference::BasicUpstream<Real>& upstream,
                                  std::span<const Real> sides = {}, const Rounding& rounding = {}) {
  const RoundLoops rounded(rounding);
  const auto weights = rounded_weights(rounding, parameters);
  auto forward = reference::forward(c.layer, weights, batch);
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
  round_tape(rounding, forward);
  take_sides(c, sides, forward);
  const auto gradients = reference::backward(c.layer, weights, batch, forward, upstream);
  out.values["d_values"] = gradients.d_values;
  out.values["d_initial_hidden"] = gradients.d_initial_hidden;
  out.values["d_initial_cell"] = gradients.d_initial_cell;
  if (rounding.stored)
    for (auto& [name, values] : out.values) round_all(rounding, values);
  out.values["d_delta_t"] = gradients.d_delta_t;
  for (const auto& [name, tensor] : reference::named_tensors(gradients.parameters))
    out.values[std::string("d_") + name] = *tensor;
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

// What the oracle says of a case, in double and by its plain loops with the tested type's roundings.
template <class Real>
class Verdict {
 public:
  // `rounding`: what is rounded beside Real's arithmetic.
  Verdict(const Case& c, const reference::Parameters& parameters, const reference::Batch& batch,
          const reference::Upstream& upstream, const Rounding& rounding = {})
      : case_(c),
        data_(parameters, batch, upstream),
        rounding_(rounding),
        added_(rounding ? std::map<std::string, double>() : sums_of_sequences(c, data_)),
        context_(reference::observe(c.layer, batch).context) {
    look({});
  }

  // Of a result's states, before its gradients are judged.
  void take_sides_of(std::span<const Real> hidden) {
    if (case_.layer.cell == reference::Cell::rnn_relu) look(hidden);
  }

  testing::AssertionResult on(const std::string& name, std::span<const Real> result) const {
    if (name == "carry_last_values")
      return agrees(name, compare_carry(result, context_.last_value));
    if (name == "carry_since") return agrees(name, compare_carry(result, context_.since));
    if (name == "carry_first_gap") return agrees(name, compare_carry(result, context_.first_gap));
    const auto found = expected_.values.find(name);
    if (found == expected_.values.end())
      return testing::AssertionFailure() << "the oracle knows no " << name;
    std::vector<std::span<const Real>> plain;
    for (const Expected<Real>& loops : plain_) plain.push_back(loops.values.at(name));
    const auto added = added_.find(name);
    // Twice what the loops lose; of drawn roundings 2.5 times that, for other orders of sums and tensor cores that cut off.
    const Comparison comparison = compare_with_baselines<Real>(
        result, plain, found->second, tolerance(name), row_width(name, case_),
        added == added_.end() ? 0 : added->second, rounding_ || case_.layer.layer_norm ? 5 : 2);
    note(name, comparison);
    return agrees(name, comparison);
  }

 private:
  void look(std::span<const Real> sides) {
    const std::vector<double> in_double(sides.begin(), sides.end());
    expected_ =
        expect_from_oracle<double>(case_, data_.parameters, data_.batch, data_.upstream, in_double);
    const auto weights = convert<Real>(data_.parameters);
    const auto batch = convert<Real>(data_.batch);
    const auto upstream = convert<Real>(data_.upstream);
    const auto loops = [&](const Rounding& rounding) {
      plain_.push_back(expect_from_oracle<Real>(case_, weights, batch, upstream, sides, rounding));
    };
    plain_.clear();
    loops(rounding_);
    // A norm multiplies what sums in Real's own precision lose, too: a product's and the norm's over it.
    Rounding lost = rounding_;
    if (!lost && case_.layer.layer_norm)
      lost = rounding_of_sums(rounding_tolerance<Real>(wide(), 1) / 2);
    if (!lost) return;
    drawn.random = Random(1);
    for (int draws = 0; draws < 4; ++draws) loops(draw(lost));
  }

  std::int64_t wide() const { return case_.layer.hidden + case_.layer.input_width(); }

  double tolerance(const std::string& name) const {
    const std::int64_t tokens = data_.batch.tokens(), mixing = mixing_steps(case_.max_length());
    const bool summed = name.starts_with("d_") && row_width(name, case_) == 0;
    // Dropout is an operation more of the four that round a whole state, and so is zoneout where it blends.
    const int operations =
        4 + (case_.layer.recurrent_dropout_percent > 0 ? 1 : 0) + (data_.batch.noise.drawn ? 0 : 1);
    double real = rounding_tolerance<Real>(summed ? std::max(tokens, wide()) : wide(), mixing);
    // Terms of either sign add up to the square root of their number, while their errors belong to
    // their sizes.
    if (summed) real *= std::sqrt(static_cast<double>(std::max<std::int64_t>(tokens, 1)));
    return operations / 4.0 * (real + stored_tolerance(rounding_.unit, mixing));
  }

  // For docs/numerics.md: how near errors come to what is allowed, and that to what is expected.
  void note(const std::string& name, const Comparison& comparison) const {
    const char* const path = std::getenv("LACUNA_TEST_RATIOS");
    if (path == nullptr) return;
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path, "a"), std::fclose);
    if (!file) return;
    std::fprintf(file.get(), "%s %s %.3g %.3g %s %d\n",
                 rounding_                      ? rounding_.name
                 : std::is_same_v<Real, double> ? "fp64"
                                                : "fp32",
                 name.c_str(), comparison.worst_ratio, comparison.blindness,
                 to_string(case_).c_str(), static_cast<int>(InRegime::current));
  }

  Case case_;
  Data data_;
  Rounding rounding_;
  std::map<std::string, double> added_;  // where plain loops do not draw what is lost
  Expected<double> expected_;
  std::vector<Expected<Real>> plain_;  // as rounded, and of roundings that might have been
  reference::Context context_;
};

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
  Rounding rounding;
  if constexpr (!std::is_same_v<Real, Stored>) {
    round_to<Stored>(batch, upstream);
    rounding = rounding_of<Stored>();
  }
  if (InPrecision::current == LACUNA_PRECISION_TF32) rounding = rounding_of_tf32();
  Verdict<Real> verdict(c, parameters, batch, upstream, rounding);
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
    verdict.take_sides_of(run.results.find("hidden")->span());
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
