// Padded [B, T, ...] arrays with lengths, turned into ragged ones at the door and back. Padding is
// never read.
#pragma once

#include <type_traits>
#include <vector>

#include "lacuna/cpp/batch.hpp"
#include "lacuna/cpp/context.hpp"

namespace lacuna {

// offsets [B + 1] of sequences with these lengths.
inline std::vector<std::int64_t> offsets_of(std::span<const std::int64_t> lengths) {
  std::vector<std::int64_t> offsets(lengths.size() + 1, 0);
  for (std::size_t b = 0; b < lengths.size(); ++b) {
    if (lengths[b] < 0)
      detail::refuse("lengths[" + std::to_string(b) + "]: " + std::to_string(lengths[b]) +
                     ", expected >= 0");
    offsets[b + 1] = offsets[b] + lengths[b];
  }
  return offsets;
}

// padded [B, T, columns] -> packed [N, columns].
template <class Element>
void pack(const Context& context, std::int64_t max_length, std::int64_t columns,
          std::span<const std::int64_t> lengths, std::span<const Element> padded,
          std::span<Element> packed) {
  static_assert(std::is_trivially_copyable_v<Element>);
  const auto sequences = static_cast<std::int64_t>(lengths.size());
  std::vector<std::int64_t> offsets = offsets_of(lengths);
  detail::check_shape("padded", padded.size(), {"sequences * max_length", sequences * max_length},
                      {"columns", columns});
  detail::check_shape("packed", packed.size(), {"tokens", offsets.back()}, {"columns", columns});
  if (packed.empty()) return;
  detail::check(lacuna_pack(context.get(), sequences, max_length,
                            columns * static_cast<std::int64_t>(sizeof(Element)), lengths.data(),
                            padded.data(), offsets.data(), packed.data(), nullptr));
}

// packed [N, columns] -> padded [B, T, columns], zero where padded.
template <class Element>
void unpack(const Context& context, std::int64_t max_length, std::int64_t columns,
            std::span<const std::int64_t> offsets, std::span<const Element> packed,
            std::span<Element> padded) {
  static_assert(std::is_trivially_copyable_v<Element>);
  if (offsets.empty()) detail::refuse("offsets: 0 elements, expected sequences + 1");
  const auto sequences = static_cast<std::int64_t>(offsets.size()) - 1;
  detail::check_shape("packed", packed.size(), {"tokens", offsets.back()}, {"columns", columns});
  detail::check_shape("padded", padded.size(), {"sequences * max_length", sequences * max_length},
                      {"columns", columns});
  if (padded.empty()) return;
  detail::check(lacuna_unpack(context.get(), sequences, max_length,
                              columns * static_cast<std::int64_t>(sizeof(Element)), offsets.data(),
                              packed.data(), padded.data(), nullptr));
}

// A padded batch: as Batch, with [B, T, ...] for [N, ...]. Empty spans are absent.
template <RealNumber Real>
struct PaddedBatch {
  std::span<const std::int64_t> lengths{};  // [B], each 0 .. max_length
  std::int64_t max_length = 0;              // T
  std::int64_t features = 0;                // D
  std::span<const Real> values{};           // [B, T, D]
  std::span<const std::uint8_t> mask{};     // [B, T, D]
  std::span<const Wide<Real>> delta_t{};    // [B, T]
  std::span<const double> times{};          // [B, T]
  std::span<const Wide<Real>> delta{};      // [B, T, D]
};

// A ragged batch that owns its arrays.
template <RealNumber Real>
struct RaggedBatch {
  std::vector<std::int64_t> offsets{0};
  std::vector<Real> values;
  std::vector<std::uint8_t> mask;
  std::vector<Wide<Real>> delta_t;
  std::vector<double> times;
  std::vector<Wide<Real>> delta;

  std::int64_t sequences() const { return static_cast<std::int64_t>(offsets.size()) - 1; }
  std::int64_t tokens() const { return offsets.back(); }

  Batch<Real> view() const {
    return {.offsets = offsets,
            .values = values,
            .mask = mask,
            .delta_t = delta_t,
            .times = times,
            .delta = delta};
  }
};

template <RealNumber Real>
RaggedBatch<Real> pack(const Context& context, const PaddedBatch<Real>& padded) {
  RaggedBatch<Real> ragged;
  ragged.offsets = offsets_of(padded.lengths);
  const auto tokens = static_cast<std::size_t>(ragged.tokens());
  const auto pack_one = [&]<class Element>(std::span<const Element> from, std::vector<Element>& to,
                                           std::int64_t columns) {
    if (from.empty()) return;
    to.resize(tokens * static_cast<std::size_t>(columns));
    pack<Element>(context, padded.max_length, columns, padded.lengths, from, to);
  };
  pack_one(padded.values, ragged.values, padded.features);
  pack_one(padded.mask, ragged.mask, padded.features);
  pack_one(padded.delta_t, ragged.delta_t, 1);
  pack_one(padded.times, ragged.times, 1);
  pack_one(padded.delta, ragged.delta, padded.features);
  return ragged;
}

}  // namespace lacuna
