// observe_backward and gap_gradient on the emulator, against the oracle, in several orders of
// threads.
#include "kernels/tokens/observe_backward.h"

#include <gtest/gtest.h>

#include "kernels/tokens/gap_gradient.h"
#include "kernels/tokens/locate.h"
#include "kernels/tokens/observe.h"
#include "kernels_tokens/batches.h"
#include "reference/impute.h"
#include "reference/observe.h"

namespace lacuna::token_tests {
namespace {

// Which gradients are asked for.
struct Wanted {
  bool values = true, age = true, mean = true, weight = true, bias = true;
};

// One layer over one batch, forward, with random gradients for the way back. Rows and columns that
// hold nothing are NaN.
template <class T>
struct Problem {
  using R = simt::Real<T>;

  Batch<T> batch;
  reference::Layer layer;
  ImputeParameters<T> parameters;
  bool evolve_reads_delta;
  std::int64_t input_stride, delta_stride;
  std::vector<std::int32_t> sequence_of;
  std::vector<R> gaps, delta;
  std::vector<T> input;
  Doubles exact_d_input, exact_d_delta;  // [N, input_stride], [N, delta_stride]
  std::vector<R> d_input, d_delta;
  Doubles mean_before, weight_before, bias_before;

  Problem(const Shape& shape, reference::Impute impute, std::uint64_t seed)
      : batch(make_batch<T>(shape)),
        layer{.impute = impute,
              .features = static_cast<int>(shape.features),
              .mask_input = impute != reference::Impute::none && seed % 2 == 0,
              .gap_input = seed % 3 == 0,
              .reverse = shape.reverse},
        parameters(impute, shape.features, seed),
        evolve_reads_delta(seed % 5 < 3),
        input_stride((layer.input_width() + 7) / 8 * 8),
        delta_stride((shape.features + 7) / 8 * 8),
        sequence_of(size(batch.tokens)),
        gaps(sequence_of.size()),
        delta(size(batch.tokens * delta_stride)),
        input(size(batch.tokens * input_stride)) {
    Observe<T> args;
    args.batch = batch.device();
    args.impute = in_abi(impute);
    args.mask_input = layer.mask_input;
    args.gap_input = layer.gap_input;
    locate(nullptr, args.batch, sequence_of.data(), gaps.data());
    args.sequence_of = sequence_of.data();
    args.gaps = gaps.data();
    args.mean = or_null(parameters.mean);
    args.weight = or_null(parameters.weight);
    args.bias = or_null(parameters.bias);
    std::vector<ObserveSummary<T>> summaries(size(observe_summaries(batch.tokens, batch.features)));
    args.summaries = summaries.data();
    args.input = input.data();
    args.input_stride = input_stride;
    args.delta = delta.data();
    args.delta_stride = delta_stride;
    observe(nullptr, args);

    support::Random random(seed + 77);
    const auto gradients = [&](std::int64_t stride, std::int64_t width) {
      Doubles d = random_doubles(batch.tokens * stride, random);
      for (std::int64_t at = 0; at < batch.tokens * stride; ++at)
        if (at % stride >= width || at / stride >= used()) d[size(at)] = NAN;
      return d;
    };
    exact_d_input = gradients(input_stride, layer.input_width());
    exact_d_delta = gradients(delta_stride, batch.features);
    d_input = round_to<R>(exact_d_input);
    d_delta = round_to<R>(exact_d_delta);
    for (Doubles* before : {&mean_before, &weight_before, &bias_before}) {
      *before = random_doubles(batch.features, random);
      round_to<R>(*before);
    }
  }

  template <class V>
  static auto or_null(const V& v) {
    return v.empty() ? nullptr : v.data();
  }
  std::int64_t used() const { return batch.exact.tokens(); }
};

template <class T>
struct Gradients {
  using R = simt::Real<T>;
  Output<T> d_values;
  Output<R> d_age, d_mean, d_weight, d_bias, total, d_delta_t;

  explicit Gradients(const Problem<T>& p)
      : d_values(p.batch.tokens * p.batch.features),
        d_age(p.batch.tokens * p.batch.features),
        d_mean(p.mean_before),
        d_weight(p.weight_before),
        d_bias(p.bias_before),
        total(p.batch.tokens),
        d_delta_t(p.batch.tokens) {}

