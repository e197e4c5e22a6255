// Forward pass: observe and impute all tokens, then evolve and update one token after another.
#include "reference/cell.h"
#include "reference/check_sizes.h"
#include "reference/evolve.h"
#include "reference/impute.h"
#include "reference/layer_pass.h"
#include "reference/noise.h"

namespace reference {
namespace {

// [h] or [h, c] of every sequence before its first token.
template <class Real>
std::vector<Real> initial_state(const Layer& layer, const BasicBatch<Real>& batch) {
  const auto B = static_cast<std::size_t>(batch.sequences());
  const auto R = static_cast<std::size_t>(layer.output_width());
  const auto S = static_cast<std::size_t>(layer.state_width());
  std::vector<Real> initial(B * S, Real(0));
  for (std::size_t b = 0; b < B; ++b) {
    for (std::size_t j = 0; j < S; ++j) {
      const auto& given = j < R ? batch.initial_hidden : batch.initial_cell;
      if (!given.empty())
        initial[b * S + j] = j < R ? given[b * R + j] : given[b * (S - R) + j - R];
    }
  }
  return initial;
}

// Splits rows of [h, c] into rows of h and rows of c.
template <class Real>
void split(const Layer& layer, const std::vector<Real>& state, std::vector<Real>& hidden,
           std::vector<Real>& cell) {
  const auto R = static_cast<std::size_t>(layer.output_width());
  const auto S = static_cast<std::size_t>(layer.state_width());
  for (std::size_t at = 0; at < state.size(); ++at) {
    (at % S < R ? hidden : cell).push_back(state[at]);
  }
}

}  // namespace

template <class Real>
BasicForward<Real> forward(const Layer& layer, const BasicParameters<Real>& parameters,
                           const BasicBatch<Real>& batch) {
  check_parameters(layer, parameters);
  check_batch(layer, batch);
  const auto N = static_cast<std::size_t>(batch.tokens());
  const auto D = static_cast<std::size_t>(layer.features);
  const auto K = static_cast<std::size_t>(layer.input_width());
  const auto S = static_cast<std::size_t>(layer.state_width());
  const auto kept_size = static_cast<std::size_t>(kept_width(layer));

  BasicForward<Real> result;
  result.observed = observe(layer, batch);
  result.input = impute(layer, parameters, batch, result.observed);
  result.state.resize(N * S);
  result.evolved.resize(N * S);
  result.updated.resize(N * S);
  result.kept.resize(N * kept_size);
  std::vector<Real> last_state = initial_state(layer, batch);

  for (std::int64_t b = 0; b < batch.sequences(); ++b) {
    const Reading read = reading(layer, batch, b);
    Real* last = last_state.data() + static_cast<std::size_t>(b) * S;
    const std::vector<double> factors = operand_factors(layer, batch.noise, b);
    std::vector<Real> operand(factors.size());
    for (std::int64_t step = 0; step < read.length(); ++step) {
      const auto s = static_cast<std::size_t>(read.token(step));
      const Real delta_t = result.observed.delta_t[s];
      Real* evolved = result.evolved.data() + s * S;
      Real* state = result.state.data() + s * S;

      evolve(layer, parameters, {result.observed.delta.data() + s * D, delta_t}, last, evolved);
      if (!fires(layer, batch, result.observed, read.token(step))) {
        for (std::size_t j = 0; j < S; ++j) state[j] = evolved[j];
      } else {
        Real* updated = result.updated.data() + s * S;
        for (std::size_t j = 0; j < operand.size(); ++j)
          operand[j] = static_cast<Real>(factors[j]) * evolved[j];
        update(layer, parameters, {result.input.data() + s * K, evolved, operand.data(), delta_t},
               updated, result.kept.data() + s * kept_size);
        const std::vector<double> zoned = zoned_share(layer, batch.noise, b, step);
        for (std::size_t j = 0; j < S; ++j) {
          const Real share = static_cast<Real>(zoned[j]);
          state[j] = share * evolved[j] + (1 - share) * updated[j];
        }
      }
      for (std::size_t j = 0; j < S; ++j) last[j] = state[j];
    }
  }
  split(layer, result.state, result.hidden, result.cell);
  split(layer, result.evolved, result.evolved_hidden, result.evolved_cell);
  split(layer, last_state, result.final_hidden, result.final_cell);
  return result;
}

template BasicForward<float> forward(const Layer&, const BasicParameters<float>&,
                                     const BasicBatch<float>&);
template BasicForward<double> forward(const Layer&, const BasicParameters<double>&,
                                      const BasicBatch<double>&);

}  // namespace reference
