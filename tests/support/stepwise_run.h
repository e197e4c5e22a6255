// A whole recurrence through the pointwise kernels of kernels/recurrence/stepwise, forward and backward, with plain loops
// in place of the products and sums that a backend makes around them.
//
// Every array starts as NaN, and only what a kernel may read is filled in: inputs of tokens that do not fire, padding
// columns, rows without a token and products that no row asked for stay NaN, and show in a result if they are read.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "kernels/recurrence/stepwise/backward.h"
#include "kernels/recurrence/stepwise/forward.h"
#include "reference/layer_pass.h"
#include "reference/linear.h"
#include "support/poisoned_array.h"
#include "support/stepwise_sums.h"

namespace support {

struct StepwiseOptions {
  bool misaligned = false;       // the caller's arrays are aligned to their element, no more
  bool all_rows = false;         // every launch covers all rows, those without a token too
  int parts = 1;                 // that the depth of a step's products is cut into
  std::set<std::string> absent;  // optional arrays that are null
};

template <class T>
class StepwiseRun {
 public:
  using R = lacuna::simt::Real<T>;

  StepwiseRun(const reference::Layer& layer, const reference::Parameters& parameters,
              const reference::Batch& batch, const reference::Upstream& upstream,
              const StepwiseOptions& options = {})
      : layer_(layer),
        parameters_(parameters),
        batch_(batch),
        upstream_(upstream),
        options_(options),
        oracle_(reference::forward(layer, parameters, batch)),
        shape_(lacuna::cell_shape(static_cast<lacuna_cell>(layer.cell))) {}

  void run() {
    order_sequences();
    forward();
    backward();
  }

  // Under the oracle's names, without padding; and every array written, for comparisons of bits.
  std::map<std::string, std::vector<R>> values;
  std::map<std::string, std::vector<unsigned char>> bits;

 private:
  template <class E>
  using Array = PoisonedArray<E>;
  using Size = std::int64_t;

  static constexpr Size spare_tokens = 2;  // of arrays larger than what is used

  bool lstm() const { return shape_.has_cell; }
  bool relaxes() const { return layer_.evolve == reference::Evolve::relax; }
  bool euler() const { return layer_.cell == reference::Cell::rnn_euler; }
  bool evolve_only() const { return layer_.empty_rows == reference::EmptyRows::evolve_only; }
  bool fires(Size token) const { return reference::fires(layer_, batch_, oracle_.observed, token); }
  double gap(Size token) const { return oracle_.observed.delta_t[static_cast<std::size_t>(token)]; }
  Size length(Size b) const {
    return batch_.offsets[static_cast<std::size_t>(b + 1)] -
           batch_.offsets[static_cast<std::size_t>(b)];
  }
  Size sequence_of(Size row) const { return order_[static_cast<std::size_t>(row)]; }
  Size token(Size row, Size step) const {
    return reference::reading(layer_, batch_, sequence_of(row)).token(step);
  }
  // Rows that have a token at this step.
  Size active(Size step) const {
    Size rows = 0;
    while (rows < sequences_ && length(sequence_of(rows)) > step) ++rows;
    return rows;
  }
  Size launched(Size step) const { return options_.all_rows ? sequences_ : active(step); }
  bool wanted(const std::string& name) const { return !options_.absent.contains(name); }

  static double number(T value) { return static_cast<double>(lacuna::simt::to_real(value)); }

  void order_sequences() {
    hidden_ = layer_.hidden;
    units_ = (hidden_ + 7) / 8 * 8;
    sequences_ = batch_.sequences();
    tokens_ = batch_.tokens();
    room_ = tokens_ + spare_tokens;
    order_.resize(static_cast<std::size_t>(sequences_));
    std::iota(order_.begin(), order_.end(), 0);
    std::stable_sort(order_.begin(), order_.end(),
                     [&](std::int32_t a, std::int32_t b) { return length(a) > length(b); });
    view_ = {batch_.offsets.data(), order_.data(), sequences_, layer_.reverse};
    longest_ = sequences_ == 0 ? 0 : length(sequence_of(0));
  }

  // ---- Arrays ----

