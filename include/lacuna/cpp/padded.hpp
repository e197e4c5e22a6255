// Padded [B, T, ...] arrays with lengths, turned into ragged ones at the door and back. Padding is
// never read.
#pragma once

#include <limits>
#include <type_traits>
#include <vector>

#include "lacuna/cpp/batch.hpp"
#include "lacuna/cpp/context.hpp"

namespace lacuna {

namespace detail {

inline constexpr std::int64_t most_int64 = std::numeric_limits<std::int64_t>::max();

// Sequences * max_length. `argument`: what stands before "max_length" in messages.
inline std::int64_t padded_rows(std::string_view argument, std::size_t sequences,
                                std::int64_t max_length) {
  const std::string name(argument);
  if (max_length < 0)
    refuse(name + "max_length: " + std::to_string(max_length) + ", expected >= 0");
  if (max_length > 0 && sequences > static_cast<std::size_t>(most_int64 / max_length))
    refuse(name + "max_length: " + std::to_string(max_length) + " of " + std::to_string(sequences) +
           " sequences, which do not fit in memory");
  return static_cast<std::int64_t>(sequences) * max_length;
}

// `argument`: what stands before "lengths" and "max_length" in messages; most_int64: there is no limit.
inline std::vector<std::int64_t> offsets_of(std::string_view argument,
                                            std::span<const std::int64_t> lengths,
                                            std::int64_t max_length) {
  std::vector<std::int64_t> offsets(lengths.size() + 1, 0);
  for (std::size_t b = 0; b < lengths.size(); ++b) {
    const auto length = [&] {
      return std::string(argument) + "lengths[" + std::to_string(b) +
             "]: " + std::to_string(lengths[b]);
    };
    if (lengths[b] < 0 || lengths[b] > max_length)
      refuse(length() + (max_length == most_int64
                             ? ", expected >= 0"
                             : ", expected 0 to max_length = " + std::to_string(max_length)));
    if (lengths[b] > most_int64 - offsets[b])
      refuse(length() + " more tokens than the " + std::to_string(offsets[b]) +
             " before do not fit in memory");
    offsets[b + 1] = offsets[b] + lengths[b];
  }
  return offsets;
}

}  // namespace detail

// offsets [B + 1] of sequences with these lengths.
inline std::vector<std::int64_t> offsets_of(std::span<const std::int64_t> lengths) {
  return detail::offsets_of("", lengths, detail::most_int64);
}

// padded [B, T, columns] -> packed [N, columns].
template <class Element>
void pack(const Context& context, std::int64_t max_length, std::int64_t columns,
          std::span<const std::int64_t> lengths, std::span<const Element> padded,
          std::span<Element> packed, void* stream = nullptr) {
  static_assert(std::is_trivially_copyable_v<Element>);
  const std::int64_t rows = detail::padded_rows("", lengths.size(), max_length);
  std::vector<std::int64_t> offsets = detail::offsets_of("", lengths, max_length);
  detail::check_shape("padded", padded.size(), {"sequences * max_length", rows},
                      {"columns", columns});
  detail::check_shape("packed", packed.size(), {"tokens", offsets.back()}, {"columns", columns});
  if (packed.empty()) return;
  detail::check(lacuna_pack(context.get(), static_cast<std::int64_t>(lengths.size()), max_length,
                            columns * static_cast<std::int64_t>(sizeof(Element)), lengths.data(),
                            padded.data(), offsets.data(), packed.data(), stream));
}

// packed [N, columns] -> padded [B, T, columns], zero where padded.
template <class Element>
void unpack(const Context& context, std::int64_t max_length, std::int64_t columns,
            std::span<const std::int64_t> offsets, std::span<const Element> packed,
            std::span<Element> padded, void* stream = nullptr) {
  static_assert(std::is_trivially_copyable_v<Element>);
  if (offsets.empty()) detail::refuse("offsets: 0 elements, expected sequences + 1");
  if (offsets.front() != 0)
    detail::refuse("offsets[0]: " + std::to_string(offsets.front()) + ", expected 0");
  const std::size_t sequences = offsets.size() - 1;
  const std::int64_t rows = detail::padded_rows("", sequences, max_length);
  detail::check_shape("packed", packed.size(), {"tokens", offsets.back()}, {"columns", columns});
  detail::check_shape("padded", padded.size(), {"sequences * max_length", rows},
                      {"columns", columns});
  if (padded.empty()) return;
  detail::check(lacuna_unpack(context.get(), static_cast<std::int64_t>(sequences), max_length,
                              columns * static_cast<std::int64_t>(sizeof(Element)), offsets.data(),
                              packed.data(), padded.data(), stream));
}

// A padded batch: as Batch, with [B, T, ...] for [N, ...]. Empty spans are absent.
template <RealNumber Real>
struct PaddedBatch {
  std::span<const std::int64_t> lengths{};  // [B], each 0 .. max_length
  std::int64_t max_length = 0;              // T
  std::int64_t features = 0;                // D
  std::span<const Real> values{};           // [B, T, D]
  std::span<const std::uint8_t> mask{};     // [B, T, D]
  std::span<const std::uint8_t> fires{};    // [B, T]
  std::span<const Wide<Real>> delta_t{};    // [B, T]
  std::span<const double> times{};          // [B, T]
  std::span<const Wide<Real>> delta{};      // [B, T, D]
  // Of whole sequences, as in Batch.
  std::span<const Real> initial_hidden{};
  std::span<const Real> initial_cell{};
  CarryIn<Real> carry_in{};
  NoiseIn noise{};
};

// A ragged batch that owns its arrays of tokens. What there is of whole sequences stays the caller's.
template <RealNumber Real>
struct RaggedBatch {
  std::vector<std::int64_t> offsets{0};
  std::vector<Real> values;
  std::vector<std::uint8_t> mask;
  std::vector<std::uint8_t> fires;
  std::vector<Wide<Real>> delta_t;
  std::vector<double> times;
  std::vector<Wide<Real>> delta;
  std::span<const Real> initial_hidden;
  std::span<const Real> initial_cell;
  CarryIn<Real> carry_in;
  NoiseIn noise;

