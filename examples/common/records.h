// Irregular, half-missing histories as an example holds them, and the ragged batches that Lacuna takes.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "examples/common/random.h"
#include "lacuna/lacuna.hpp"

namespace examples {

// One sequence of T tokens. NaN means "not measured" in values and "not known" in targets.
struct Record {
  std::vector<double> times;   // [T], not falling
  std::vector<float> values;   // [T, D]
  std::vector<float> targets;  // [T]

  std::size_t length() const { return times.size(); }
};

// Many records back to back. The masks are spelt out, so that training may hide what was measured.
struct RaggedBatch {
  std::vector<std::int64_t> offsets{0};   // [B + 1]
  std::vector<double> times;              // [N]
  std::vector<float> values;              // [N, D]
  std::vector<std::uint8_t> mask;         // [N, D]
  std::vector<float> targets;             // [N]
  std::vector<std::uint8_t> target_mask;  // [N]

  std::size_t sequences() const { return offsets.size() - 1; }
  std::size_t tokens() const { return times.size(); }

  void append(const Record& record) {
    times.insert(times.end(), record.times.begin(), record.times.end());
    values.insert(values.end(), record.values.begin(), record.values.end());
    targets.insert(targets.end(), record.targets.begin(), record.targets.end());
    for (const float value : record.values) mask.push_back(!std::isnan(value));
    for (const float target : record.targets) target_mask.push_back(!std::isnan(target));
    offsets.push_back(static_cast<std::int64_t>(times.size()));
  }

  lacuna::Batch<float> view() const {
    return {.offsets = offsets, .values = values, .mask = mask, .times = times};
  }
};

inline std::vector<Record> select(const std::vector<Record>& records,
                                  const std::vector<std::size_t>& which) {
  std::vector<Record> chosen;
  for (const std::size_t i : which) chosen.push_back(records[i]);
  return chosen;
}

// Calls use(batch) for one batch after the other, `batch_size` records each, in the order given.
template <class Use>
void for_each_batch(const std::vector<Record>& records, const std::vector<std::size_t>& which,
                    std::size_t batch_size, Use use) {
  for (std::size_t begin = 0; begin < which.size(); begin += batch_size) {
    const std::size_t end = std::min(which.size(), begin + batch_size);
    RaggedBatch batch;
    for (std::size_t i = begin; i < end; ++i) batch.append(records[which[i]]);
    use(batch);
  }
}

// Calls use(b, begin, end) for one sequence after the other: its tokens are begin .. end - 1.
template <class Use>
void for_each_sequence(const RaggedBatch& batch, Use use) {
  for (std::size_t b = 0; b < batch.sequences(); ++b)
    use(b, static_cast<std::size_t>(batch.offsets[b]),
        static_cast<std::size_t>(batch.offsets[b + 1]));
}

// Feature dropout: for each sequence, each feature vanishes altogether with this probability. The
// values stay where they are; Lacuna does not read what the mask hides.
inline void hide_features(RaggedBatch& batch, double probability, Random& random) {
  if (batch.tokens() == 0) return;
  const std::size_t features = batch.values.size() / batch.tokens();
  for_each_sequence(batch, [&](std::size_t, std::size_t begin, std::size_t end) {
    for (std::size_t d = 0; d < features; ++d) {
      if (random.uniform() >= probability) continue;
      for (std::size_t s = begin; s < end; ++s) batch.mask[s * features + d] = 0;
    }
  });
}

}  // namespace examples