  template <class E>
  Array<E> given(const std::string& name, const std::vector<double>& content) {
    if (content.empty() || !wanted(name)) return {};
    Array<E> array(static_cast<Size>(content.size()), options_.misaligned);
    for (std::size_t at = 0; at < content.size(); ++at)
      array[static_cast<Size>(at)] = lacuna::simt::from_real<E>(static_cast<R>(content[at]));
    return array;
  }
  template <class E>
  Array<E> output(const std::string& name, bool exists, Size rows) {
    if (!exists || !wanted(name)) return {};
    return Array<E>(rows * hidden_, options_.misaligned);
  }
  template <class E>
  Array<E> internal(const std::string& name, bool exists, Size rows, Size blocks) {
    if (!exists || !wanted(name)) return {};
    return Array<E>(rows * blocks * units_);
  }

  void collect(const std::string& name, const Array<T>& array) {
    EXPECT_EQ(array.damage(), "") << name;
    if (array.data() == nullptr) return;
    bits[name] = array.bits();
    auto& to = values[name];
    for (Size at = 0; at < array.size(); ++at) to.push_back(lacuna::simt::to_real(array[at]));
  }

  // A library's array by token: padding is 0 and spare rows were left alone.
  template <class E>
  void collect_tokens(const std::string& name, const Array<E>& array) {
    if (array.data() == nullptr) return;
    const Size width = array.size() / room_;
    check_rows(name, array, tokens_, width);
    auto& to = values[name];
    for (Size row = 0; row < tokens_; ++row)
      for (Size column = 0; column < width; ++column)
        if (column % units_ < hidden_)
          to.push_back(lacuna::simt::to_real(array[row * width + column]));
  }
  // By row: rows of sequences without tokens were left alone.
  template <class E>
  void check_between_steps(const std::string& name, const Array<E>& array) {
    if (array.data() != nullptr && sequences_ > 0)
      check_rows(name, array, active(0), array.size() / sequences_);
  }
  template <class E>
  void check_rows(const std::string& name, const Array<E>& array, Size rows, Size width) {
    EXPECT_EQ(array.damage(), "") << name;
    bits[name] = array.bits();
    EXPECT_TRUE(array.is_poison(rows * width, array.size())) << name << " beyond its last row";
    for (Size at = 0; at < rows * width; ++at)
      if (at % units_ >= hidden_ && !(number_at(array, at) == 0)) {
        ADD_FAILURE() << name << "[" << at << "] is padding, and " << number_at(array, at);
        return;
      }
  }
  template <class E>
  static double number_at(const Array<E>& array, Size at) {
    return static_cast<double>(lacuna::simt::to_real(array[at]));
  }

  // Of every sequence a row of so many units.
  Array<R> step_product(Size blocks) const {
    return Array<R>(options_.parts * sequences_ * blocks * units_);
  }
  lacuna::StepProduct<R> view_of(Array<R>& product) const {
    return {product.data(), options_.parts, product.size() / options_.parts};
  }
  // Sums over its share of a depth, for each part; f(part's first number, begin, end).
  template <class F>
  void for_parts(const Array<R>& product, Size depth, F&& f) const {
    for (Size part = 0; part < options_.parts; ++part)
      f(part * (product.size() / options_.parts), depth * part / options_.parts,
        depth * (part + 1) / options_.parts);
  }
  // product[row, g] = W[gate g] operand[row]; what is padding in the weights is 0, so that padding of the operand is read.
  void multiply(const Array<T>& operand, Size rows, const std::vector<Size>& gates,
                Array<R>& product) const {
    product.poison();
    const Size blocks = static_cast<Size>(gates.size());
    for_parts(product, units_, [&](Size first, Size begin, Size end) {
      for (Size r = 0; r < rows; ++r)
        for (Size g = 0; g < blocks; ++g)
          for (Size u = 0; u < hidden_; ++u) {
            double sum = 0;
            for (Size k = begin; k < end; ++k)
              sum += number(operand[r * units_ + k]) *
                     weight_h(gates[static_cast<std::size_t>(g)], u, k);
            product[first + (r * blocks + g) * units_ + u] = static_cast<R>(sum);
          }
    });
  }
  // product[row] = sum over g of operand[row, g] W[gate g].
  void multiply_back(const Array<T>& operand, Size rows, const std::vector<Size>& gates,
                     Array<R>& product) const {
    product.poison();
    const Size depth = static_cast<Size>(gates.size()) * units_;
    for_parts(product, depth, [&](Size first, Size begin, Size end) {
      for (Size r = 0; r < rows; ++r)
        for (Size k = 0; k < hidden_; ++k) {
          double sum = 0;
          for (Size i = begin; i < end; ++i)
            sum += number(operand[r * depth + i]) *
                   weight_h(gates[static_cast<std::size_t>(i / units_)], i % units_, k);
          product[first + r * units_ + k] = static_cast<R>(sum);
        }
    });
  }
  double weight_h(Size gate, Size unit, Size k) const {
    if (unit >= hidden_ || k >= hidden_) return 0;
    return parameters_.weights_h[static_cast<std::size_t>((gate * hidden_ + unit) * hidden_ + k)];
  }
  std::vector<Size> product_gates() const {
    std::vector<Size> gates(static_cast<std::size_t>(shape_.product_gates));
    std::iota(gates.begin(), gates.end(), 0);
    return gates;
  }