  std::int64_t sequences() const { return static_cast<std::int64_t>(offsets.size()) - 1; }
  std::int64_t tokens() const { return offsets.back(); }

  Batch<Real> view() const {
    return {.offsets = offsets,
            .values = values,
            .mask = mask,
            .fires = fires,
            .delta_t = delta_t,
            .times = times,
            .delta = delta,
            .initial_hidden = initial_hidden,
            .initial_cell = initial_cell,
            .carry_in = carry_in,
            .noise = noise};
  }
};

template <RealNumber Real>
RaggedBatch<Real> pack(const Context& context, const PaddedBatch<Real>& padded,
                       void* stream = nullptr) {
  const detail::Extent rows{
      "sequences * max_length",
      detail::padded_rows("padded.", padded.lengths.size(), padded.max_length)};
  RaggedBatch<Real> ragged;
  ragged.offsets = detail::offsets_of("padded.", padded.lengths, padded.max_length);
  ragged.initial_hidden = padded.initial_hidden;
  ragged.initial_cell = padded.initial_cell;
  ragged.carry_in = padded.carry_in;
  ragged.noise = padded.noise;
  // All are checked before any is packed.
  const auto each_array = [&](auto f) {
    const detail::Extent features{"features", padded.features}, one{"", 1};
    f("padded.values", padded.values, ragged.values, features);
    f("padded.mask", padded.mask, ragged.mask, features);
    f("padded.fires", padded.fires, ragged.fires, one);
    f("padded.delta_t", padded.delta_t, ragged.delta_t, one);
    f("padded.times", padded.times, ragged.times, one);
    f("padded.delta", padded.delta, ragged.delta, features);
  };
  each_array([&](const char* name, auto from, auto&, detail::Extent columns) {
    if (!from.empty()) detail::check_shape(name, from.size(), rows, columns);
  });
  const auto tokens = static_cast<std::size_t>(ragged.tokens());
  each_array([&]<class Element>(const char*, std::span<const Element> from,
                                std::vector<Element>& to, detail::Extent columns) {
    if (from.empty()) return;
    to.resize(tokens * static_cast<std::size_t>(columns.count));
    pack<Element>(context, padded.max_length, columns.count, padded.lengths, from, to, stream);
  });
  return ragged;
}

}  // namespace lacuna
