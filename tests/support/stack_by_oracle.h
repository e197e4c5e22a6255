// A stack as the oracle has it: each layer and direction by the oracle of layers, the rest by plain loops, in double. Of
// stacks without dropout, residual and rows at which a deeper layer only evolves.
#pragma once

#include <utility>
#include <vector>

#include "reference/layer_pass.h"
#include "support/convert.h"
#include "support/stack_run.h"

namespace support {

// Both have their enumerators in the same order.
inline reference::Layer oracle_layer(const lacuna::Layer& from, bool reverse) {
  return {.cell = static_cast<reference::Cell>(from.cell),
          .impute = static_cast<reference::Impute>(from.impute),
          .evolve = static_cast<reference::Evolve>(from.evolve),
          .empty_rows = static_cast<reference::EmptyRows>(from.empty_rows),
          .features = static_cast<int>(from.features),
          .hidden = static_cast<int>(from.hidden),
          .mask_input = from.mask_input,
          .gap_input = from.gap_input,
          .reverse = from.reverse || reverse};
}

// Tensors of the oracle back to back are a flat array of the library.
template <class Real>
reference::Parameters oracle_parameters(const reference::Layer& layer, std::span<const Real> flat) {
  reference::Parameters parameters = reference::zero_parameters(layer);
  auto next = flat.begin();
  for (const auto& [name, tensor] : reference::named_tensors(parameters))
    for (double& number : *tensor) number = *next++;
  return parameters;
}

template <class Real>
StackResults<double> run_by_oracle(const lacuna::Stack& stack,
                                   const lacuna::StackParameters<Real>& weights,
                                   const StackData<Real>& data) {
  using Rows = std::vector<double>;
  struct Pass {
    reference::Layer layer;
    reference::Parameters parameters;
    reference::Batch batch;
    reference::Forward forward;
  };
  const auto widened = [](const std::vector<Real>& from) { return Rows(from.begin(), from.end()); };
  const auto directions = static_cast<std::size_t>(stack.directions());
  const auto tokens = static_cast<std::size_t>(data.tokens());
  StackResults<double> results;
  results.d_delta_t.resize(tokens);
  for (auto* arrays : {&results.final_hidden, &results.final_cell, &results.d_initial_hidden,
                       &results.d_initial_cell, &results.d_parameters})
    arrays->resize(stack.places());

  std::vector<Pass> passes;
  Rows rows = widened(data.values);
  for (std::size_t place = 0; place < stack.places(); place += directions) {
    const auto width = static_cast<std::size_t>(stack.at(place).output_width());
    Rows out(tokens * width * directions);
    for (std::size_t d = 0; d < directions; ++d) {
      Pass pass{.layer = oracle_layer(stack.at(place), d == 1)};
      pass.parameters = oracle_parameters<Real>(pass.layer, weights[place + d].flat());
      pass.batch.offsets = data.offsets;
      pass.batch.values = rows;
      if (place == 0) pass.batch.mask = data.mask;
      pass.batch.delta_t = widened(data.delta_t);
      if (!data.initial_hidden.empty()) {
        pass.batch.initial_hidden = widened(data.initial_hidden[place + d]);
        pass.batch.initial_cell = widened(data.initial_cell[place + d]);
      }
      pass.forward = reference::forward(pass.layer, pass.parameters, pass.batch);
      results.final_hidden[place + d] = pass.forward.final_hidden;
      results.final_cell[place + d] = pass.forward.final_cell;
      for (std::size_t s = 0; s < tokens; ++s)
        for (std::size_t c = 0; c < width; ++c)
          out[(s * directions + d) * width + c] = pass.forward.hidden[s * width + c];
      passes.push_back(std::move(pass));
    }
    rows = std::move(out);
  }
  results.hidden = rows;

  Rows d_rows = widened(data.d_hidden);
  for (std::size_t place = stack.places(); place > 0;) {
    place -= directions;
    const auto width = static_cast<std::size_t>(stack.at(place).output_width());
    Rows d_in(tokens * static_cast<std::size_t>(stack.at(place).features));
    for (std::size_t d = 0; d < directions; ++d) {
      const Pass& pass = passes[place + d];
      reference::Upstream upstream{.d_hidden = Rows(tokens * width),
                                   .d_final_hidden = widened(data.d_final_hidden[place + d]),
                                   .d_final_cell = widened(data.d_final_cell[place + d])};
      for (std::size_t s = 0; s < tokens; ++s)
        for (std::size_t c = 0; c < width; ++c)
          upstream.d_hidden[s * width + c] = d_rows[(s * directions + d) * width + c];
      const reference::Gradients gradients =
          reference::backward(pass.layer, pass.parameters, pass.batch, pass.forward, upstream);
      for (std::size_t i = 0; i < d_in.size(); ++i) d_in[i] += gradients.d_values[i];
      for (std::size_t s = 0; s < tokens; ++s) results.d_delta_t[s] += gradients.d_delta_t[s];
      results.d_initial_hidden[place + d] = gradients.d_initial_hidden;
      results.d_initial_cell[place + d] = gradients.d_initial_cell;
      for (const auto& [name, tensor] : reference::named_tensors(gradients.parameters))
        results.d_parameters[place + d].insert(results.d_parameters[place + d].end(),
                                               tensor->begin(), tensor->end());
    }
    d_rows = std::move(d_in);
  }
  results.d_values = d_rows;
  return results;
}

}  // namespace support
