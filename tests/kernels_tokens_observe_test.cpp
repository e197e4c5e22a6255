// locate and observe on the emulator, against the oracle, in several orders of threads.
#include "kernels/tokens/observe.h"

#include <gtest/gtest.h>

#include "kernels/tokens/locate.h"
#include "kernels_tokens/batches.h"
#include "reference/impute.h"
#include "reference/observe.h"

namespace lacuna::token_tests {
namespace {

struct Options {
  reference::Impute impute = reference::Impute::decay;
  bool mask_input = false, gap_input = false, evolve_only = true;
  // Off: only what cannot be left out.
  bool all_outputs = true;
};

reference::Layer layer_of(const Shape& shape, const Options& options) {
  return {.impute = options.impute,
          .features = static_cast<int>(shape.features),
          .mask_input = options.mask_input,
          .gap_input = options.gap_input,
          .reverse = shape.reverse};
}

std::int64_t round_up(std::int64_t n) { return (n + 7) / 8 * 8; }

template <class T>
struct Results {
  using R = simt::Real<T>;
  std::int64_t tokens, sequences, features, input_stride, delta_stride;
  Output<R> gaps, delta, since, first_gap;
  Output<T> input, imputed, last_values;
  Output<double> last_time;
  support::GuardedBuffer<std::int32_t> sequence_of;
  support::GuardedBuffer<std::uint8_t> fires;

  Results(const Batch<T>& batch, const reference::Layer& layer)
      : tokens(batch.tokens),
        sequences(batch.exact.sequences()),
        features(batch.features),
        input_stride(round_up(layer.input_width())),
        delta_stride(round_up(features)),
        gaps(tokens),
        delta(tokens * delta_stride),
        since(sequences * features),
        first_gap(sequences),
        input(tokens * input_stride),
        imputed(tokens * features),
        last_values(sequences * features),
        last_time(sequences),
        sequence_of(size(tokens)),
        fires(size(tokens)) {}

