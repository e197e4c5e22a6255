// Backward pass, derived by hand: the three stages' adjoints in the opposite order.
#include "reference/cell.h"
#include "reference/check_sizes.h"
#include "reference/evolve.h"
#include "reference/impute.h"
#include "reference/layer_pass.h"
#include "reference/noise.h"

namespace reference {
namespace {

template <class Real>
void check_upstream(const Layer& layer, const BasicBatch<Real>& batch,
                    const BasicUpstream<Real>& upstream) {
  const std::int64_t R = layer.output_width();
  const std::int64_t C = layer.has_cell_state() ? layer.hidden : 0;
  check_size_if_given("d_hidden", upstream.d_hidden.size(), batch.tokens() * R);
  check_size_if_given("d_cell", upstream.d_cell.size(), batch.tokens() * C);
  check_size_if_given("d_final_hidden", upstream.d_final_hidden.size(), batch.sequences() * R);
  check_size_if_given("d_final_cell", upstream.d_final_cell.size(), batch.sequences() * C);
}

// state [h, c] += row `row` of d_hidden and d_cell; an empty one adds nothing.
template <class Real>
void add_upstream(const Layer& layer, const std::vector<Real>& d_hidden,
                  const std::vector<Real>& d_cell, std::size_t row, std::vector<Real>& d_state) {
  const auto R = static_cast<std::size_t>(layer.output_width());
  const auto H = static_cast<std::size_t>(layer.hidden);
  for (std::size_t j = 0; !d_hidden.empty() && j < R; ++j) d_state[j] += d_hidden[row * R + j];
  for (std::size_t j = 0; !d_cell.empty() && j < H; ++j) d_state[R + j] += d_cell[row * H + j];
}

// The state a step started from: after the token read before it, or the initial one.
template <class Real>
std::vector<Real> state_before(const Layer& layer, const BasicBatch<Real>& batch,
                               const BasicForward<Real>& forward, std::int64_t sequence,
                               std::int64_t step) {
  const auto S = static_cast<std::size_t>(layer.state_width());
  std::vector<Real> before(S, Real(0));
  if (step == 0) {
    add_upstream(layer, batch.initial_hidden,
                 layer.has_cell_state() ? batch.initial_cell : std::vector<Real>(),
                 static_cast<std::size_t>(sequence), before);
    return before;
  }
  const auto token = static_cast<std::size_t>(reading(layer, batch, sequence).token(step - 1));
  for (std::size_t j = 0; j < S; ++j) before[j] = forward.state[token * S + j];
  return before;
}

}  // namespace

template <class Real>
BasicGradients<Real> backward(const Layer& layer, const BasicParameters<Real>& parameters,
                              const BasicBatch<Real>& batch, const BasicForward<Real>& forward,
                              const BasicUpstream<Real>& upstream) {
  check_upstream(layer, batch, upstream);
  const auto N = static_cast<std::size_t>(batch.tokens());
  const auto B = static_cast<std::size_t>(batch.sequences());
  const auto D = static_cast<std::size_t>(layer.features);
  const auto H = static_cast<std::size_t>(layer.hidden);
  const auto R = static_cast<std::size_t>(layer.output_width());
  const auto K = static_cast<std::size_t>(layer.input_width());
  const auto S = static_cast<std::size_t>(layer.state_width());
  const auto kept_size = static_cast<std::size_t>(kept_width(layer));
  const auto& observed = forward.observed;

  BasicGradients<Real> result;
  result.parameters = zero_parameters<Real>(layer);
  result.d_values.assign(N * D, Real(0));
  result.d_initial_hidden.assign(B * R, Real(0));
  result.d_initial_cell.assign(layer.has_cell_state() ? B * H : 0, Real(0));
  result.d_state_hidden.assign(N * R, Real(0));
  std::vector<Real> d_input(N * K, Real(0)), d_delta(N * D, Real(0)), d_gap(N, Real(0));

  for (std::int64_t b = 0; b < batch.sequences(); ++b) {
    const Reading read = reading(layer, batch, b);
    const auto row = static_cast<std::size_t>(b);
    const std::vector<double> factors = operand_factors(layer, batch.noise, b);
    std::vector<Real> d_state(S, Real(0));  // by the state after the step at hand
    add_upstream(layer, upstream.d_final_hidden, upstream.d_final_cell, row, d_state);

    for (std::int64_t step = read.length() - 1; step >= 0; --step) {
      const auto s = static_cast<std::size_t>(read.token(step));
      const Real delta_t = observed.delta_t[s];
      const Real* evolved = forward.evolved.data() + s * S;
      add_upstream(layer, upstream.d_hidden, upstream.d_cell, s, d_state);
      for (std::size_t j = 0; j < R; ++j) result.d_state_hidden[s * R + j] = d_state[j];

      std::vector<Real> d_evolved(S, Real(0));
      if (!fires(layer, batch, observed, read.token(step))) {
        d_evolved = d_state;
      } else {
        const std::vector<double> zoned = zoned_share(layer, batch.noise, b, step);
        std::vector<Real> d_updated(S), operand(factors.size()), d_operand(factors.size());
        for (std::size_t j = 0; j < S; ++j) {
          const Real share = static_cast<Real>(zoned[j]);
          d_updated[j] = (1 - share) * d_state[j];
          d_evolved[j] = share * d_state[j];
        }
        for (std::size_t j = 0; j < operand.size(); ++j)
          operand[j] = static_cast<Real>(factors[j]) * evolved[j];
        update_backward(
            layer, parameters, {forward.input.data() + s * K, evolved, operand.data(), delta_t},
            forward.updated.data() + s * S, forward.kept.data() + s * kept_size, d_updated.data(),
            {result.parameters, d_input.data() + s * K, d_evolved.data(), d_operand.data(),
             d_gap[s]});
        for (std::size_t j = 0; j < operand.size(); ++j)
          d_evolved[j] += static_cast<Real>(factors[j]) * d_operand[j];
      }
      const std::vector<Real> before = state_before(layer, batch, forward, b, step);
      std::vector<Real> d_before(S, Real(0));
      evolve_backward(layer, parameters, {observed.delta.data() + s * D, delta_t}, before.data(),
                      d_evolved.data(),
                      {result.parameters, d_before.data(), d_delta.data() + s * D, d_gap[s]});
      d_state = d_before;
    }
    for (std::size_t j = 0; j < R; ++j) result.d_initial_hidden[row * R + j] = d_state[j];
    for (std::size_t j = 0; layer.has_cell_state() && j < H; ++j)
      result.d_initial_cell[row * H + j] = d_state[R + j];
  }
  impute_backward(layer, parameters, batch, observed, d_input,
                  {result.parameters, result.d_values, d_delta, d_gap});
  result.d_delta_t = observe_backward(layer, batch, observed, d_gap, d_delta);
  return result;
}

template BasicGradients<float> backward(const Layer&, const BasicParameters<float>&,
                                        const BasicBatch<float>&, const BasicForward<float>&,
                                        const BasicUpstream<float>&);
template BasicGradients<double> backward(const Layer&, const BasicParameters<double>&,
                                         const BasicBatch<double>&, const BasicForward<double>&,
                                         const BasicUpstream<double>&);

}  // namespace reference
