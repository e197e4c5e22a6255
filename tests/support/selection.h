// A case's data as one thing, of which some sequences and tokens can be taken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "support/generate.h"

namespace support {

struct Data {
  explicit Data(const Case& c)
      : parameters(make_parameters(c)), batch(make_batch(c)), upstream(make_upstream(c)) {}
  Data(const reference::Parameters& p, const reference::Batch& b, const reference::Upstream& u)
      : parameters(p), batch(b), upstream(u) {}

  reference::Parameters parameters;
  reference::Batch batch;
  reference::Upstream upstream;
};

// Some sequences of a batch in some order, and some of their tokens.
struct Selection {
  std::vector<std::int64_t> sequences, tokens;
  std::vector<std::int64_t> offsets = {0};  // of `tokens`

  void add(std::int64_t sequence, std::int64_t first_token, std::int64_t end) {
    sequences.push_back(sequence);
    for (std::int64_t s = first_token; s < end; ++s) tokens.push_back(s);
    offsets.push_back(static_cast<std::int64_t>(tokens.size()));
  }
};

// Rows of `from`, which has `all_rows` of one width, in the order in which `rows` names them.
template <class T>
std::vector<T> pick(const std::vector<T>& from, const std::vector<std::int64_t>& rows,
                    std::int64_t all_rows) {
  std::vector<T> picked;
  if (from.empty()) return picked;
  const auto width = static_cast<std::ptrdiff_t>(from.size()) / all_rows;
  for (const std::int64_t row : rows)
    picked.insert(picked.end(), from.begin() + row * width, from.begin() + (row + 1) * width);
  return picked;
}

inline Data select(const Data& whole, const Selection& which) {
  const std::int64_t n = whole.batch.tokens(), b = whole.batch.sequences();
  Data part = whole;
  part.batch.offsets = which.offsets;
  const auto by_token = [&](auto& array) { array = pick(array, which.tokens, n); };
  const auto by_sequence = [&](auto& array) { array = pick(array, which.sequences, b); };
  by_token(part.batch.values);
  by_token(part.batch.mask);
  by_token(part.batch.fires);
  by_token(part.batch.delta_t);
  by_token(part.batch.times);
  by_token(part.batch.delta);
  by_sequence(part.batch.initial_hidden);
  by_sequence(part.batch.initial_cell);
  by_sequence(part.batch.context.last_value);
  by_sequence(part.batch.context.since);
  by_sequence(part.batch.context.last_time);
  by_sequence(part.batch.context.first_gap);
  if (part.batch.noise.sequence.empty())
    for (std::int64_t sequence = 0; sequence < b; ++sequence)
      part.batch.noise.sequence.push_back(sequence);
  by_sequence(part.batch.noise.sequence);
  by_sequence(part.batch.noise.position);
  by_token(part.upstream.d_hidden);
  by_token(part.upstream.d_cell);
  by_sequence(part.upstream.d_final_hidden);
  by_sequence(part.upstream.d_final_cell);
  return part;
}

}  // namespace support