  Doubles all() const {
    Doubles every = d_values.values();
    for (const Output<R>* some : {&d_age, &d_mean, &d_weight, &d_bias, &total, &d_delta_t}) {
      const Doubles values = some->values();
      every.insert(every.end(), values.begin(), values.end());
    }
    return every;
  }
  std::string damage() const {
    return d_values.damage() + d_age.damage() + d_mean.damage() + d_weight.damage() +
           d_bias.damage() + total.damage() + d_delta_t.damage();
  }
};

template <class T>
void run(const Problem<T>& p, const Wanted& wanted, Gradients<T>& out) {
  using R = simt::Real<T>;
  using reference::Impute;
  const Impute impute = p.layer.impute;
  const bool timed = impute == Impute::decay || impute == Impute::relax;
  ObserveBackward<T> args;
  args.batch = p.batch.device();
  args.impute = in_abi(impute);
  args.sequence_of = p.sequence_of.data();
  args.d_input = p.d_input.data();
  args.d_input_stride = p.input_stride;
  if (p.evolve_reads_delta) {
    args.d_delta = p.d_delta.data();
    args.d_delta_stride = p.delta_stride;
  }
  // Only what imputation was timed with is read of the tape.
  if (timed) {
    args.input = p.input.data();
    args.input_stride = p.input_stride;
    args.delta = p.delta.data();
    args.delta_stride = p.delta_stride;
  }
  args.mean = p.or_null(p.parameters.mean);
  args.weight = p.or_null(p.parameters.weight);
  args.bias = p.or_null(p.parameters.bias);
  const std::int64_t features = p.batch.features;
  support::GuardedBuffer<ObserveGradient<T>> summaries(
      size(observe_backward_summaries(p.batch.tokens, features)));
  Output<R> sums(observe_backward_sums(p.batch.tokens, features));
  if (impute != Impute::none) {
    args.summaries = summaries.data();
    args.sums = sums.data();
  }
  if (wanted.values) args.d_values = out.d_values.data();
  if (wanted.age) args.d_age = out.d_age.data();
  if (wanted.mean && impute != Impute::none) args.d_mean = out.d_mean.data();
  if (wanted.weight && timed) args.d_weight = out.d_weight.data();
  if (wanted.bias && impute == Impute::decay) args.d_bias = out.d_bias.data();
  observe_backward(nullptr, args);
  EXPECT_EQ(summaries.damage() + sums.damage(), "");
  if (wanted.age) {
    row_sums<R>(nullptr, out.d_age.data(), p.batch.tokens, features, features, nullptr,
                out.total.data(), false);
    const std::int64_t column = p.layer.gap_input ? p.layer.input_width() - 1 : -1;
    gap_gradient(nullptr, args.batch, p.sequence_of.data(), p.gaps.data(), out.total.data(),
                 column < 0 && features % 2 == 0 ? nullptr : p.d_input.data(), p.input_stride,
                 column, out.d_delta_t.data());
  }
  EXPECT_EQ(out.damage(), "");
}

// What the oracle gives, and of each number the sum of the magnitudes that it is made of.
struct Expected {
  Doubles d_values, d_age, d_mean, d_weight, d_bias, d_delta_t;
  Doubles of_values, of_age, of_mean, of_weight, of_bias, of_delta_t;
};

template <class T>
Expected expected(const Problem<T>& p) {
  using reference::Impute;
  const reference::Layer& layer = p.layer;
  const reference::Batch& batch = p.batch.exact;
  const std::int64_t used = p.used(), features = p.batch.features, width = layer.input_width();
  const std::size_t cells = size(used * features), columns = size(features);
  const auto seen = reference::observe(layer, batch);
  const reference::Parameters parameters = exact_parameters(p.parameters);
  Doubles d_input;
  for (std::int64_t s = 0; s < used; ++s)
    for (std::int64_t k = 0; k < width; ++k)
      d_input.push_back(p.exact_d_input[size(s * p.input_stride + k)]);
  reference::Parameters d_parameters = parameters;
  for (const auto& [name, tensor] : reference::named_tensors(d_parameters))
    tensor->assign(tensor->size(), 0.0);
  Expected e;
  e.d_values.resize(cells);
  Doubles d_delta(cells), d_gap(size(used));
  if (p.evolve_reads_delta)
    for (std::size_t at = 0; at < cells; ++at)
      d_delta[at] = p.exact_d_delta[at / columns * size(p.delta_stride) + at % columns];
  e.of_age.resize(cells);
  for (std::size_t at = 0; at < cells; ++at) e.of_age[at] = std::abs(d_delta[at]);
  if (layer.impute != Impute::none) {
    reference::impute_backward(layer, parameters, batch, seen, d_input,
                               {d_parameters, e.d_values, d_delta, d_gap});
  } else {
    for (std::int64_t s = 0; s < used; ++s) {
      for (std::int64_t d = 0; d < features; ++d)
        e.d_values[size(s * features + d)] = d_input[size(s * width + d)];
      if (layer.gap_input)
        d_gap[size(s)] += d_input[size((s + 1) * width - 1)] / (1 + seen.delta_t[size(s)]);
    }
  }
  e.of_delta_t = d_gap;
  for (double& v : e.of_delta_t) v = std::abs(v);
  e.d_delta_t = reference::observe_backward(layer, batch, seen, d_gap, d_delta);

  // Magnitudes. |x| + |x_mean| is at most 3, and so is |x_last - x_mean|.
  e.of_values.resize(cells);
  for (Doubles* of : {&e.of_mean, &e.of_weight, &e.of_bias}) of->resize(columns);
  for (std::size_t at = 0; at < cells; ++at) {
    const std::size_t d = at % columns;
    const double d_x = std::abs(d_input[at / columns * size(width) + d]);
    if (seen.measured[at]) {
      e.of_values[at] += d_x;
      continue;
    }
    e.of_mean[d] += d_x;
    if (seen.last_token[at] >= 0) e.of_values[size(seen.last_token[at] * features) + d] += d_x;
    if (parameters.impute_weight.empty()) continue;
    e.of_weight[d] += 3 * d_x * seen.delta[at];
    e.of_bias[d] += 3 * d_x;
    const double weight = parameters.impute_weight[d];
    const double slope =
        layer.impute == Impute::relax ? std::log1p(std::exp(weight)) : std::abs(weight);
    e.of_age[at] += 3 * d_x * slope;
  }
  // delta[s] holds the gap before s and, while nothing is measured, all of delta[s-1].
  e.d_age = d_delta;
  for (std::int64_t b = 0; b < batch.sequences(); ++b) {
    const auto read = reference::reading(layer, batch, b);
    for (std::int64_t step = read.length() - 1; step-- > 0;)
      for (std::int64_t d = 0; d < features; ++d) {
        const auto here = size(read.token(step) * features + d);
        const auto behind = size(read.token(step + 1) * features + d);
        if (seen.measured[here]) continue;
        e.d_age[here] += e.d_age[behind];
        e.of_age[here] += e.of_age[behind];
      }
  }
  if (!batch.delta.empty()) {
    e.d_age.assign(cells, 0);
    e.of_age.assign(cells, 0);
  }
  for (std::size_t at = 0; at < cells; ++at) e.of_delta_t[at / columns] += e.of_age[at];
  // To where the gap stands.
  if (layer.reverse) {
    e.of_delta_t.insert(e.of_delta_t.begin(), 0.0);
    e.of_delta_t.pop_back();
  }
  e.d_mean = d_parameters.x_mean;
  e.d_weight = d_parameters.impute_weight;
  e.d_bias = d_parameters.impute_bias;
  return e;
}

// The caller's rows beyond are not written: NaN, as they were.
Doubles with_rows_beyond(Doubles values, std::int64_t count, double beyond) {
  values.resize(size(count), beyond);
  return values;
}

template <class T>
void check(const Problem<T>& p, const Gradients<T>& got) {
  const Expected e = expected(p);
  const std::int64_t cells = p.batch.tokens * p.batch.features;
  const double terms = std::log2(static_cast<double>(p.used() + 2));
  // 16: a factor, its exponent and its delta round a few times each.
  const double computed = 16 * terms * unit<simt::Real<T>>();
  // The tape holds x as T does, and beside it the mean is rounded too.
  const double taped = computed + 2 * unit<T>();
  const auto allowed = [](const Doubles& magnitudes, double relative, double start,
                          double least = 0) {
    Doubles a;
    for (const double m : magnitudes) a.push_back(relative * (m + start) + least);
    return a;
  };
  EXPECT_EQ(far(got.d_values.values(), with_rows_beyond(e.d_values, cells, NAN),
                with_rows_beyond(allowed(e.of_values, taped, 0, smallest_unit<T>()), cells, 0)),
            "");
  EXPECT_EQ(far(got.d_age.values(), with_rows_beyond(e.d_age, cells, 0),
                with_rows_beyond(allowed(e.of_age, taped, 0), cells, 0)),
            "");
  EXPECT_EQ(far(got.d_delta_t.values(), with_rows_beyond(e.d_delta_t, p.batch.tokens, NAN),
                with_rows_beyond(allowed(e.of_delta_t, taped, 0), p.batch.tokens, 0)),
            "");
  const auto sum = [&](const Output<simt::Real<T>>& result, const Doubles& before,
                       const Doubles& added, const Doubles& magnitudes, double relative) {
    Doubles want = before;
    for (std::size_t d = 0; d < added.size(); ++d) want[d] += added[d];
    EXPECT_EQ(far(result.values(), want, allowed(magnitudes, relative, 1)), "");
  };
  sum(got.d_mean, p.mean_before, e.d_mean, e.of_mean, computed);
  sum(got.d_weight, p.weight_before, e.d_weight, e.of_weight, taped);
  sum(got.d_bias, p.bias_before, e.d_bias, e.of_bias, taped);
}

// Without a mask everything is measured, and nothing of a mask's carry is there.
Shape shape_for(Shape shape, reference::Impute impute) {
  if (impute != reference::Impute::none) return shape;
  shape.missing_percent = 0;
  shape.never_measured = -1;
  shape.from_nan = true;
  shape.carry = false;
  return shape;
}

template <class T>
class KernelsTokensBackward : public testing::Test {};
using Types = testing::Types<float, double, simt::Fp16, simt::Bf16>;
TYPED_TEST_SUITE(KernelsTokensBackward, Types);

TYPED_TEST(KernelsTokensBackward, EqualsTheOracleInAnyOrder) {
  std::uint64_t turn = 0;
  for (const Shape& shape : shapes())
    for (const reference::Impute impute : all_imputes) {
      ++turn;
      SCOPED_TRACE(testing::Message()
                   << shape << " impute " << static_cast<int>(impute) << " turn " << turn);
      const Problem<TypeParam> problem(shape_for(shape, impute), impute, turn);
      Doubles first;
      for (const auto& order : two_thread_orders(turn)) {
        const emulator::WithSettings with(order);
        Gradients<TypeParam> got(problem);
        run(problem, {}, got);
        if (first.empty()) {
          check(problem, got);
          first = got.all();
        }
        EXPECT_EQ(differ(got.all(), first), "");
      }
      if (testing::Test::HasFailure()) return;
    }
}

// Small, for ThreadSanitizer.
TEST(KernelsTokensBackwardThreads, DoNotRace) {
  for (const bool reverse : {false, true}) {
    const Shape shape{.lengths = {3, 0, 70}, .features = 3, .beyond = 2, .reverse = reverse};
    const Problem<float> problem(shape, reference::Impute::decay, 6);
    const emulator::WithSettings with(two_thread_orders(1)[1]);
    Gradients<float> got(problem);
    run(problem, {}, got);
    check(problem, got);
  }
}

TYPED_TEST(KernelsTokensBackward, GivesEachGradientAlone) {
  const Shape shape{.lengths = {3, 0, 70}, .features = 3, .beyond = 2};
  const Problem<TypeParam> problem(shape, reference::Impute::decay, 6);
  Gradients<TypeParam> all(problem), none(problem);
  run(problem, {}, all);
  const bool off = false;
  for (const Wanted& wanted : {Wanted{true, off, off, off, off}, Wanted{off, true, off, off, off},
                               Wanted{off, off, true, off, off}, Wanted{off, off, off, true, off},
                               Wanted{off, off, off, off, true}, Wanted{off, off, off, off, off}}) {
    Gradients<TypeParam> got(problem);
    run(problem, wanted, got);
    const auto expect = [](const auto& one, const auto& where_wanted, const auto& where_not,
                           bool is_wanted) {
      EXPECT_EQ(differ(one.values(), (is_wanted ? where_wanted : where_not).values()), "");
    };
    expect(got.d_values, all.d_values, none.d_values, wanted.values);
    expect(got.d_age, all.d_age, none.d_age, wanted.age);
    expect(got.d_mean, all.d_mean, none.d_mean, wanted.mean);
    expect(got.d_weight, all.d_weight, none.d_weight, wanted.weight);
    expect(got.d_bias, all.d_bias, none.d_bias, wanted.bias);
  }
}

// Where every value is measured and only d_values is wanted, at any address. Rows behind the last token are left alone.
TYPED_TEST(KernelsTokensBackward, CopiesWhatIsAllThereIs) {
  using T = TypeParam;
  using R = simt::Real<T>;
  const std::vector<std::int64_t> offsets = {0, 3, 3, 50};
  const std::int64_t used = 50, spare = 6;
  for (const std::int64_t features : {1, 3, 8, 41})
    for (const std::int64_t shift : {0, 1})
      for (const auto& order : thread_orders(1)) {
        const emulator::WithSettings with(order);
        support::Random random(3);
        const std::int64_t stride = (features + 7) / 8 * 8;
        Doubles exact = random_doubles((used + spare) * stride, random);
        const std::vector<R> d_input = round_to<R>(exact);
        ObserveBackward<T> args;
        args.batch.sequences = 3;
        args.batch.tokens = used + spare;
        args.batch.features = features;
        args.batch.offsets = offsets.data();
        args.d_input = d_input.data();
        args.d_input_stride = stride;
        Output<T> d_values(shift + args.batch.tokens * features);
        args.d_values = d_values.data() + shift;
        EXPECT_TRUE(args.copies());
        observe_backward(nullptr, args);
        Doubles want(size(shift + args.batch.tokens * features), NAN);
        for (std::int64_t s = 0; s < used; ++s)
          for (std::int64_t d = 0; d < features; ++d)
            want[size(shift + s * features + d)] = from(to<T>(exact[size(s * stride + d)]));
        EXPECT_EQ(differ(d_values.values(), want), "");
        EXPECT_EQ(d_values.damage(), "");
      }
}

TYPED_TEST(KernelsTokensBackward, IsExactlyZeroWhereNothingWasMeasured) {
  for (const reference::Impute impute : all_imputes) {
    if (impute == reference::Impute::none) continue;
    const Shape shape{.lengths = {40, 1, 0, 9}, .features = 5, .missing_percent = 60};
    const Problem<TypeParam> problem(shape, impute, 4);
    Gradients<TypeParam> got(problem);
    run(problem, {}, got);
    const Doubles d_values = got.d_values.values();
    for (std::size_t at = 0; at < d_values.size(); ++at) {
      if (problem.batch.exact.mask[at] == 0) {
        EXPECT_EQ(d_values[at], 0);
      }
    }
  }
}

// x is x_mean wherever nothing was ever measured: the factor has no gradient there, however old the
// feature is and however coarse the type.
TYPED_TEST(KernelsTokensBackward, AFeatureNeverMeasuredMovesNoDecay) {
  for (const reference::Impute impute : {reference::Impute::decay, reference::Impute::relax}) {
    const Shape shape{.lengths = {100, 3}, .features = 2, .missing_percent = 100};
    const Problem<TypeParam> problem(shape, impute, 10);
    Gradients<TypeParam> got(problem);
    run(problem, {}, got);
    EXPECT_EQ(differ(got.d_weight.values(), problem.weight_before), "");
    EXPECT_EQ(differ(got.d_bias.values(), problem.bias_before), "");
  }
}

}  // namespace
}  // namespace lacuna::token_tests
