// What the device draws for all tokens and sequences is what the generator gives for each of them, in any order of threads.
#include <gtest/gtest.h>

#include "emulator/emulator.h"
#include "kernels/recurrence/noise.h"
#include "kernels/recurrence/stepwise/draw_noise.h"
#include "support/guarded_buffer.h"

namespace lacuna {
namespace {

// Five sequences of lengths 3, 0, 1, 4, 9 in arrays that have room for two tokens more.
struct Drawing {
  static constexpr std::int64_t units = 24, output_units = 16, room = 19;
  const std::vector<std::int64_t> offsets{0, 3, 3, 4, 8, 17};
  const std::vector<std::int64_t> names{9, std::int64_t{1} << 40, 2, 9, 0};
  const std::vector<std::int64_t> positions{0, 5, (std::int64_t{1} << 32) - 1, 7, 100};
  std::vector<std::int32_t> sequence_of;
  DrawNoise<float> args;

  Drawing() {
    for (std::int32_t b = 0; b < 5; ++b)
      sequence_of.resize(static_cast<std::size_t>(offsets[static_cast<std::size_t>(b) + 1]), b);
    sequence_of.resize(room, 77);
    args.sequences = {offsets.data(), nullptr, 5, false};
    args.units = units;
    args.output_units = output_units;
    args.sequence_of = sequence_of.data();
    args.noise.seed = 31;
    args.first_position = 1000;
    args.hidden_below = threshold_of(0.3);
    args.cell_below = threshold_of(0.6);
    args.dropout_below = threshold_of(0.25);
    args.scale = 4.0f / 3;
  }

  bool is_drawn(NoiseUse use, std::int64_t sequence, std::int64_t position, std::int64_t unit,
                std::uint32_t below) const {
    const auto b = static_cast<std::size_t>(sequence);
    const std::int64_t name = args.names.sequence ? names[b] : sequence;
    return args.noise.draw(use, name, position, unit).word[unit % 4] < below;
  }
  std::uint8_t zoned(std::int64_t token, std::int64_t first_unit) const {
    const auto b = static_cast<std::size_t>(sequence_of[static_cast<std::size_t>(token)]);
    const std::int64_t step =
        args.sequences.reverse ? offsets[b + 1] - 1 - token : token - offsets[b];
    const std::int64_t position = 1000 + (args.names.position ? positions[b] : 0) + step;
    unsigned bits = 0;
    for (int i = 0; i < 4; ++i) {
      const auto draws = [&](NoiseUse use, std::uint32_t below) {
        return is_drawn(use, static_cast<std::int64_t>(b), position, first_unit + i, below) ? 1u
                                                                                            : 0u;
      };
      bits |= draws(NoiseUse::zoneout_hidden, args.hidden_below) << i;
      bits |= draws(NoiseUse::zoneout_cell, args.cell_below) << (4 + i);
    }
    return static_cast<std::uint8_t>(bits);
  }

  void check(const emulator::Settings& order) {
    const emulator::WithSettings with(order);
    support::GuardedBuffer<std::uint8_t> bytes(room * units / 4);
    support::GuardedBuffer<float> factors(5 * output_units);
    for (std::uint8_t& byte : bytes.span()) byte = 0xab;
    args.zoned = bytes.data();
    args.factors = factors.data();
    draw_noise(nullptr, args, room);
    for (std::int64_t token = 0; token < room; ++token)
      for (std::int64_t u = 0; u < units; u += 4)
        EXPECT_EQ(bytes.data()[(token * units + u) / 4], token < 17 ? zoned(token, u) : 0xab)
            << token << ' ' << u;
    for (std::int64_t b = 0; b < 5; ++b)
      for (std::int64_t u = 0; u < output_units; ++u)
        EXPECT_EQ(
            factors.data()[b * output_units + u],
            is_drawn(NoiseUse::recurrent_dropout, b, 0, u, args.dropout_below) ? 0.0f : args.scale);
    EXPECT_EQ(bytes.damage() + factors.damage(), "");
  }
};

TEST(KernelsNoise, IsThatOfTheGenerator) {
  Drawing drawing;
  for (const bool reverse : {false, true})
    for (const bool named : {false, true})
      for (const auto order : {emulator::Order::forward, emulator::Order::random}) {
        drawing.args.sequences.reverse = reverse;
        drawing.args.names =
            named ? NoiseNames{drawing.names.data(), drawing.positions.data()} : NoiseNames{};
        emulator::Settings settings;
        settings.order = order;
        drawing.check(settings);
      }
}

TEST(KernelsNoise, WithoutAProbabilityHasNoBits) {
  Drawing drawing;
  drawing.args.hidden_below = 0;
  drawing.check({});
  drawing.args.cell_below = 0;
  drawing.check({});
}

}  // namespace
}  // namespace lacuna
