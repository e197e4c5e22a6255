// observe_backward over pieces of sequences, each handing on what it owes the piece before, against one run over whole
// sequences: every number that both sum is the same, so they differ by the order of sums alone.
#include <gtest/gtest.h>

#include <memory>

#include "kernels/tokens/locate.h"
#include "kernels/tokens/observe.h"
#include "kernels/tokens/observe_backward.h"
#include "kernels_tokens/batches.h"

namespace lacuna::token_tests {
namespace {

using reference::Impute;

template <class V>
auto or_null(const V& v) {
  return v.empty() ? nullptr : v.data();
}

// Some rows of every sequence: a batch of their own, and what the layer has made of it.
template <class T>
struct Piece {
  using R = simt::Real<T>;

  std::vector<std::int64_t> offsets{0}, rows;  // rows: of the whole batch
  std::vector<T> values;
  std::vector<std::uint8_t> mask;
  std::vector<R> gaps, delta_given, d_input, d_delta;
  std::vector<std::int32_t> sequence_of;
  std::vector<T> input;
  std::vector<R> delta;
  std::vector<T> last_values;  // carried in
  std::vector<R> since;
};

// Gradients of a whole batch, from one piece or several.
template <class T>
struct Found {
  using R = simt::Real<T>;
  Output<T> d_values;
  Output<R> d_age, d_mean, d_weight, d_bias, d_last_in, d_since_in;

  Found(std::int64_t cells, std::int64_t features, std::int64_t states)
      : d_values(cells),
        d_age(cells),
        d_mean(Doubles(size(features), 0.25)),
        d_weight(Doubles(size(features), 0.25)),
        d_bias(Doubles(size(features), 0.25)),
        d_last_in(states),
        d_since_in(states) {}
};

template <class T>
class Problem {
  using R = simt::Real<T>;

 public:
  Problem(const Shape& shape, Impute impute, std::uint64_t seed)
      : shape_(shape),
        impute_(impute),
        batch_(make_batch<T>(shape)),
        parameters_(impute, shape.features, seed),
        features_(shape.features),
        input_stride_((features_ + 7) / 8 * 8),
        evolve_reads_delta_(seed % 3 > 0) {
    support::Random random(seed + 5);
    const std::int64_t tokens = batch_.tokens;
    sequence_of_.resize(size(tokens));
    gaps_.resize(size(tokens));
    locate(nullptr, batch_.device(), sequence_of_.data(), gaps_.data());
    const auto numbers = [&](std::int64_t count) {
      Doubles exact = random_doubles(count, random);
      return round_to<R>(exact);
    };
    d_input_ = numbers(tokens * input_stride_);
    d_delta_ = numbers(tokens * input_stride_);
    d_last_out_ = numbers(states());
    d_since_out_ = numbers(states());
  }

  std::int64_t states() const { return batch_.exact.sequences() * features_; }
  std::int64_t longest() const {
    return shape_.lengths.empty() ? 0
                                  : *std::max_element(shape_.lengths.begin(), shape_.lengths.end());
  }

  // In pieces of `segment` tokens of each sequence, as they are read.
  std::unique_ptr<Found<T>> run(std::int64_t segment) {
    const std::int64_t count = std::max<std::int64_t>((longest() + segment - 1) / segment, 1);
    std::vector<Piece<T>> pieces;
    std::vector<T> last_values = batch_.last_values;
    std::vector<R> since = batch_.since;
    for (std::int64_t p = 0; p < count; ++p) {
      pieces.push_back(cut(p * segment, (p + 1) * segment));
      pieces.back().last_values = last_values;
      pieces.back().since = since;
      observe_piece(pieces.back(), last_values, since);
    }
    auto made = std::make_unique<Found<T>>(batch_.tokens * features_, features_, states());
    Found<T>& found = *made;
    std::vector<R> d_last = d_last_out_, d_since = d_since_out_;
    for (std::int64_t p = count; p-- > 0;) back(pieces[size(p)], found, d_last, d_since);
    for (std::size_t i = 0; i < d_last.size(); ++i) {
      found.d_last_in.data()[i] = d_last[i];
      found.d_since_in.data()[i] = d_since[i];
    }
    return made;
  }

