// The same data in another type: for tested code that reads float, and for the plain loop in float.
#pragma once

#include <vector>

#include "reference/batch.h"
#include "reference/layer_pass.h"
#include "reference/parameters.h"
#include "support/half.h"

namespace support {

template <class To>
std::vector<To> convert(const std::vector<double>& from) {
  return std::vector<To>(from.begin(), from.end());
}

template <class To>
reference::BasicParameters<To> convert(const reference::Parameters& from) {
  reference::BasicParameters<To> to;
  const auto sources = reference::named_tensors(from);
  const auto targets = reference::named_tensors(to);
  for (std::size_t t = 0; t < sources.size(); ++t) {
    *targets[t].second = convert<To>(*sources[t].second);
  }
  return to;
}

template <class To>
reference::BasicBatch<To> convert(const reference::Batch& from) {
  reference::BasicBatch<To> to;
  to.offsets = from.offsets;
  to.values = convert<To>(from.values);
  to.mask = from.mask;
  to.fires = from.fires;
  to.delta_t = convert<To>(from.delta_t);
  to.times = from.times;
  to.delta = convert<To>(from.delta);
  to.initial_hidden = convert<To>(from.initial_hidden);
  to.initial_cell = convert<To>(from.initial_cell);
  to.context.last_value = convert<To>(from.context.last_value);
  to.context.since = convert<To>(from.context.since);
  to.context.last_time = from.context.last_time;
  to.context.first_gap = convert<To>(from.context.first_gap);
  to.noise = from.noise;
  return to;
}

template <class To>
reference::BasicUpstream<To> convert(const reference::Upstream& from) {
  return {convert<To>(from.d_hidden), convert<To>(from.d_cell), convert<To>(from.d_final_hidden),
          convert<To>(from.d_final_cell)};
}

// ---- Types of 16 bits, for what is stored in them ----

template <class Stored>
std::vector<Stored> store(const std::vector<float>& from) {
  std::vector<Stored> to(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) to[i].bits = Stored::round(from[i]);
  return to;
}

// What a stored value stands for: what an oracle has to be shown.
template <class Stored>
void round_to(std::vector<double>& values) {
  for (double& value : values) value = Stored::widen(Stored::round(value));
}
template <class Stored>
void round_to(reference::Batch& batch, reference::Upstream& upstream) {
  for (auto* array :
       {&batch.values, &batch.initial_hidden, &batch.initial_cell, &batch.context.last_value,
        &upstream.d_hidden, &upstream.d_cell, &upstream.d_final_hidden, &upstream.d_final_cell})
    round_to<Stored>(*array);
}

template <class Real, class Stored>
Real widen(Stored value) {
  return static_cast<Real>(Stored::widen(value.bits));
}

}  // namespace support
