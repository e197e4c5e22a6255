// Rows, gaps and gradients of gaps between a batch and its windows, on the emulator against the CPU backend's plain
// loops: the same bits, the same numbers dropped, nothing else touched.
#include <gtest/gtest.h>

#include <cstring>

#include "host/cpu/rows.h"
#include "kernels/tokens/window_gaps.h"
#include "kernels/tokens/window_measured.h"
#include "kernels/tokens/window_rows.h"
#include "kernels_tokens/windows.h"

namespace lacuna::token_tests {
namespace {

constexpr int cases = 150;

cpu::Team& team() {
  static cpu::Team one(1);
  return one;
}

emulator::Settings some_order(std::uint64_t number) {
  return two_thread_orders(number)[number % 2];
}

// What the CPU backend computes T in.
template <class T>
using Plain = std::conditional_t<tokens::is_byte<T>, std::uint8_t, simt::Real<T>>;

template <class T>
Plain<T> plain(T value) {
  if constexpr (tokens::is_byte<T>)
    return value;
  else
    return simt::to_real(value);
}
template <class T>
T rounded(Plain<T> value) {
  if constexpr (tokens::is_byte<T>)
    return value;
  else
    return simt::from_real<T>(value);
}

template <class T>
T random_element(support::Random& random) {
  if constexpr (tokens::is_byte<T>)
    return static_cast<std::uint8_t>(random.below(256));
  else
    return to<T>(random.uniform(-2, 2));
}

template <class T>
bool same_bits(const T& a, const T& b) {
  return std::memcmp(&a, &b, sizeof(T)) == 0;
}

// An array with columns of others beside those that take part, and the same for the CPU.
template <class T>
struct Rows {
  WindowArray<T> array;
  std::vector<Plain<T>> plain_data;
  support::GuardedBuffer<T> data;
  std::int64_t first;

  Rows(std::int64_t rows, std::int64_t width, bool of_batch, bool aligned, support::Random& random)
      : data(size(rows * (stride_of(width, aligned, random)))), first(0) {
    array.stride = rows > 0 ? static_cast<std::int64_t>(data.size()) / rows : width;
    array.of_batch = of_batch;
    const std::int64_t beside = array.stride - width;
    first = aligned ? beside / 4 * 4 : random.below(beside + 1);
    array.data = data.data() + first;
    for (T& element : data.span()) {
      element = random_element<T>(random);
      plain_data.push_back(plain(element));
    }
  }
  RowArray on_cpu() { return {plain_data.data() + first, array.stride, array.of_batch}; }
  WindowArray<const T> input() const { return {array.data, array.stride, array.of_batch}; }