  // Both sum the same numbers in other orders: of each at most so many, with magnitudes that add up to this.
  void compare(const Found<T>& one, const Found<T>& pieces) const {
    const std::int64_t tokens = batch_.tokens;
    Doubles of_x(size(features_), 1), of_age(size(features_), 1), of_weight(size(features_), 1);
    for (std::int64_t s = 0; s < tokens; ++s)
      for (std::int64_t d = 0; d < features_; ++d) {
        const double d_x = std::abs(static_cast<double>(d_input_[size(s * input_stride_ + d)]));
        of_x[size(d)] += d_x;
        // |factor (x_last - x_mean)| is at most 3, a rate at most 1, an age at most what all gaps add up to.
        of_age[size(d)] += 3 * d_x + 1;
        of_weight[size(d)] += 3 * d_x * 30 * static_cast<double>(longest() + 1);
      }
    for (std::int64_t b = 0; b < batch_.exact.sequences(); ++b)
      for (std::int64_t d = 0; d < features_; ++d) {
        of_x[size(d)] += 1;
        of_age[size(d)] += 1;
      }
    const double orders = 2 * (static_cast<double>(tokens) + 2) * unit<R>();
    const auto allowed = [&](const Doubles& want, const Doubles& of, double own_unit) {
      Doubles all;
      for (std::size_t i = 0; i < want.size(); ++i)
        all.push_back(orders * of[i % size(features_)] + 2 * own_unit * std::abs(want[i]) +
                      2 * smallest_unit<T>());
      return all;
    };
    const auto near = [&](const char* name, const auto& got, const auto& want, const Doubles& of,
                          double own_unit) {
      EXPECT_EQ(got.damage(), "") << name;
      EXPECT_EQ(far(got.values(), want.values(), allowed(want.values(), of, own_unit)), "") << name;
    };
    near("d_values", pieces.d_values, one.d_values, of_x, unit<T>());
    near("d_age", pieces.d_age, one.d_age, of_age, 0);
    near("d_mean", pieces.d_mean, one.d_mean, of_x, 0);
    near("d_weight", pieces.d_weight, one.d_weight, of_weight, 0);
    near("d_bias", pieces.d_bias, one.d_bias, of_age, 0);
    near("d_last_in", pieces.d_last_in, one.d_last_in, of_x, 0);
    near("d_since_in", pieces.d_since_in, one.d_since_in, of_age, 0);
  }

 private:
  bool timed() const { return impute_ == Impute::decay || impute_ == Impute::relax; }

  Piece<T> cut(std::int64_t first, std::int64_t end) const {
    Piece<T> piece;
    for (std::size_t b = 0; b + 1 < batch_.exact.offsets.size(); ++b) {
      const std::int64_t begin = batch_.exact.offsets[b], behind = batch_.exact.offsets[b + 1];
      const std::int64_t from = std::min(first, behind - begin), to = std::min(end, behind - begin);
      for (std::int64_t i = from; i < to; ++i)
        piece.rows.push_back(shape_.reverse ? behind - to + (i - from) : begin + i);
      piece.offsets.push_back(static_cast<std::int64_t>(piece.rows.size()));
      for (std::int64_t i = from; i < to; ++i)
        piece.sequence_of.push_back(static_cast<std::int32_t>(b));
    }
    const auto take = [&](const auto& from, std::int64_t width, auto& to) {
      if (from.empty()) return;
      for (const std::int64_t row : piece.rows)
        to.insert(to.end(), from.begin() + row * width, from.begin() + (row + 1) * width);
    };
    take(batch_.values, features_, piece.values);
    take(batch_.mask, features_, piece.mask);
    take(batch_.delta, features_, piece.delta_given);
    take(gaps_, 1, piece.gaps);
    take(d_input_, input_stride_, piece.d_input);
    take(d_delta_, input_stride_, piece.d_delta);
    return piece;
  }

  DeviceBatch<T> device(const Piece<T>& piece) const {
    DeviceBatch<T> batch;
    batch.sequences = batch_.exact.sequences();
    batch.tokens = static_cast<std::int64_t>(piece.rows.size());
    batch.features = features_;
    batch.offsets = piece.offsets.data();
    batch.values = or_null(piece.values);
    batch.mask = or_null(piece.mask);
    batch.delta = or_null(piece.delta_given);
    batch.carry_last_values = or_null(piece.last_values);
    batch.carry_since = or_null(piece.since);
    batch.reverse = shape_.reverse;
    return batch;
  }