  // ---- Inputs of all tokens ----

  void make_inputs() {
    const Size gates = shape_.input_gates, width = layer_.input_width();
    gx_ = Array<R>(room_ * gates * units_);
    if (evolve_only()) fires_ = Array<std::uint8_t>(room_);
    if (euler() || relaxes() || layer_.evolve == reference::Evolve::decay_step)
      gaps_ = Array<R>(room_);
    if (layer_.evolve == reference::Evolve::decay) exponent_ = Array<R>(room_ * units_);
    for (Size s = 0; s < tokens_; ++s) {
      if (gaps_.data() != nullptr) gaps_[s] = static_cast<R>(gap(s));
      if (exponent_.data() != nullptr) make_exponent(s);
      if (fires_.data() != nullptr) fires_[s] = fires(s) ? 1 : 0;
      if (!fires(s)) continue;
      for (Size row = 0; row < gates * hidden_; ++row) {
        double sum = 0;
        for (Size k = 0; k < width; ++k)
          sum += parameters_.weights_x[static_cast<std::size_t>(row * width + k)] *
                 oracle_.input[static_cast<std::size_t>(s * width + k)];
        gx_[(s * gates + row / hidden_) * units_ + row % hidden_] = static_cast<R>(sum);
      }
    }
    evolve_.kind = static_cast<lacuna_evolve>(layer_.evolve);
    evolve_.exponent = exponent_.data();
    if (layer_.evolve == reference::Evolve::decay_step)
      weight_ = given<R>("evolve_weight", parameters_.evolve_weight);
    bias_ = given<R>("evolve_bias", parameters_.evolve_bias);
    if (relaxes()) {
      std::vector<double> rates;
      for (const double lambda : parameters_.evolve_weight)
        rates.push_back(reference::softplus(lambda));
      rate_ = given<R>("rate", rates);
      target_ = given<R>("target", parameters_.s_inf);
    }
    evolve_.weight = weight_.data();
    evolve_.bias = bias_.data();
    evolve_.rate = rate_.data();
    evolve_.target = target_.data();
  }

  void make_exponent(Size s) {
    for (Size u = 0; u < hidden_; ++u) {
      double sum = 0;
      for (Size d = 0; d < layer_.features; ++d)
        sum += parameters_.evolve_weight[static_cast<std::size_t>(u * layer_.features + d)] *
               oracle_.observed.delta[static_cast<std::size_t>(s * layer_.features + d)];
      exponent_[s * units_ + u] = static_cast<R>(sum);
    }
  }

  // ---- Forward ----

