// What a backend sums over all tokens once the stepwise kernels have run: gradients of the parameters and of elapsed time,
// by plain loops over what the kernels wrote.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "kernels/recurrence/cell_steps.h"
#include "reference/layer_pass.h"
#include "reference/linear.h"

namespace support {

template <class R>
class StepwiseSums {
 public:
  using Values = std::map<std::string, std::vector<R>>;

  // `values`: what the kernels wrote, without padding; the sums are put beside it under the oracle's names.
  StepwiseSums(const reference::Layer& layer, const reference::Parameters& parameters,
               const reference::Batch& batch, const reference::Forward& oracle, Values& values)
      : layer_(layer),
        parameters_(parameters),
        batch_(batch),
        oracle_(oracle),
        values_(values),
        shape_(lacuna::cell_shape(static_cast<lacuna_cell>(layer.cell))),
        hidden_(layer.hidden),
        tokens_(batch.tokens()) {}

  void sum() {
    const Size rows = shape_.input_gates * hidden_, all = shape_.gradient_gates * hidden_;
    const Size K = layer_.input_width();
    std::vector<double> d_x(static_cast<std::size_t>(rows * K)),
        d_bias(static_cast<std::size_t>(rows)), d_h(static_cast<std::size_t>(rows * hidden_)),
        d_hn(parameters_.bias_hn.size());
    const auto d_gates = array("d_gates"), tape_h = array("tape_h"),
               reset_operand = array("reset_operand");
    for (Size s = 0; s < tokens_; ++s)
      for (Size row = 0; row < rows; ++row) {
        const double d = d_gates(s * all + row);
        d_bias[static_cast<std::size_t>(row)] += d;
        for (Size k = 0; k < K; ++k)
          d_x[static_cast<std::size_t>(row * K + k)] +=
              d * oracle_.input[static_cast<std::size_t>(s * K + k)];
        // The candidate's weights see the reset state, or their own product's gradient.
        const bool candidate = layer_.is_gru() && row >= 2 * hidden_;
        const bool before = candidate && shape_.reset_before, after = candidate && !before;
        const double d_product = after ? d_gates(s * all + row + hidden_) : d;
        if (after) d_hn[static_cast<std::size_t>(row - 2 * hidden_)] += d_product;
        for (Size k = 0; k < hidden_; ++k)
          d_h[static_cast<std::size_t>(row * hidden_ + k)] +=
              d_product * (before ? reset_operand : tape_h)(s * hidden_ + k);
      }
    put("d_weights_x", d_x);
    put("d_weights_h", d_h);
    put("d_bias", d_bias);
    put("d_bias_hn", d_hn);
    sum_evolve();
  }

 private:
  using Size = std::int64_t;

  // Looked up by name once, not for every number. What a layer does not write is not there, and not to be read.
  auto array(const std::string& name) const {
    const auto found = values_.find(name);
    const R* const from = found == values_.end() ? nullptr : found->second.data();
    return [from](Size index) { return static_cast<double>(from[index]); };
  }
  void put(const std::string& name, const std::vector<double>& sums) {
    values_[name] = std::vector<R>(sums.begin(), sums.end());
  }

  void sum_evolve() {
    const reference::Evolve kind = layer_.evolve;
    const bool relaxes = kind == reference::Evolve::relax;
    const bool euler = layer_.cell == reference::Cell::rnn_euler;
    const Size S = relaxes ? layer_.state_width() : hidden_, D = layer_.features;
    std::vector<double> d_weight(parameters_.evolve_weight.size()),
        d_bias(parameters_.evolve_bias.size()), d_target(parameters_.s_inf.size()),
        d_gap(static_cast<std::size_t>(tokens_)), d_delta(static_cast<std::size_t>(tokens_ * D));
    const auto d_euler = array("d_euler"), d_exponent = array("d_exponent"),
               d_targets = array("d_target");
    for (Size s = 0; s < tokens_; ++s) {
      const double gap = oracle_.observed.delta_t[static_cast<std::size_t>(s)];
      double& d_dt = d_gap[static_cast<std::size_t>(s)];
      for (Size u = 0; u < hidden_ && euler; ++u) d_dt += d_euler(s * hidden_ + u);
      for (Size u = 0; u < S && kind != reference::Evolve::none; ++u) {
        const auto unit = static_cast<std::size_t>(u);
        const double d = d_exponent(s * S + u);
        if (relaxes) {
          const double lambda = parameters_.evolve_weight[unit];
          d_weight[unit] += d * gap * reference::logistic(lambda);
          d_target[unit] += d_targets(s * S + u);
          d_dt += d * reference::softplus(lambda);
          continue;
        }
        d_bias[unit] += d;
        if (kind == reference::Evolve::decay_step) {
          d_weight[unit] += d * gap;
          d_dt += d * parameters_.evolve_weight[unit];
          continue;
        }
        for (Size k = 0; k < D; ++k) {
          const auto token = static_cast<std::size_t>(s * D + k);
          const auto weight = static_cast<std::size_t>(u * D + k);
          d_weight[weight] += d * oracle_.observed.delta[token];
          d_delta[token] += d * parameters_.evolve_weight[weight];
        }
      }
    }
    put("d_evolve_weight", d_weight);
    put("d_evolve_bias", d_bias);
    put("d_s_inf", d_target);
    put("d_delta_t", reference::observe_backward(layer_, batch_, oracle_.observed, d_gap, d_delta));
  }

  const reference::Layer& layer_;
  const reference::Parameters& parameters_;
  const reference::Batch& batch_;
  const reference::Forward& oracle_;
  Values& values_;
  const lacuna::CellShape shape_;
  const Size hidden_, tokens_;
};

}  // namespace support
