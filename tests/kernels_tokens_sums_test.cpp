// Offsets, sums over rows and columns, and the packing of weights, on the emulator, against plain
// loops.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <numeric>
#include <span>
#include <tuple>

#include "kernels/tokens/offsets.h"
#include "kernels/tokens/reduce.h"
#include "kernels/tokens/weights.h"
#include "kernels_tokens/batches.h"

namespace lacuna::token_tests {
namespace {

// How many, and how long each is.
class KernelsTokensSequences
    : public testing::TestWithParam<std::tuple<std::int64_t, std::int64_t>> {};

TEST_P(KernelsTokensSequences, ReachTheDevice) {
  const auto [sequences, length] = GetParam();
  std::vector<std::int64_t> offsets;
  std::vector<std::int32_t> places;
  for (std::int64_t i = 0; i <= sequences; ++i) offsets.push_back(i * length);
  for (std::int64_t i = 0; i < sequences; ++i)
    places.push_back(static_cast<std::int32_t>(3 * i - 5));
  for (const auto& order : thread_orders(2)) {
    const emulator::WithSettings with(order);
    support::GuardedBuffer<std::int64_t> device(offsets.size());
    support::GuardedBuffer<std::int32_t> device_order(places.size());
    write_sequences(nullptr, offsets.data(), places.data(), sequences, device.data(),
                    device_order.data());
    EXPECT_EQ(device.vector(), offsets);
    EXPECT_EQ(device_order.vector(), places);
    EXPECT_EQ(device.damage() + device_order.damage(), "");
  }
}

// Lengths that end a piece early, too: offsets within one have 32 bits.
INSTANTIATE_TEST_SUITE_P(Counts, KernelsTokensSequences,
                         testing::Combine(testing::Values(0, 1, 2, 479, 480, 481, 1000),
                                          testing::Values(7, std::int64_t{1} << 31,
                                                          (std::int64_t{1} << 32) - 1,
                                                          (std::int64_t{1} << 33) + 7)));

// Ties, zeros among them.
std::vector<std::int64_t> some_lengths(std::int64_t sequences) {
  std::vector<std::int64_t> lengths;
  for (std::int64_t b = 0; b < sequences; ++b) lengths.push_back((b * 37 % 11) << 32);
  return lengths;
}

std::vector<std::int64_t> offsets_of(const std::vector<std::int64_t>& lengths) {
  std::vector<std::int64_t> offsets = {0};
  for (const std::int64_t length : lengths) offsets.push_back(offsets.back() + length);
  return offsets;
}

TEST(KernelsTokensLengths, AreKeysToSortBy) {
  for (const std::int64_t sequences : {0, 1, 255, 256, 700}) {
    const auto lengths = some_lengths(sequences), offsets = offsets_of(lengths);
    std::vector<std::int32_t> numbers(size(sequences));
    std::iota(numbers.begin(), numbers.end(), 0);
    for (const auto& order : thread_orders(2)) {
      const emulator::WithSettings with(order);
      support::GuardedBuffer<std::int64_t> keys(size(sequences));
      support::GuardedBuffer<std::int32_t> index(size(sequences));
      sequence_lengths(nullptr, offsets.data(), sequences, keys.data(), index.data());
      EXPECT_EQ(keys.vector(), lengths);
      EXPECT_EQ(index.vector(), numbers);
      EXPECT_EQ(keys.damage() + index.damage(), "");
    }
  }
}

TEST(KernelsTokensLengths, RankAsAStableSortDoes) {
  for (const std::int64_t sequences : {0, 1, 31, 33, 700}) {
    const auto lengths = some_lengths(sequences), offsets = offsets_of(lengths);
    std::vector<std::int32_t> want(size(sequences));
    std::iota(want.begin(), want.end(), 0);
    std::stable_sort(want.begin(), want.end(), [&](std::int32_t a, std::int32_t b) {
      return lengths[size(a)] > lengths[size(b)];
    });
    for (const auto& order : thread_orders(2)) {
      const emulator::WithSettings with(order);
      support::GuardedBuffer<std::int32_t> places(size(sequences));
      rank_sequences(nullptr, offsets.data(), sequences, places.data());
      EXPECT_EQ(places.vector(), want);
      EXPECT_EQ(places.damage(), "");
    }
  }
}

template <class X>
class KernelsTokensSums : public testing::Test {};
using Types = testing::Types<float, double, simt::Fp16, simt::Bf16>;
TYPED_TEST_SUITE(KernelsTokensSums, Types);

// A matrix whose padding is NaN, and its rows' and columns' weights.
template <class X>
struct Matrix {
  using R = simt::Real<X>;
  std::int64_t rows, columns, stride;
  Doubles exact;  // [rows, stride]
  std::vector<X> values;
  Doubles exact_row_weight, exact_column_weight;
  std::vector<R> row_weight, column_weight;