  void forward() {
    make_inputs();
    auto bias = given<R>("bias", parameters_.bias);
    auto bias_hn = given<R>("bias_hn", parameters_.bias_hn);
    auto initial_hidden = given<T>("initial_hidden", batch_.initial_hidden);
    auto initial_cell = given<T>("initial_cell", batch_.initial_cell);
    Array<R> product = step_product(shape_.product_gates), state(sequences_ * units_);
    Array<T> operand(sequences_ * units_);
    auto cell_state = internal<R>("", lstm(), sequences_, 1);
    const bool reset = shape_.reset_before;
    auto reset_operand = internal<T>("", reset, sequences_, 1);
    auto update = internal<R>("", reset, sequences_, 1);
    Array<R> candidate_product = step_product(1);
    auto hidden = output<T>("hidden", true, room_);
    auto cell = output<T>("cell", lstm(), room_);
    auto evolved_hidden = output<T>("evolved_hidden", true, room_);
    auto final_hidden = output<T>("final_hidden", true, sequences_);
    auto final_cell = output<T>("final_cell", lstm(), sequences_);
    // Absent tape arrays stay null for the forward run; backward needs them.
    tape_h_ = internal<T>("tape_h", true, room_, 1);
    tape_c_ = internal<R>("tape_c", lstm(), room_, 1);
    gates_ = internal<T>("gates", true, room_, shape_.saved_gates);

    lacuna::StepForward<T> args;
    args.sequences = view_;
    args.cell = static_cast<lacuna_cell>(layer_.cell);
    args.hidden = hidden_;
    args.units = units_;
    args.gx = gx_.data();
    args.gaps = gaps_.data();
    args.fires = fires_.data();
    args.evolve = evolve_;
    args.bias = bias.data();
    args.bias_hn = bias_hn.data();
    args.initial_hidden = initial_hidden.data();
    args.initial_cell = initial_cell.data();
    args.product = view_of(product);
    args.operand = operand.data();
    args.state = state.data();
    args.cell_state = cell_state.data();
    args.reset_operand = reset_operand.data();
    args.update = update.data();
    args.candidate_product = view_of(candidate_product);
    args.hidden_out = hidden.data();
    args.cell_out = cell.data();
    args.evolved_hidden = evolved_hidden.data();
    args.final_hidden = final_hidden.data();
    args.final_cell = final_cell.data();
    args.tape_h = tape_h_.data();
    args.tape_c = tape_c_.data();
    args.gates = gates_.data();

    lacuna::begin_forward(nullptr, args);
    for (Size step = 0; step < longest_; ++step) {
      multiply(operand, active(step), product_gates(), product);
      if (reset) {
        lacuna::reset_forward(nullptr, args, step, launched(step));
        multiply(reset_operand, active(step), {2}, candidate_product);
      }
      lacuna::step_forward(nullptr, args, step, launched(step));
    }

    collect_caller_tokens("hidden", hidden);
    collect_caller_tokens("cell", cell);
    collect_caller_tokens("evolved_hidden", evolved_hidden);
    collect("final_hidden", final_hidden);
    collect("final_cell", final_cell);
    collect_tokens("tape_h", tape_h_);
    collect_tokens("tape_c", tape_c_);
    collect_tokens("gates", gates_);
    check_between_steps("operand", operand);
    check_between_steps("state", state);
    check_between_steps("cell_state", cell_state);
  }

  void collect_caller_tokens(const std::string& name, const Array<T>& array) {
    collect(name, array);
    if (array.data() == nullptr) return;
    EXPECT_TRUE(array.is_poison(tokens_ * hidden_, array.size())) << name << " of spare tokens";
    values[name].resize(static_cast<std::size_t>(tokens_ * hidden_));
  }

  // ---- Backward ----

