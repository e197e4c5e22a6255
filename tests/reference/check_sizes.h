// Refuses tensors whose sizes do not fit, so that a mistake in a test is a message and not a crash.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "reference/batch.h"
#include "reference/layer.h"
#include "reference/parameters.h"

namespace reference {

inline void check_size(const char* name, std::size_t size, std::int64_t expected) {
  if (static_cast<std::int64_t>(size) == expected) return;
  throw std::invalid_argument(std::string("reference: ") + name + " has " + std::to_string(size) +
                              " elements, expected " + std::to_string(expected));
}

inline void check_size_if_given(const char* name, std::size_t size, std::int64_t expected) {
  if (size != 0) check_size(name, size, expected);
}

template <class Real>
void check_parameters(const Layer& layer, const BasicParameters<Real>& parameters) {
  const auto expected = zero_parameters<Real>(layer);
  const auto given_tensors = named_tensors(parameters);
  const auto expected_tensors = named_tensors(expected);
  for (std::size_t t = 0; t < given_tensors.size(); ++t) {
    check_size(given_tensors[t].first, given_tensors[t].second->size(),
               static_cast<std::int64_t>(expected_tensors[t].second->size()));
  }
}

template <class Real>
void check_batch(const Layer& layer, const BasicBatch<Real>& batch) {
  if (batch.offsets.empty() || batch.offsets.front() != 0) {
    throw std::invalid_argument("reference: offsets must start with 0");
  }
  for (std::size_t b = 1; b < batch.offsets.size(); ++b) {
    if (batch.offsets[b] < batch.offsets[b - 1]) {
      throw std::invalid_argument("reference: offsets decrease at " + std::to_string(b));
    }
  }
  const std::int64_t N = batch.tokens(), B = batch.sequences();
  const std::int64_t D = layer.features, H = layer.hidden;
  check_size("values", batch.values.size(), N * D);
  check_size_if_given("mask", batch.mask.size(), N * D);
  check_size_if_given("fires", batch.fires.size(), N);
  if (batch.times.empty()) {
    check_size_if_given("delta_t", batch.delta_t.size(), N);
  } else {
    check_size("times", batch.times.size(), N);
    check_size("delta_t beside times", batch.delta_t.size(), 0);
  }
  check_size_if_given("delta", batch.delta.size(), N * D);
  check_size_if_given("initial_hidden", batch.initial_hidden.size(), B * layer.output_width());
  check_size_if_given("initial_cell", batch.initial_cell.size(), B * H);
  check_size_if_given("context.last_value", batch.context.last_value.size(), B * D);
  check_size_if_given("context.since", batch.context.since.size(), B * D);
  check_size_if_given("context.last_time", batch.context.last_time.size(), B);
  check_size_if_given("context.first_gap", batch.context.first_gap.size(), B);
  check_size_if_given("noise.sequence", batch.noise.sequence.size(), B);
  check_size_if_given("noise.position", batch.noise.position.size(), B);
}

}  // namespace reference
