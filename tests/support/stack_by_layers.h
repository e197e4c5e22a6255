// A stack computed layer by layer: every layer and direction by a plan of its own over the whole batch, made by the layer's
// options where there are some, the rest by plain loops.
#pragma once

#include <cmath>
#include <memory>
#include <vector>

#include "kernels/cells/noise.h"
#include "support/stack_run.h"

namespace support {

template <class Real>
StackResults<Real> run_by_layers(const lacuna::Context& context, const lacuna::Stack& stack,
                                 const lacuna::StackParameters<Real>& weights,
                                 const StackData<Real>& data, std::uint64_t seed = 0,
                                 const std::vector<lacuna::PlanOptions>& layer_options = {}) {
  using Rows = std::vector<Real>;
  StackResults<Real> results(stack, data);
  const int directions = stack.directions();
  const std::int64_t n = data.tokens();
  struct Pass {
    std::unique_ptr<lacuna::Plan> plan;
    std::unique_ptr<lacuna::Tape> tape;
  };
  std::vector<Pass> passes(stack.places());
  std::vector<Rows> inputs{data.values};
  // At which tokens the first layer measures anything, or what the caller says.
  std::vector<std::uint8_t> fires = data.fires;
  const bool masked = stack.layers.front().impute != lacuna::Impute::none;
  for (std::size_t s = 0; masked && s < static_cast<std::size_t>(n); ++s) {
    bool any = false;
    const auto columns = static_cast<std::size_t>(stack.layers.front().features);
    for (std::size_t i = s * columns; i < (s + 1) * columns; ++i)
      any = any || (data.mask.empty() ? !std::isnan(data.values[i]) : data.mask[i] != 0);
    fires.push_back(any ? 1 : 0);
  }
  const auto batch_of = [&](std::size_t layer, std::size_t place) {
    lacuna::Batch<Real> batch = data.batch();
    batch.values = inputs[layer];
    if (layer > 0) {
      batch.mask = {};
      batch.delta = {};
    }
    batch.fires = {};
    if (evolves_only(stack.layers[layer]) && (layer > 0 || !masked)) batch.fires = fires;
    batch.noise.seed = lacuna::seed_of_place(seed, static_cast<std::uint32_t>(place));
    if (!data.initial_hidden.empty()) {
      batch.initial_hidden = data.initial_hidden[place];
      batch.initial_cell = data.initial_cell[place];
    }
    return batch;
  };
  // rows[:, first .. first+width) of an array of `stride` columns, moved (= or +=).
  const auto move = [&](const Rows& from, std::int64_t from_stride, std::int64_t from_first,
                        Rows& to, std::int64_t to_stride, std::int64_t to_first, std::int64_t width,
                        bool add) {
    for (std::int64_t s = 0; s < n; ++s)
      for (std::int64_t c = 0; c < width; ++c) {
        const Real value = from[static_cast<std::size_t>(s * from_stride + from_first + c)];
        Real& out = to[static_cast<std::size_t>(s * to_stride + to_first + c)];
        out = add ? out + value : value;
      }
  };

  // As docs/equations.md has it.
  const auto draws_below = [&](std::int64_t name, std::int64_t position, std::size_t layer,
                               std::int64_t column) {
    const auto low = [](std::int64_t number) { return static_cast<std::uint32_t>(number); };
    const auto numbers =
        lacuna::philox(seed, low(name), low(position), low(name >> 32) | low(position >> 32) << 16,
                       low(column / 4) + (static_cast<std::uint32_t>(layer) << 22) + (1u << 29));
    return numbers.word[column % 4] < std::floor(stack.dropout * 4294967296.0);
  };
  // What a layer hands to the next, or the gradient of it.
  const auto drop = [&](std::size_t layer, Rows& rows) {
    if (stack.dropout == 0 || layer + 1 == stack.layers.size()) return;
    const std::int64_t h = stack.layers[layer].output_width(), width = h * directions;
    for (std::int64_t b = 0; b < data.sequences(); ++b) {
      const auto at = static_cast<std::size_t>(b);
      const std::int64_t name = data.noise_sequence.empty() ? b : data.noise_sequence[at];
      const std::int64_t before = data.noise_position.empty() ? 0 : data.noise_position[at];
      const std::int64_t begin = data.offsets[at], end = data.offsets[at + 1];
      for (std::int64_t s = begin; s < end; ++s)
        for (std::int64_t c = 0; c < width; ++c) {
          const bool from_end = stack.layers[layer].reverse || c >= h;
          const std::int64_t position = before + (from_end ? end - 1 - s : s - begin);
          Real& number = rows[static_cast<std::size_t>(s * width + c)];
          number = draws_below(name, position, layer, c)
                       ? Real(0)
                       : number * static_cast<Real>(1 / (1 - stack.dropout));
        }
    }
  };

  for (std::size_t l = 0; l < stack.layers.size(); ++l) {
    const std::int64_t h = stack.layers[l].output_width(), width = h * directions;
    Rows out(static_cast<std::size_t>(n * width));
    for (int d = 0; d < directions; ++d) {
      const std::size_t place =
          l * static_cast<std::size_t>(directions) + static_cast<std::size_t>(d);
      lacuna::Layer layer = stack.layers[l];
      layer.reverse = layer.reverse || d == 1;
      Pass& pass = passes[place];
      pass.plan = std::make_unique<lacuna::Plan>(
          context, layer, capacity_of(data),
          layer_options.empty() ? lacuna::PlanOptions{} : layer_options[l]);
      pass.tape = std::make_unique<lacuna::Tape>(*pass.plan);
      Rows own(static_cast<std::size_t>(n * h));
      lacuna::Parameters<Real> parameters(layer);
      std::copy(weights[place].flat().begin(), weights[place].flat().end(),
                parameters.flat().begin());
      pass.plan->template forward<Real>(parameters, batch_of(l, place),
                                        {.hidden = own,
                                         .final_hidden = results.final_hidden[place],
                                         .final_cell = results.final_cell[place]},
                                        *pass.tape);
      move(own, h, 0, out, width, d * h, h, false);
      if (stack.residual && l > 0) move(inputs[l], width, d * h, out, width, d * h, h, true);
    }
    drop(l, out);
    inputs.push_back(out);
  }
  results.hidden = inputs.back();

  std::fill(results.d_delta_t.begin(), results.d_delta_t.end(), Real(0));
  Rows d_out = data.d_hidden;
  results.d_parameters.resize(stack.places());
  std::vector<Rows> d_gaps(static_cast<std::size_t>(directions),
                           Rows(static_cast<std::size_t>(n), Real(0)));
  for (std::size_t l = stack.layers.size(); l-- > 0;) {
    const std::int64_t h = stack.layers[l].output_width(), width = h * directions;
    const std::int64_t below = stack.layers[l].features;
    drop(l, d_out);
    Rows d_in(static_cast<std::size_t>(n * below), Real(0));
    for (int d = 0; d < directions; ++d) {
      const std::size_t place =
          l * static_cast<std::size_t>(directions) + static_cast<std::size_t>(d);
      lacuna::Layer layer = stack.layers[l];
      layer.reverse = layer.reverse || d == 1;
      lacuna::Parameters<Real> parameters(layer);
      std::copy(weights[place].flat().begin(), weights[place].flat().end(),
                parameters.flat().begin());
      lacuna::Gradients<Real> gradients(layer);
      Rows d_own(static_cast<std::size_t>(n * h)), d_values(static_cast<std::size_t>(n * below)),
          d_dt(static_cast<std::size_t>(n));
      move(d_out, width, d * h, d_own, h, 0, h, false);
      passes[place].plan->template backward<Real>(
          parameters, batch_of(l, place),
          {.d_hidden = d_own,
           .d_final_hidden = data.d_final_hidden[place],
           .d_final_cell = data.d_final_cell[place]},
          *passes[place].tape, gradients,
          {.d_values = d_values,
           .d_delta_t = d_dt,
           .d_initial_hidden = results.d_initial_hidden[place],
           .d_initial_cell = results.d_initial_cell[place]});
      results.d_parameters[place].assign(gradients.flat().begin(), gradients.flat().end());
      if (stack.residual && l > 0) move(d_own, h, 0, d_values, below, d * h, h, true);
      move(d_values, below, 0, d_in, below, 0, below, d > 0);
      move(d_dt, 1, 0, d_gaps[static_cast<std::size_t>(d)], 1, 0, 1, l + 1 < stack.layers.size());
    }
    d_out = d_in;
  }
  results.d_values = d_out;
  results.d_delta_t = d_gaps[0];
  if (directions == 2) move(d_gaps[1], 1, 0, results.d_delta_t, 1, 0, 1, true);
  return results;
}

}  // namespace support