  Matrix(std::int64_t r, std::int64_t c, std::int64_t s) : rows(r), columns(c), stride(s) {
    support::Random random(static_cast<std::uint64_t>(1000 * rows + columns));
    exact = random_doubles(rows * stride, random);
    for (std::int64_t at = 0; at < rows * stride; ++at)
      if (at % stride >= columns) exact[size(at)] = NAN;
    values = round_to<X>(exact);
    exact_row_weight = random_doubles(rows, random);
    exact_column_weight = random_doubles(columns, random);
    row_weight = round_to<R>(exact_row_weight);
    column_weight = round_to<R>(exact_column_weight);
  }
  double at(std::int64_t r, std::int64_t c) const { return exact[size(r * stride + c)]; }
};

// Of a sum of n terms of size up to 1, in any order.
template <class R>
double allowed_sum(std::int64_t n) {
  return 2 * unit<R>() * static_cast<double>(n + 2) * std::log2(static_cast<double>(n + 2));
}

TYPED_TEST(KernelsTokensSums, OfColumns) {
  using X = TypeParam;
  using R = simt::Real<X>;
  const std::int64_t sizes[][3] = {{0, 3, 8},     {4, 0, 0},   {1, 1, 1},    {5, 1, 3},
                                   {7, 2, 2},     {100, 5, 8}, {64, 32, 32}, {65, 33, 40},
                                   {700, 70, 72}, {70, 9, 11}, {2000, 3, 8}};
  for (const auto& [rows, columns, stride] : sizes) {
    const Matrix<X> matrix(rows, columns, stride);
    for (const bool weighted : {false, true}) {
      const bool slope = weighted != (rows % 2 == 0);
      SCOPED_TRACE(testing::Message() << rows << " x " << columns << (weighted ? " weighted" : "")
                                      << (slope ? " slope" : ""));
      support::Random random(9);
      Doubles before = random_doubles(columns, random), lambda = random_doubles(columns, random);
      Doubles want = before;
      const std::vector<R> slopes = round_to<R>(lambda);
      for (std::int64_t c = 0; c < columns; ++c) {
        double sum = 0;
        for (std::int64_t r = 0; r < rows; ++r)
          sum += (weighted ? matrix.exact_row_weight[size(r)] : 1) * matrix.at(r, c);
        want[size(c)] += sum * (slope ? 1 / (1 + std::exp(-lambda[size(c)])) : 1);
      }
      Doubles first;
      for (const auto& order : thread_orders(2)) {
        const emulator::WithSettings with(order);
        Output<R> out(before), partials(column_sum_partials(rows, columns));
        ColumnSums<X> sums;
        sums.add({.matrix = matrix.values.data(),
                  .columns = columns,
                  .stride = stride,
                  .out = out.data(),
                  .row_weight = weighted ? matrix.row_weight.data() : nullptr,
                  .slope_of = slope ? slopes.data() : nullptr});
        column_sums(nullptr, rows, sums, partials.data());
        EXPECT_EQ(far(out.values(), want, allowed_sum<R>(rows)), "");
        EXPECT_EQ(out.damage() + partials.damage(), "");
        if (first.empty()) first = out.values();
        EXPECT_EQ(differ(out.values(), first), "");
      }
    }
  }
}

// Gates of a row and their targets: each as if it were alone, one of them with a factor.
TYPED_TEST(KernelsTokensSums, OfSeveralAtOnce) {
  using X = TypeParam;
  using R = simt::Real<X>;
  const std::int64_t rows = 700, hidden = 35, units = 40, gates = 4;
  const Matrix<X> matrix(rows, gates * units, gates * units), factor(rows, hidden, hidden + 1);
  const auto sum_gate = [&](std::int64_t gate, R* out) {
    ColumnSum<X> sum{matrix.values.data() + gate * units, hidden, gates * units, out};
    if (gate == 2) {
      sum.factor = factor.values.data();
      sum.factor_stride = factor.stride;
    }
    return sum;
  };
  Doubles want;
  for (std::int64_t gate = 0; gate < gates; ++gate)
    for (std::int64_t c = 0; c < hidden; ++c) {
      double sum = 0;
      for (std::int64_t r = 0; r < rows; ++r)
        sum += matrix.at(r, gate * units + c) * (gate == 2 ? factor.at(r, c) : 1);
      want.push_back(sum);
    }
  Output<R> together(Doubles(want.size())), alone(Doubles(want.size()));
  Output<R> partials(column_sum_partials(rows, gates * hidden));
  ColumnSums<X> all;
  for (std::int64_t gate = 0; gate < gates; ++gate) {
    all.add(sum_gate(gate, together.data() + gate * hidden));
    ColumnSums<X> one;
    one.add(sum_gate(gate, alone.data() + gate * hidden));
    column_sums(nullptr, rows, one, partials.data());
  }
  column_sums(nullptr, rows, all, partials.data());
  EXPECT_EQ(far(together.values(), want, allowed_sum<R>(rows)), "");
  EXPECT_EQ(differ(together.values(), alone.values()), "");
  EXPECT_EQ(together.damage() + alone.damage() + partials.damage(), "");
}

TEST(KernelsTokensRowParts, AreAllOfTheRows) {
  for (const std::int64_t rows : {1, 63, 64, 65, 12345, 16384, 16385, 1 << 24}) {
    const tokens::RowParts cut = tokens::row_parts(rows);
    EXPECT_GE(cut.parts * cut.rows, rows);
    EXPECT_LT((cut.parts - 1) * cut.rows, rows);
    EXPECT_LE(cut.parts, 256);
    // A plan's workspace serves smaller batches, too.
    for (const std::int64_t more : {rows, rows + 1, 2 * rows})
      EXPECT_GE(column_sum_partials(more, 3), 3 * cut.parts) << rows << " of " << more;
  }
}

// Small, for ThreadSanitizer.
TEST(KernelsTokensSumsThreads, DoNotRace) {
  const emulator::WithSettings with(two_thread_orders(1)[1]);
  const Matrix<float> matrix(70, 5, 8);
  Output<float> columns(Doubles(5)), partials(column_sum_partials(70, 5)), rows(70);
  ColumnSums<float> sums;
  sums.add({matrix.values.data(), 5, 8, columns.data()});
  column_sums(nullptr, 70, sums, partials.data());
  row_sums<float>(nullptr, matrix.values.data(), 70, 5, 8, nullptr, rows.data(), false);
  double by_columns = 0, by_rows = 0;
  for (const double v : columns.values()) by_columns += v;
  for (const double v : rows.values()) by_rows += v;
  EXPECT_NEAR(by_columns, by_rows, allowed_sum<float>(350));
}

TYPED_TEST(KernelsTokensSums, OfRows) {
  using X = TypeParam;
  using R = simt::Real<X>;
  const std::int64_t sizes[][3] = {{0, 3, 8},  {4, 0, 0},    {1, 1, 1},   {300, 1, 3},   {7, 2, 2},
                                   {65, 5, 8}, {33, 31, 32}, {9, 32, 40}, {20, 100, 104}};
  for (const auto& [rows, columns, stride] : sizes) {
    const Matrix<X> matrix(rows, columns, stride);
    for (const bool weighted : {false, true}) {
      const bool add = weighted != (rows % 2 == 0);
      SCOPED_TRACE(testing::Message() << rows << " x " << columns << (weighted ? " weighted" : "")
                                      << (add ? " added" : ""));
      support::Random random(10);
      Doubles before = random_doubles(rows, random);
      round_to<R>(before);
      Doubles want;
      for (std::int64_t r = 0; r < rows; ++r) {
        double sum = add ? before[size(r)] : 0;
        for (std::int64_t c = 0; c < columns; ++c)
          sum += (weighted ? matrix.exact_column_weight[size(c)] : 1) * matrix.at(r, c);
        want.push_back(sum);
      }
      Doubles first;
      for (const auto& order : thread_orders(2)) {
        const emulator::WithSettings with(order);
        Output<R> out(add ? before : Doubles(before.size(), NAN));
        row_sums<X>(nullptr, matrix.values.data(), rows, columns, stride,
                    weighted ? matrix.column_weight.data() : nullptr, out.data(), add);
        EXPECT_EQ(far(out.values(), want, allowed_sum<R>(columns)), "");
        EXPECT_EQ(out.damage(), "");
        if (first.empty()) first = out.values();
        EXPECT_EQ(differ(out.values(), first), "");
      }
    }
  }
}

struct Padding {
  std::int64_t gates, hidden, columns, units, stride;
};
constexpr Padding paddings[] = {{4, 5, 3, 8, 8}, {1, 8, 8, 8, 8}, {3, 1, 17, 8, 24},
                                {0, 3, 3, 8, 8}, {1, 3, 1, 8, 8}, {2, 9, 41, 16, 48}};

TYPED_TEST(KernelsTokensSums, WeightsArePackedWithZerosBetween) {
  using T = TypeParam;
  using R = simt::Real<T>;
  // Large and small ones together.
  for (const std::size_t begin : {std::size_t{0}, std::size_t{3}}) {
    const std::span<const Padding> several = std::span(paddings).subspan(begin, 3);
    for (const auto& order : thread_orders(1)) {
      const emulator::WithSettings with(order);
      PackedList<T> list;
      std::deque<std::vector<R>> sources;
      std::deque<Output<T>> packed;
      std::vector<Doubles> want;
      for (const Padding& p : several) {
        support::Random random(4);
        Doubles exact = random_doubles(p.gates * p.hidden * p.columns, random);
        sources.push_back(round_to<R>(exact));
        want.emplace_back(size(p.gates * p.units * p.stride));
        for (std::int64_t g = 0; g < p.gates; ++g)
          for (std::int64_t u = 0; u < p.hidden; ++u)
            for (std::int64_t c = 0; c < p.columns; ++c)
              want.back()[size((g * p.units + u) * p.stride + c)] =
                  from(to<T>(exact[size((g * p.hidden + u) * p.columns + c)]));
        packed.emplace_back(p.gates * p.units * p.stride);
        list.add({sources.back().data(), p.gates, p.hidden, p.columns, packed.back().data(),
                  p.units, p.stride});
      }
      pack_weights(nullptr, list);
      for (std::size_t i = 0; i < want.size(); ++i) {
        EXPECT_EQ(differ(packed[i].values(), want[i]), "");
        EXPECT_EQ(packed[i].damage(), "");
      }
    }
  }
  pack_weights(nullptr, PackedList<T>{});
}

TYPED_TEST(KernelsTokensSums, GradientsOfWeightsAreAddedWithoutPadding) {
  using R = simt::Real<TypeParam>;
  for (const Padding& p : paddings) {
    support::Random random(5);
    Doubles before = random_doubles(p.gates * p.hidden * p.columns, random);
    round_to<R>(before);
    Doubles exact(size(p.gates * p.units * p.stride), NAN), want = before;
    for (std::int64_t g = 0; g < p.gates; ++g)
      for (std::int64_t u = 0; u < p.hidden; ++u)
        for (std::int64_t c = 0; c < p.columns; ++c)
          exact[size((g * p.units + u) * p.stride + c)] = random.uniform(-1, 1);
    const std::vector<R> dense = round_to<R>(exact);
    for (std::int64_t g = 0; g < p.gates; ++g)
      for (std::int64_t u = 0; u < p.hidden; ++u)
        for (std::int64_t c = 0; c < p.columns; ++c)
          want[size((g * p.hidden + u) * p.columns + c)] +=
              exact[size((g * p.units + u) * p.stride + c)];
    for (const auto& order : thread_orders(1)) {
      const emulator::WithSettings with(order);
      Output<R> target(before);
      add_gradient(nullptr, dense.data(), p.gates, p.hidden, p.columns, p.units, p.stride,
                   target.data());
      EXPECT_EQ(far(target.values(), want, 2 * unit<R>()), "");
      EXPECT_EQ(target.damage(), "");
    }
  }
}

TYPED_TEST(KernelsTokensSums, RatesAreSoftplusOfTheirParameters) {
  using R = simt::Real<TypeParam>;
  for (const std::int64_t count : {0, 1, 7, 600}) {
    support::Random random(6);
    Doubles exact = random_doubles(count, random, -20, 20), want, allowed;
    const std::vector<R> lambda = round_to<R>(exact);
    for (const double x : exact) {
      want.push_back(std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))));
      allowed.push_back(8 * unit<R>() * want.back());
    }
    Output<R> out(count);
    rates(nullptr, lambda.data(), count, out.data());
    EXPECT_EQ(far(out.values(), want, allowed), "");
    EXPECT_EQ(out.damage(), "");
  }
}

}  // namespace
}  // namespace lacuna::token_tests