  void observe_piece(Piece<T>& piece, std::vector<T>& last_values, std::vector<R>& since) const {
    Observe<T> args;
    args.batch = device(piece);
    args.impute = in_abi(impute_);
    args.sequence_of = piece.sequence_of.data();
    args.gaps = piece.gaps.data();
    args.mean = or_null(parameters_.mean);
    args.weight = or_null(parameters_.weight);
    args.bias = or_null(parameters_.bias);
    std::vector<ObserveSummary<T>> summaries(size(observe_summaries(args.batch.tokens, features_)));
    args.summaries = summaries.data();
    piece.input.resize(size(args.batch.tokens * input_stride_));
    piece.delta.resize(piece.input.size());
    args.input = piece.input.data();
    args.delta = piece.delta.data();
    args.input_stride = args.delta_stride = input_stride_;
    last_values.assign(size(states()), T{});
    since.assign(size(states()), R(0));
    args.last_values = last_values.data();
    args.since = since.data();
    observe(nullptr, args);
  }

  void back(const Piece<T>& piece, Found<T>& found, std::vector<R>& d_last,
            std::vector<R>& d_since) const {
    ObserveBackward<T> args;
    args.batch = device(piece);
    args.impute = in_abi(impute_);
    args.sequence_of = piece.sequence_of.data();
    args.d_input = piece.d_input.data();
    args.d_input_stride = args.d_delta_stride = input_stride_;
    if (evolve_reads_delta_) args.d_delta = piece.d_delta.data();
    args.input = piece.input.data();
    args.delta = piece.delta.data();
    args.input_stride = args.delta_stride = input_stride_;
    args.mean = or_null(parameters_.mean);
    args.weight = or_null(parameters_.weight);
    args.bias = or_null(parameters_.bias);
    const std::int64_t tokens = args.batch.tokens;
    std::vector<ObserveGradient<T>> summaries(size(observe_backward_summaries(tokens, features_)));
    std::vector<R> sums(size(observe_backward_sums(tokens, features_)));
    args.summaries = summaries.data();
    args.sums = sums.data();
    Output<T> d_values(tokens * features_);
    Output<R> d_age(tokens * features_), d_last_in(states()), d_since_in(states());
    args.d_values = d_values.data();
    args.d_age = d_age.data();
    args.d_mean = found.d_mean.data();
    if (timed()) args.d_weight = found.d_weight.data();
    if (impute_ == Impute::decay) args.d_bias = found.d_bias.data();
    args.d_last_out = d_last.data();
    args.d_since_out = d_since.data();
    args.d_last_in = d_last_in.data();
    args.d_since_in = d_since_in.data();
    pass_carry_gradients(nullptr, args);
    observe_backward(nullptr, args);
    EXPECT_EQ(d_last_in.damage() + d_since_in.damage(), "");
    for (std::size_t i = 0; i < d_last.size(); ++i) {
      d_last[i] = d_last_in.data()[i];
      d_since[i] = d_since_in.data()[i];
    }
    for (std::size_t i = 0; i < piece.rows.size() * size(features_); ++i) {
      const std::size_t cell =
          size(piece.rows[i / size(features_)] * features_) + i % size(features_);
      found.d_values.data()[cell] = d_values.data()[i];
      found.d_age.data()[cell] = d_age.data()[i];
    }
  }

  Shape shape_;
  Impute impute_;
  Batch<T> batch_;
  ImputeParameters<T> parameters_;
  std::int64_t features_, input_stride_;
  bool evolve_reads_delta_;
  std::vector<std::int32_t> sequence_of_;
  std::vector<R> gaps_, d_input_, d_delta_, d_last_out_, d_since_out_;
};

template <class T>
class CarryGradientsOf : public testing::Test {};
using AllTypes = testing::Types<float, double, simt::Fp16, simt::Bf16>;
TYPED_TEST_SUITE(CarryGradientsOf, AllTypes);

TYPED_TEST(CarryGradientsOf, AreThoseOfOneRun) {
  std::uint64_t turn = 0;
  for (Shape shape : shapes()) {
    shape.beyond = 0;
    shape.exact_gaps = true;  // so that ages are the same in both
    for (const Impute impute : all_imputes) {
      if (impute == Impute::none) continue;
      const std::uint64_t seed = ++turn;
      std::ostringstream what;
      what << shape << " impute " << static_cast<int>(impute) << " seed " << seed;
      SCOPED_TRACE(what.str());
      Problem<TypeParam> problem(shape, impute, seed);
      const auto one = problem.run(std::max<std::int64_t>(problem.longest(), 1));
      const std::int64_t segments[] = {1, 5, 32, 40};
      const std::int64_t segment = segments[seed % (problem.longest() > 100 ? 3 : 4)];
      const emulator::WithSettings with(two_thread_orders(turn)[turn % 2]);
      problem.compare(*one, *problem.run(segment > 1 || problem.longest() < 100 ? segment : 64));
      if (testing::Test::HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace lacuna::token_tests