  static std::int64_t stride_of(std::int64_t width, bool aligned, support::Random& random) {
    return width + (aligned ? 4 * random.below(3) : random.below(6));
  }
};

template <class T>
void rows_agree(std::uint64_t seed) {
  support::Random random(seed);
  const Window window(random_sequences(random), random);
  // Without a window, all arrays have the same rows.
  const bool cut = random.chance(0.7), aligned = random.chance(0.5);
  const std::int64_t own = cut ? window.rows().rows() : random.below(60);
  const std::int64_t of_batch = cut ? window.tokens() : own;
  const std::int64_t widths[] = {1, 2, 3, 5, 31, 33, 70, 1030};
  const std::int64_t width = aligned ? 4 * (1 + random.below(20)) : widths[random.below(8)];
  const auto make = [&](bool batch) {
    return Rows<T>(batch ? of_batch : own, width, batch, aligned, random);
  };
  Rows<T> from = make(random.chance(0.5)), add = make(random.chance(0.5)),
          to = make(random.chance(0.5));

  RowsRun run{};
  run.type = std::is_same_v<Plain<T>, double> ? LACUNA_F64 : LACUNA_F32;
  run.element = tokens::is_byte<T> ? RowsRun::Element::byte : RowsRun::Element::real;
  run.window = cut ? &window.rows() : nullptr;
  run.rows = own;
  run.width = width;
  run.column = aligned ? 4 * random.below(9) : random.below(40);
  std::vector<std::int64_t> names, positions;
  for (std::int64_t b = 0; b < window.rows().sequences; ++b) {
    names.push_back(random.below(1 << 30) << 16);
    positions.push_back(random.below(1 << 30) << 16);
  }
  const bool in_place = random.chance(0.3);
  Rows<T>& target = in_place ? from : to;
  run.from = from.on_cpu();
  run.to = target.on_cpu();
  WindowRowsMove<T> args;
  if (cut) args.window = window.device();
  args.rows = own;
  args.width = width;
  args.column = run.column;
  args.from = from.input();
  args.to = target.array;
  if constexpr (!tokens::is_byte<T>) {
    if (random.chance(0.5)) {
      run.add = add.on_cpu();
      args.add = add.input();
    }
    run.accumulate = args.accumulate = random.chance(0.3);
    // Divided by a power of two where something is added, so that one rounding more or less is none.
    const double probabilities[] = {0, 0.5, 0.75, 0.3};
    if (cut)
      run.dropout = {probabilities[random.below(run.accumulate ? 3 : 4)], random.next(),
                     static_cast<std::uint32_t>(random.below(64))};
    run.names.sequence = random.chance(0.5) ? names.data() : nullptr;
    run.names.position = random.chance(0.5) ? positions.data() : nullptr;
    args.dropout = run.dropout;
    args.names = run.names;
  }
  cpu::rows(team(), run);
  const emulator::WithSettings with(some_order(seed));
  move_window_rows(nullptr, args);
  for (const Rows<T>* rows : {&from, &add, &to}) {
    EXPECT_EQ(rows->data.damage(), "");
    for (std::size_t i = 0; i < rows->data.size(); ++i)
      ASSERT_TRUE(same_bits(rows->data.data()[i], rounded<T>(rows->plain_data[i])))
          << "element " << i << " of stride " << rows->array.stride << ", width " << width
          << ", column " << run.column << ", dropout " << run.dropout.probability;
  }
}

template <class T>
void endings_agree(std::uint64_t seed) {
  support::Random random(seed);
  const Window window(random_sequences(random), random);
  const std::int64_t sequences = window.rows().sequences, width = 1 + random.below(40);
  Rows<T> from(sequences, width, false, false, random), to(sequences, width, false, false, random);
  RowsRun run{};
  run.type = std::is_same_v<T, double> ? LACUNA_F64 : LACUNA_F32;
  run.over = RowsRun::Over::endings;
  run.window = &window.rows();
  run.width = width;
  run.from = from.on_cpu();
  run.to = to.on_cpu();
  WindowRowsMove<T> args;
  args.window = window.device();
  args.width = width;
  args.from = from.input();
  args.to = to.array;
  cpu::rows(team(), run);
  const emulator::WithSettings with(some_order(seed));
  move_window_endings(nullptr, args);
  EXPECT_EQ(to.data.damage(), "");
  for (std::size_t i = 0; i < to.data.size(); ++i)
    ASSERT_TRUE(same_bits(to.data.data()[i], rounded<T>(to.plain_data[i]))) << "element " << i;
}

template <class T>
class WindowRowsOf : public testing::Test {};
using AllElements = testing::Types<float, double, simt::Fp16, simt::Bf16, std::uint8_t>;
TYPED_TEST_SUITE(WindowRowsOf, AllElements);

TYPED_TEST(WindowRowsOf, AreTheCpus) {
  for (std::uint64_t seed = 1; seed <= cases; ++seed) {
    SCOPED_TRACE(seed);
    rows_agree<TypeParam>(seed);
    if (testing::Test::HasFatalFailure()) return;
  }
}

TYPED_TEST(WindowRowsOf, OfEndingsAreTheCpus) {
  if constexpr (!tokens::is_byte<TypeParam>) {
    for (std::uint64_t seed = 1; seed <= cases; ++seed) {
      SCOPED_TRACE(seed);
      endings_agree<TypeParam>(seed);
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

template <class T>
void measured_agree(std::uint64_t seed) {
  support::Random random(seed);
  const Window window(random_sequences(random), random);
  const bool cut = random.chance(0.7), masked = random.chance(0.5);
  const std::int64_t tokens = window.tokens(), own = cut ? window.rows().rows() : tokens;
  const std::int64_t features = random.chance(0.5) ? 1 + random.below(5) : 30 + random.below(40);
  std::vector<T> values;
  std::vector<Plain<T>> plain_values;
  std::vector<std::uint8_t> mask;
  const double share = 0.7 / static_cast<double>(features);  // of rows about half are empty
  for (std::int64_t i = 0; i < tokens * features; ++i) {
    const bool measured = random.chance(share);
    mask.push_back(measured ? 1 : 0);
    values.push_back(measured != masked ? random_element<T>(random) : to<T>(NAN));
    plain_values.push_back(plain(values.back()));
  }
  support::GuardedBuffer<std::uint8_t> out(size(own)), plain_out(size(own));
  MeasuredRun run{};
  run.type = std::is_same_v<Plain<T>, double> ? LACUNA_F64 : LACUNA_F32;
  run.window = cut ? &window.rows() : nullptr;
  run.rows = own;
  run.features = features;
  run.values = plain_values.data();
  run.mask = masked ? mask.data() : nullptr;
  run.measured = plain_out.data();
  WindowMeasured<T> args;
  if (cut) args.window = window.device();
  args.rows = own;
  args.features = features;
  args.values = values.data();
  args.mask = run.mask;
  args.measured = out.data();
  cpu::measured(team(), run);
  const emulator::WithSettings with(some_order(seed));
  window_measured(nullptr, args);
  EXPECT_EQ(out.damage(), "");
  EXPECT_EQ(plain_out.damage(), "");
  EXPECT_EQ(out.vector(), plain_out.vector());
  // And without a window, by hand.
  for (std::int64_t s = 0; !cut && s < own; ++s) {
    bool any = false;
    for (std::int64_t d = 0; d < features; ++d) any = any || mask[size(s * features + d)] != 0;
    ASSERT_EQ(out.vector()[size(s)], any ? 1 : 0) << s;
  }
}

TYPED_TEST(WindowRowsOf, ThatAreMeasuredAreTheCpus) {
  if constexpr (!tokens::is_byte<TypeParam>) {
    for (std::uint64_t seed = 1; seed <= cases; ++seed) {
      SCOPED_TRACE(seed);
      measured_agree<TypeParam>(seed);
      if (testing::Test::HasFailure()) return;
    }
  }
}

// A quarter of them, and others for another seed, layer, column, name, position or direction. The window is the whole of
// one sequence.
TEST(WindowDropout, DropsItsShare) {
  const std::int64_t rows = 200, width = 64, offsets[] = {0, rows};
  const auto dropped = [&](Dropout dropout, std::int64_t column, std::int64_t name = 0,
                           std::int64_t position = 0, bool reverse = false) {
    std::vector<float> x(size(rows * width), 1);
    WindowRowsMove<float> args;
    args.window = {1, 0, rows, reverse, offsets, offsets};
    args.names = {&name, &position};
    args.rows = rows;
    args.width = width;
    args.column = column;
    args.from = {x.data(), width, true};
    args.to = {x.data(), width, true};
    args.dropout = dropout;
    move_window_rows(nullptr, args);
    return x;
  };
  const auto one = dropped({0.25, 7, 0}, 0);
  std::int64_t zeros = 0;
  for (const float x : one) {
    ASSERT_TRUE(x == 0 || x == 1 / 0.75F);
    zeros += x == 0;
  }
  // 3200 of 12800 are expected, with a standard deviation of 49.
  EXPECT_NEAR(static_cast<double>(zeros), 3200, 5 * 49);
  EXPECT_EQ(dropped({0.25, 7, 0}, 0), one);
  EXPECT_NE(dropped({0.25, 8, 0}, 0), one);
  EXPECT_NE(dropped({0.25, 7, 1}, 0), one);
  EXPECT_NE(dropped({0.25, 7, 0}, 4), one);
  EXPECT_NE(dropped({0.25, 7, 0}, 0, 1), one);
  // A token is known by how many were read before it.
  const auto row = [&](const std::vector<float>& all, std::int64_t s) {
    return std::vector<float>(all.begin() + s * width, all.begin() + (s + 1) * width);
  };
  const auto later = dropped({0.25, 7, 0}, 0, 0, 5), back = dropped({0.25, 7, 0}, 0, 0, 0, true);
  for (std::int64_t s = 0; s < rows; ++s) {
    if (s + 5 < rows) {
      EXPECT_EQ(row(later, s), row(one, s + 5));
    }
    EXPECT_EQ(row(back, rows - 1 - s), row(one, s));
  }
}

template <class R>
void gaps_agree(std::uint64_t seed) {
  support::Random random(seed);
  const Window window(random_sequences(random), random);
  const std::int64_t tokens = window.tokens(), sequences = window.rows().sequences;
  const auto numbers = [&](std::int64_t count, double none) {
    std::vector<R> made;
    for (std::int64_t i = 0; i < count; ++i)
      made.push_back(random.chance(none) ? R(NAN) : static_cast<R>(random.uniform(0, 3)));
    return made;
  };
  const auto delta_t = numbers(tokens, 0), first_gap = numbers(sequences, 0);
  std::vector<double> times, last_time;
  for (std::int64_t s = 0; s < tokens; ++s) times.push_back(1.7e9 + random.uniform(0, 1e5));
  for (std::int64_t b = 0; b < sequences; ++b)
    last_time.push_back(random.chance(0.3) ? NAN : 1.7e9 + random.uniform(0, 1e5));

  const bool stamps = random.chance(0.4), nothing = random.chance(0.1);
  lacuna_carry in{}, plain_out{};
  support::GuardedBuffer<double> last_out(size(sequences)), plain_last(size(sequences));
  support::GuardedBuffer<R> gaps(size(window.rows().rows())), plain_gaps(gaps.size()),
      first_out(size(sequences)), plain_first(size(sequences));
  GapsRun run{};
  run.type = std::is_same_v<R, double> ? LACUNA_F64 : LACUNA_F32;
  run.window = &window.rows();
  if (!nothing && !stamps) run.delta_t = delta_t.data();
  if (!nothing && stamps) run.times = times.data();
  if (random.chance(0.6)) {
    in.last_time = last_time.data();
    in.first_gap = const_cast<R*>(first_gap.data());
    run.carry_in = &in;
  }
  run.gaps = random.chance(0.9) ? plain_gaps.data() : nullptr;
  if (!nothing && random.chance(0.6)) {
    if (stamps) plain_out.last_time = plain_last.data();
    if (!stamps) plain_out.first_gap = plain_first.data();
    run.carry_out = &plain_out;
  }
  WindowGaps<R> args;
  args.window = window.device();
  args.rows = window.rows().rows();
  args.delta_t = static_cast<const R*>(run.delta_t);
  args.times = run.times;
  args.last_time = in.last_time;
  args.first_gap = static_cast<const R*>(in.first_gap);
  args.gaps = run.gaps != nullptr ? gaps.data() : nullptr;
  args.last_time_out = plain_out.last_time != nullptr ? last_out.data() : nullptr;
  args.first_gap_out = plain_out.first_gap != nullptr ? first_out.data() : nullptr;
  cpu::gaps(team(), run);
  const emulator::WithSettings with(some_order(seed));
  window_gaps(nullptr, args);
  const auto agree = [](const auto& one, const auto& other) {
    EXPECT_EQ(one.damage(), "");
    for (std::size_t i = 0; i < one.size(); ++i)
      ASSERT_TRUE(same_bits(one.data()[i], other.data()[i]) ||
                  (std::isnan(one.data()[i]) && std::isnan(other.data()[i])))
          << '[' << i << "] is " << one.data()[i] << ", expected " << other.data()[i];
  };
  agree(gaps, plain_gaps);
  agree(last_out, plain_last);
  agree(first_out, plain_first);
}

template <class R>
void gap_gradients_agree(std::uint64_t seed) {
  support::Random random(seed);
  const Window window(random_sequences(random), random);
  const auto numbers = [&](std::int64_t count) {
    std::vector<R> made;
    for (std::int64_t i = 0; i < count; ++i) made.push_back(static_cast<R>(random.uniform(-1, 1)));
    return made;
  };
  const auto d_gaps = numbers(window.rows().rows()), before = numbers(window.tokens());
  support::GuardedBuffer<R> out(before), plain_out(before);
  GapGradientsRun run{};
  run.type = std::is_same_v<R, double> ? LACUNA_F64 : LACUNA_F32;
  run.window = &window.rows();
  run.d_gaps = d_gaps.data();
  run.d_delta_t = plain_out.data();
  run.accumulate = random.chance(0.5);
  cpu::gap_gradients(team(), run);
  const emulator::WithSettings with(some_order(seed));
  window_gap_gradients(nullptr, WindowGapGradients<R>{window.device(), window.rows().rows(),
                                                      d_gaps.data(), out.data(), run.accumulate});
  EXPECT_EQ(out.damage(), "");
  EXPECT_EQ(out.vector(), plain_out.vector());
}

template <class R>
class WindowGapsOf : public testing::Test {};
using WideTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(WindowGapsOf, WideTypes);

TYPED_TEST(WindowGapsOf, AreTheCpus) {
  for (std::uint64_t seed = 1; seed <= cases; ++seed) {
    SCOPED_TRACE(seed);
    gaps_agree<TypeParam>(seed);
    if (testing::Test::HasFailure()) return;
  }
}

TYPED_TEST(WindowGapsOf, GradientsAreTheCpus) {
  for (std::uint64_t seed = 1; seed <= cases; ++seed) {
    SCOPED_TRACE(seed);
    gap_gradients_agree<TypeParam>(seed);
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace lacuna::token_tests