  void backward() {
    if (tape_h_.data() == nullptr || gates_.data() == nullptr ||
        (lstm() && tape_c_.data() == nullptr))
      return;  // an inference run
    const bool reset = shape_.reset_before;
    const Size state_blocks = relaxes() && lstm() ? 2 : 1;
    auto initial_hidden = given<T>("initial_hidden", batch_.initial_hidden);
    auto d_hidden = given<T>("d_hidden_out", upstream_.d_hidden);
    auto d_cell = given<T>("d_cell_out", upstream_.d_cell);
    auto d_final_hidden = given<T>("d_final_hidden", upstream_.d_final_hidden);
    auto d_final_cell = given<T>("d_final_cell", upstream_.d_final_cell);
    Array<T> d_step(sequences_ * shape_.product_gates * units_);
    Array<R> d_product = step_product(1), d_reset = step_product(1), d_state(sequences_ * units_);
    auto d_cell_state = internal<R>("", lstm(), sequences_, 1);
    auto d_candidate = internal<T>("", reset, sequences_, 1);
    auto d_gates = internal<T>("d_gates", true, room_, shape_.gradient_gates);
    auto reset_operand = internal<T>("reset_operand", reset, room_, 1);
    auto d_euler = internal<R>("d_euler", euler(), room_, 1);
    auto d_exponent =
        internal<R>("d_exponent", layer_.evolve != reference::Evolve::none, room_, state_blocks);
    auto d_target = internal<R>("d_target", relaxes(), room_, state_blocks);
    auto d_initial_hidden = output<T>("d_initial_hidden", true, sequences_);
    auto d_initial_cell = output<T>("d_initial_cell", lstm(), sequences_);

    lacuna::StepBackward<T> args;
    args.sequences = view_;
    args.cell = static_cast<lacuna_cell>(layer_.cell);
    args.hidden = hidden_;
    args.units = units_;
    args.gaps = gaps_.data();
    args.fires = fires_.data();
    args.evolve = evolve_;
    args.initial_hidden = initial_hidden.data();
    args.tape_h = tape_h_.data();
    args.tape_c = tape_c_.data();
    args.gates = gates_.data();
    args.d_hidden_out = d_hidden.data();
    args.d_cell_out = d_cell.data();
    args.d_final_hidden = d_final_hidden.data();
    args.d_final_cell = d_final_cell.data();
    args.d_step = d_step.data();
    args.d_product = view_of(d_product);
    args.d_state = d_state.data();
    args.d_cell_state = d_cell_state.data();
    args.d_candidate = d_candidate.data();
    args.d_reset = view_of(d_reset);
    args.d_gates = d_gates.data();
    args.reset_operand = reset_operand.data();
    args.d_euler = d_euler.data();
    args.d_evolve = {d_exponent.data(), d_target.data()};
    args.d_initial_hidden = d_initial_hidden.data();
    args.d_initial_cell = d_initial_cell.data();

    for (Size step = longest_; step-- > 0;) {
      lacuna::step_backward(nullptr, args, step, launched(step));
      if (reset) {
        multiply_back(d_candidate, active(step), {2}, d_reset);
        lacuna::reset_backward(nullptr, args, step, launched(step));
      }
      multiply_back(d_step, active(step), product_gates(), d_product);
    }
    lacuna::end_backward(nullptr, args);

    collect("d_initial_hidden", d_initial_hidden);
    collect("d_initial_cell", d_initial_cell);
    collect_tokens("d_gates", d_gates);
    collect_tokens("reset_operand", reset_operand);
    collect_tokens("d_euler", d_euler);
    collect_tokens("d_exponent", d_exponent);
    collect_tokens("d_target", d_target);
    check_between_steps("d_step", d_step);
    check_between_steps("d_state", d_state);
    check_between_steps("d_cell_state", d_cell_state);
    check_between_steps("d_candidate", d_candidate);
    if (options_.absent.empty())
      StepwiseSums<R>(layer_, parameters_, batch_, oracle_, values).sum();
  }

  const reference::Layer layer_;
  const reference::Parameters& parameters_;
  const reference::Batch& batch_;
  const reference::Upstream& upstream_;
  const StepwiseOptions options_;
  const reference::Forward oracle_;  // for what comes before the recurrence: inputs, gaps, delta
  const lacuna::CellShape shape_;

  Size hidden_ = 0, units_ = 0, sequences_ = 0, tokens_ = 0, room_ = 0, longest_ = 0;
  std::vector<std::int32_t> order_;
  lacuna::SequenceView view_;
  Array<R> gx_, gaps_, exponent_, weight_, bias_, rate_, target_;
  Array<std::uint8_t> fires_;
  lacuna::EvolveView<R> evolve_;
  Array<T> tape_h_, gates_;
  Array<R> tape_c_;
};

// What a run gives and the oracle judges.
inline std::vector<std::string> stepwise_results(const reference::Layer& layer) {
  std::vector<std::string> names{"hidden",           "evolved_hidden", "final_hidden",
                                 "d_initial_hidden", "d_weights_x",    "d_weights_h",
                                 "d_bias",           "d_bias_hn",      "d_evolve_weight",
                                 "d_evolve_bias",    "d_s_inf",        "d_delta_t"};
  if (layer.has_cell_state()) names.insert(names.end(), {"cell", "final_cell", "d_initial_cell"});
  return names;
}

// Every cell with every evolve, for TestWithParam<std::tuple<const char*, const char*>>.
inline auto stepwise_models() {
  return testing::Combine(
      testing::Values("rnn_tanh", "rnn_relu", "rnn_euler", "lstm", "gru", "gru_reset_before"),
      testing::Values("none", "decay", "decay_step", "relax"));
}
inline std::string stepwise_model_name(
    const testing::TestParamInfo<std::tuple<const char*, const char*>>& info) {
  return std::string(std::get<0>(info.param)) + "_" + std::get<1>(info.param);
}

}  // namespace support