  std::string damage() const {
    return gaps.damage() + delta.damage() + since.damage() + first_gap.damage() + input.damage() +
           imputed.damage() + last_values.damage() + last_time.damage() + sequence_of.damage() +
           fires.damage();
  }
  // Everything written, as numbers.
  Doubles all() const {
    Doubles every;
    for (const Doubles& some :
         {gaps.values(), delta.values(), since.values(), first_gap.values(), input.values(),
          imputed.values(), last_values.values(), last_time.values()})
      every.insert(every.end(), some.begin(), some.end());
    every.insert(every.end(), sequence_of.data(), sequence_of.data() + tokens);
    every.insert(every.end(), fires.data(), fires.data() + tokens);
    return every;
  }
};

template <class T>
void run(const Batch<T>& batch, const ImputeParameters<T>& parameters, const Options& options,
         Results<T>& results) {
  const auto or_null = [](const auto& v) { return v.empty() ? nullptr : v.data(); };
  Observe<T> args;
  args.batch = batch.device();
  args.impute = in_abi(options.impute);
  args.mask_input = options.mask_input;
  args.gap_input = options.gap_input;
  locate(nullptr, args.batch, results.sequence_of.data(), results.gaps.data());
  // Inputs without guards: a sanitizer sees their ends.
  const std::vector<std::int32_t> sequence_of = results.sequence_of.vector();
  const std::vector<simt::Real<T>> gaps(results.gaps.data(), results.gaps.data() + batch.tokens);
  args.sequence_of = sequence_of.data();
  args.gaps = gaps.data();
  args.mean = or_null(parameters.mean);
  args.weight = or_null(parameters.weight);
  args.bias = or_null(parameters.bias);
  support::GuardedBuffer<ObserveSummary<T>> summaries(
      size(observe_summaries(batch.tokens, batch.features)));
  args.summaries = summaries.data();
  args.input = results.input.data();
  args.input_stride = results.input_stride;
  if (options.all_outputs) {
    const bool masked = options.impute != reference::Impute::none;
    args.delta = results.delta.data();
    args.delta_stride = results.delta_stride;
    args.imputed = results.imputed.data();
    args.fires = results.fires.data();
    args.last_values = masked ? results.last_values.data() : nullptr;
    args.since = masked ? results.since.data() : nullptr;
    args.last_time = batch.times.empty() ? nullptr : results.last_time.data();
    args.first_gap = batch.delta_t.empty() || !batch.reverse ? nullptr : results.first_gap.data();
  }
  observe(nullptr, args);
  EXPECT_EQ(summaries.damage(), "");
  EXPECT_EQ(results.damage(), "");
}

// Of an imputed value, from magnitudes of up to 2: a few operations that round, then its storage.
template <class T>
double allowed_x(double x) {
  return unit<T>() * std::abs(x) + 64 * unit<simt::Real<T>>() + smallest_unit<T>();
}

// Of elapsed time: its gaps, their sum, its storage.
template <class T>
Doubles allowed_time(const Doubles& times) {
  Doubles allowed;
  for (const double t : times)
    allowed.push_back((3 * unit<simt::Real<T>>() + 64 * 0x1p-53) * std::abs(t));
  return allowed;
}

template <class T>
void check(const Batch<T>& batch, const ImputeParameters<T>& parameters,
           const reference::Layer& layer, const Results<T>& got) {
  const std::int64_t features = batch.features, used = batch.exact.tokens();
  const auto seen = reference::observe(layer, batch.exact);
  const Doubles plain = reference::impute(layer, exact_parameters(parameters), batch.exact, seen);
  Doubles input(size(got.tokens * got.input_stride)), allowed(input.size());
  Doubles delta(size(got.tokens * got.delta_stride)), imputed(size(got.tokens * features), NAN);
  Doubles allowed_imputed(imputed.size()), sequence_of(size(got.tokens), -1),
      fires(size(got.tokens));
  Doubles gaps(size(got.tokens));
  const std::int64_t width = layer.input_width();
  for (std::int64_t s = 0; s < used; ++s) {
    for (std::int64_t k = 0; k < width; ++k) {
      const auto at = size(s * got.input_stride + k);
      input[at] = plain[size(s * width + k)];
      const bool time = layer.gap_input && k == width - 1;
      if (time) allowed[at] = (unit<T>() + 4 * unit<simt::Real<T>>()) * (1 + input[at]);
      if (k >= features) continue;
      const auto cell = size(s * features + k);
      // Measured values and the mean come through as they are.
      const bool as_it_is = seen.measured[cell] || layer.impute == reference::Impute::forward;
      allowed[at] = as_it_is ? unit<T>() * std::abs(input[at]) : allowed_x<T>(input[at]);
      if (seen.measured[cell]) allowed[at] = 0;
      imputed[cell] = input[at];
      allowed_imputed[cell] = allowed[at];
      delta[size(s * got.delta_stride + k)] = seen.delta[cell];
    }
    gaps[size(s)] = seen.delta_t[size(s)];
    fires[size(s)] = !seen.row_is_empty(s, static_cast<int>(features));
  }
  for (std::int64_t b = 0; b < got.sequences; ++b)
    for (std::int64_t s = batch.exact.offsets[size(b)]; s < batch.exact.offsets[size(b + 1)]; ++s)
      sequence_of[size(s)] = static_cast<double>(b);
  EXPECT_EQ(far(got.gaps.values(), gaps, allowed_time<T>(gaps)), "");
  EXPECT_EQ(far(got.input.values(), input, allowed), "");
  EXPECT_EQ(far(got.delta.values(), delta, allowed_time<T>(delta)), "");
  EXPECT_EQ(far(got.imputed.values(), imputed, allowed_imputed), "");
  EXPECT_EQ(
      differ(Doubles(got.sequence_of.data(), got.sequence_of.data() + got.tokens), sequence_of),
      "");
  EXPECT_EQ(differ(Doubles(got.fires.data(), got.fires.data() + got.tokens), fires), "");
  if (layer.impute != reference::Impute::none) {
    EXPECT_EQ(differ(got.last_values.values(), seen.context.last_value), "");
    const Doubles& since = seen.context.since;
    EXPECT_EQ(far(got.since.values(), since, allowed_time<T>(since)), "");
  }
  if (!batch.times.empty()) {
    EXPECT_EQ(differ(got.last_time.values(), seen.context.last_time), "");
  }
  if (!batch.delta_t.empty() && batch.reverse) {
    EXPECT_EQ(differ(got.first_gap.values(), seen.context.first_gap), "");
  }
}

// Without a mask everything is measured, and nothing of a mask's carry is there.
Shape shape_for(Shape shape, reference::Impute impute) {
  if (impute != reference::Impute::none) return shape;
  shape.missing_percent = 0;
  shape.never_measured = -1;
  shape.from_nan = true;
  return shape;
}
template <class T>
Batch<T> batch_for(const Shape& shape, reference::Impute impute) {
  Batch<T> batch = make_batch<T>(shape_for(shape, impute));
  if (impute == reference::Impute::none) {
    batch.exact.context.last_value.clear();
    batch.exact.context.since.clear();
    batch.last_values.clear();
    batch.since.clear();
  }
  return batch;
}

template <class T>
class KernelsTokensObserve : public testing::Test {};
using Types = testing::Types<float, double, simt::Fp16, simt::Bf16>;
TYPED_TEST_SUITE(KernelsTokensObserve, Types);

TYPED_TEST(KernelsTokensObserve, EqualsTheOracleInAnyOrder) {
  using T = TypeParam;
  std::uint64_t turn = 0;
  for (const Shape& shape : shapes()) {
    for (const reference::Impute impute : all_imputes) {
      ++turn;
      const Options options{.impute = impute,
                            .mask_input = turn % 2 == 0 && impute != reference::Impute::none,
                            .gap_input = turn % 3 == 0};
      SCOPED_TRACE(testing::Message()
                   << shape << " impute " << static_cast<int>(impute) << " options " << turn);
      const Batch<T> batch = batch_for<T>(shape, impute);
      const ImputeParameters<T> parameters(impute, shape.features, turn);
      const reference::Layer layer = layer_of(shape, options);
      Doubles first;
      for (const auto& order : two_thread_orders(turn)) {
        const emulator::WithSettings with(order);
        Results<T> results(batch, layer);
        run(batch, parameters, options, results);
        if (first.empty()) {
          check(batch, parameters, layer, results);
          first = results.all();
        }
        EXPECT_EQ(differ(results.all(), first), "");
      }
      if (testing::Test::HasFailure()) return;
    }
  }
}

// Small, for ThreadSanitizer.
TEST(KernelsTokensObserveThreads, DoNotRace) {
  for (const bool reverse : {false, true}) {
    const Shape shape{
        .lengths = {3, 0, 70}, .features = 3, .beyond = 2, .reverse = reverse, .carry = true};
    const Options options{.mask_input = true, .gap_input = true};
    const Batch<float> batch = make_batch<float>(shape);
    const ImputeParameters<float> parameters(options.impute, shape.features, 2);
    const emulator::WithSettings with(two_thread_orders(1)[1]);
    Results<float> results(batch, layer_of(shape, options));
    run(batch, parameters, options, results);
    check(batch, parameters, layer_of(shape, options), results);
  }
}

TYPED_TEST(KernelsTokensObserve, WritesNothingThatIsNotWanted) {
  using T = TypeParam;
  for (const bool reverse : {false, true}) {
    const Shape shape{.lengths = {3, 0, 40}, .features = 3, .beyond = 2, .reverse = reverse};
    const Batch<T> batch = make_batch<T>(shape);
    const Options options{.all_outputs = false};
    const ImputeParameters<T> parameters(options.impute, shape.features, 3);
    const reference::Layer layer = layer_of(shape, options);
    Results<T> few(batch, layer), all(batch, layer);
    run(batch, parameters, options, few);
    run(batch, parameters, {}, all);
    EXPECT_EQ(differ(few.input.values(), all.input.values()), "");
    for (const double v : few.delta.values()) EXPECT_TRUE(std::isnan(v));
    for (const double v : few.imputed.values()) EXPECT_TRUE(std::isnan(v));
    for (const double v : few.last_values.values()) EXPECT_TRUE(std::isnan(v));
  }
}

// Of every sequence the part from `from` to `to` of its length.
template <class T>
Batch<T> piece(const Batch<T>& whole, double from, double to) {
  Batch<T> part;
  part.features = whole.features;
  part.reverse = whole.reverse;
  const reference::Batch& all = whole.exact;
  for (std::int64_t b = 0; b < all.sequences(); ++b) {
    const std::int64_t begin = all.offsets[size(b)];
    const double length = static_cast<double>(all.offsets[size(b + 1)] - begin);
    const auto first = begin + static_cast<std::int64_t>(from * length);
    const auto last = begin + static_cast<std::int64_t>(to * length);
    part.exact.offsets.push_back(part.exact.offsets.back() + last - first);
    const auto take = [&](const auto& source, auto& target, std::int64_t width) {
      if (!source.empty())
        target.insert(target.end(), source.begin() + first * width, source.begin() + last * width);
    };
    take(all.values, part.exact.values, whole.features);
    take(all.mask, part.exact.mask, whole.features);
    take(all.delta_t, part.exact.delta_t, 1);
    take(all.times, part.exact.times, 1);
  }
  return part;
}

// Where every value is measured and no time is read, neither whose a token is nor its gap is needed. Rows behind the last
// token are not read, and become zeros.
TYPED_TEST(KernelsTokensObserve, CopiesRowsThatAreAllThereIs) {
  using T = TypeParam;
  const std::vector<std::int64_t> offsets = {0, 3, 3, 50};
  const std::int64_t used = 50, spare = 6;
  for (const std::int64_t features : {1, 7, 8, 41})
    for (const bool imputed : {false, true})
      for (const auto& order : thread_orders(1)) {
        const emulator::WithSettings with(order);
        support::Random random(3);
        Doubles exact = random_doubles(used * features, random);
        std::vector<T> values = round_to<T>(exact);
        values.resize(size((used + spare) * features), to<T>(NAN));
        Observe<T> args;
        args.batch.sequences = 3;
        args.batch.tokens = used + spare;
        args.batch.features = features;
        args.batch.offsets = offsets.data();
        args.batch.values = values.data();
        args.input_stride = round_up(features);
        Output<T> input(args.batch.tokens * args.input_stride), copy(args.batch.tokens * features);
        args.input = input.data();
        if (imputed) args.imputed = copy.data();
        EXPECT_TRUE(args.copies());
        observe(nullptr, args);
        Doubles want(size(args.batch.tokens * args.input_stride));
        for (std::int64_t s = 0; s < used; ++s)
          for (std::int64_t d = 0; d < features; ++d)
            want[size(s * args.input_stride + d)] = exact[size(s * features + d)];
        EXPECT_EQ(differ(input.values(), want), "");
        if (!imputed) exact.clear();
        exact.resize(copy.values().size(), NAN);
        EXPECT_EQ(differ(copy.values(), exact), "");
        EXPECT_EQ(input.damage() + copy.damage(), "");
      }
}

TYPED_TEST(KernelsTokensObserve, PiecesThatCarryEqualTheWhole) {
  using T = TypeParam;
  for (const bool reverse : {false, true})
    for (const Time time : {Time::gaps, Time::stamps})
      for (const reference::Impute impute :
           {reference::Impute::forward, reference::Impute::relax}) {
        // The first sequence's middle piece, and the second's first, hold no token.
        const Shape shape{.lengths = {1, 2, 90, 33, 0, 7},
                          .features = 5,
                          .missing_percent = 85,
                          .reverse = reverse,
                          .time = time,
                          .seed = 11};
        SCOPED_TRACE(testing::Message() << shape);
        const Batch<T> whole = make_batch<T>(shape);
        const Options options{.impute = impute, .mask_input = true, .gap_input = true};
        const ImputeParameters<T> parameters(impute, shape.features, 5);
        const reference::Layer layer = layer_of(shape, options);
        Results<T> expected(whole, layer);
        run(whole, parameters, options, expected);

        std::vector<double> cuts = {0, 0.4, 0.5, 0.8, 1};
        reference::Context context;
        Doubles input(expected.input.values().size(), NAN),
            delta(expected.delta.values().size(), NAN);
        for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
          const std::size_t p = reverse ? cuts.size() - 2 - i : i;
          Batch<T> part = piece(whole, cuts[p], cuts[p + 1]);
          part.exact.context = context;
          part.finish(1);
          Results<T> got(part, layer);
          run(part, parameters, options, got);
          context = {};
          context.last_value = got.last_values.values();
          context.since = got.since.values();
          if (time == Time::stamps) context.last_time = got.last_time.values();
          if (time == Time::gaps && reverse) context.first_gap = got.first_gap.values();
          // Back to where the piece stands in the whole.
          const Doubles piece_input = got.input.values(), piece_delta = got.delta.values();
          for (std::int64_t b = 0; b < whole.exact.sequences(); ++b) {
            const std::int64_t begin = whole.exact.offsets[size(b)];
            const double length = static_cast<double>(whole.exact.offsets[size(b + 1)] - begin);
            const auto first = begin + static_cast<std::int64_t>(cuts[p] * length);
            const std::int64_t from = part.exact.offsets[size(b)];
            const std::int64_t tokens = part.exact.offsets[size(b + 1)] - from;
            std::copy_n(piece_input.begin() + from * got.input_stride, tokens * got.input_stride,
                        input.begin() + first * got.input_stride);
            std::copy_n(piece_delta.begin() + from * got.delta_stride, tokens * got.delta_stride,
                        delta.begin() + first * got.delta_stride);
          }
        }
        EXPECT_EQ(differ(input, expected.input.values()), "");
        EXPECT_EQ(differ(delta, expected.delta.values()), "");
        EXPECT_EQ(differ(context.last_value, expected.last_values.values()), "");
        EXPECT_EQ(differ(context.since, expected.since.values()), "");
        EXPECT_EQ(differ(context.last_time,
                         time == Time::stamps ? expected.last_time.values() : context.last_time),
                  "");
      }
}

// Sums of elapsed time do not feel where chunks begin: alone or behind others, a sequence reads the
// same.
TYPED_TEST(KernelsTokensObserve, ASequenceDoesNotFeelItsNeighbours) {
  using T = TypeParam;
  for (const bool reverse : {false, true}) {
    const Shape alone{.lengths = {200},
                      .features = 3,
                      .missing_percent = 96,
                      .never_measured = 2,
                      .from_nan = true,
                      .reverse = reverse,
                      .exact_gaps = false};
    const Batch<T> one = make_batch<T>(alone);
    Batch<T> more = one;
    constexpr std::int64_t others = 13;
    more.exact.offsets = {0, others, others + 200, others + 203};
    const auto embed = [&](Doubles& values, std::int64_t width) {
      values.insert(values.begin(), size(others * width), 0.25);
      values.insert(values.end(), size(3 * width), 0.5);
    };
    embed(more.exact.values, 3);
    embed(more.exact.delta_t, 1);
    more.finish(5);
    const Options options{.impute = reference::Impute::relax};
    const ImputeParameters<T> parameters(options.impute, alone.features, 8);
    const reference::Layer layer = layer_of(alone, options);
    Results<T> got_alone(one, layer), got(more, layer);
    run(one, parameters, options, got_alone);
    run(more, parameters, options, got);
    const auto part = [&](const Doubles& all, std::int64_t stride) {
      return Doubles(all.begin() + others * stride, all.begin() + (others + 200) * stride);
    };
    // The summation is in double: only for double itself is the last bit its own.
    const double last_bit = std::is_same_v<T, double> ? 200 * unit<double>() : 0;
    EXPECT_EQ(
        far(part(got.delta.values(), got.delta_stride), got_alone.delta.values(), last_bit * 1000),
        "");
    EXPECT_EQ(far(part(got.input.values(), got.input_stride), got_alone.input.values(), last_bit),
              "");
  }
}

}  // namespace
}  // namespace lacuna::token_tests
