// What the examples' results rest on: ranking metrics, stratified folds, tables, scaling, the baseline.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "examples/common/arguments.h"
#include "examples/common/committee.h"
#include "examples/common/csv.h"
#include "examples/common/folds.h"
#include "examples/common/logistic.h"
#include "examples/common/metrics.h"
#include "examples/common/plot.h"
#include "examples/common/running_summary.h"
#include "examples/common/scaling.h"

namespace {

constexpr float missing = std::numeric_limits<float>::quiet_NaN();

template <class Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "nothing was thrown";
}

// The definition: over all pairs of a positive and a negative, the share ranked rightly, ties half.
double auc_by_pairs(const std::vector<double>& scores, const std::vector<int>& labels) {
  double right = 0, pairs = 0;
  for (std::size_t i = 0; i < scores.size(); ++i)
    for (std::size_t j = 0; j < scores.size(); ++j)
      if (labels[i] == 1 && labels[j] == 0) {
        pairs += 1;
        right += scores[i] > scores[j] ? 1 : scores[i] == scores[j] ? 0.5 : 0;
      }
  return right / pairs;
}

TEST(RocAuc, KnownValues) {
  EXPECT_DOUBLE_EQ(examples::roc_auc({0.1, 0.4, 0.35, 0.8}, {0, 0, 1, 1}), 0.75);
  EXPECT_DOUBLE_EQ(examples::roc_auc({1, 2, 3, 4}, {0, 0, 1, 1}), 1.0);
  EXPECT_DOUBLE_EQ(examples::roc_auc({4, 3, 2, 1}, {0, 0, 1, 1}), 0.0);
}

TEST(RocAuc, TiesCountHalf) {
  EXPECT_DOUBLE_EQ(examples::roc_auc({7, 7, 7, 7, 7}, {0, 1, 0, 1, 1}), 0.5);
  EXPECT_DOUBLE_EQ(examples::roc_auc({1, 2, 2, 3}, {0, 0, 1, 1}), 0.875);
}

TEST(RocAuc, AgreesWithCountingPairs) {
  examples::Random random(3);
  for (int round = 0; round < 50; ++round) {
    std::vector<double> scores;
    std::vector<int> labels{0, 1};
    for (int i = 0; i < 40; ++i) scores.push_back(static_cast<double>(random.below(12)));
    while (labels.size() < scores.size()) labels.push_back(random.uniform() < 0.3);
    EXPECT_NEAR(examples::roc_auc(scores, labels), auc_by_pairs(scores, labels), 1e-12);
  }
}

TEST(RocAuc, RefusesWhatHasNoAnswer) {
  EXPECT_THROW(examples::roc_auc({1, 2}, {1, 1}), std::invalid_argument);
  EXPECT_THROW(examples::roc_auc({1, 2}, {0, 2}), std::invalid_argument);
  EXPECT_THROW(examples::roc_auc({1}, {0, 1}), std::invalid_argument);
  EXPECT_THROW(examples::roc_auc({1, std::nan("")}, {0, 1}), std::invalid_argument);
}

TEST(RocCurve, OnePointPerDistinctScore) {
  const auto curve = examples::roc_curve({1, 2, 2, 3}, {0, 0, 1, 1});
  ASSERT_EQ(curve.size(), 4u);
  EXPECT_DOUBLE_EQ(curve[2].false_positive_rate, 0.5);
  EXPECT_DOUBLE_EQ(curve[2].true_positive_rate, 1.0);
  EXPECT_DOUBLE_EQ(curve.back().false_positive_rate, 1.0);
}

TEST(MeanSd, OfASample) {
  const auto result = examples::mean_sd({2, 4, 4, 4, 5, 5, 7, 9});
  EXPECT_DOUBLE_EQ(result.mean, 5);
  EXPECT_NEAR(result.sd, std::sqrt(32.0 / 7), 1e-12);
  EXPECT_EQ(examples::mean_sd({3}).sd, 0);
  EXPECT_THROW(examples::mean_sd({}), std::invalid_argument);
}

TEST(StratifiedFolds, EveryFoldHasItsShare) {
  std::vector<int> strata(103, 0);
  for (std::size_t i = 0; i < 17; ++i) strata[i * 6] = 1;
  const auto fold_of = examples::stratified_folds(strata, 5, 7);
  std::vector<int> size(5, 0), positives(5, 0);
  for (std::size_t i = 0; i < strata.size(); ++i) {
    ASSERT_GE(fold_of[i], 0);
    ASSERT_LT(fold_of[i], 5);
    ++size[static_cast<std::size_t>(fold_of[i])];
    positives[static_cast<std::size_t>(fold_of[i])] += strata[i];
  }
  for (std::size_t f = 0; f < 5; ++f) {
    EXPECT_TRUE(size[f] == 20 || size[f] == 21) << size[f];
    EXPECT_TRUE(positives[f] == 3 || positives[f] == 4) << positives[f];
  }
}

TEST(StratifiedFolds, TheSeedDecides) {
  std::vector<int> strata(60, 0);
  for (std::size_t i = 0; i < 20; ++i) strata[i] = 1;
  EXPECT_EQ(examples::stratified_folds(strata, 4, 1), examples::stratified_folds(strata, 4, 1));
  EXPECT_NE(examples::stratified_folds(strata, 4, 1), examples::stratified_folds(strata, 4, 2));
}

TEST(StratifiedFolds, RefusesImpossibleNumbers) {
  EXPECT_THROW(examples::stratified_folds({0, 1, 0}, 1, 1), std::invalid_argument);
  EXPECT_THROW(examples::stratified_folds({0, 1, 0}, 4, 1), std::invalid_argument);
}

TEST(Csv, ReadsNumbersAndWhatIsMissing) {
  const examples::CsvTable table("t.csv", "id,x\r\n1,2.5\r\n\r\n2,\r\n");
  ASSERT_EQ(table.rows(), 2u);
  EXPECT_EQ(table.number(0, table.column("x")), 2.5);
  EXPECT_TRUE(std::isnan(table.number(1, table.column("x"))));
  EXPECT_EQ(table.text(1, table.column("id")), "2");
}

TEST(Csv, ComplaintsNameFileAndLine) {
  EXPECT_EQ(message_of([] { examples::CsvTable("t.csv", ""); }),
            "t.csv is empty; expected a header line");
  EXPECT_EQ(message_of([] { examples::CsvTable("t.csv", "a,b\n1,2\n1,2,3\n"); }),
            "t.csv:3: has 3 fields; the header has 2");
  const examples::CsvTable table("t.csv", "a,b\n1,2\n\n1,2x\n");
  EXPECT_EQ(message_of([&] { (void)table.number(1, 1); }),
            "t.csv:4: column \"b\" holds \"2x\"; expected a number");
  EXPECT_EQ(message_of([&] { (void)table.column("c"); }), "t.csv has no column \"c\"");
  EXPECT_EQ(message_of([] { examples::read_csv("no/such/file.csv"); }),
            "cannot open no/such/file.csv");
}

TEST(Arguments, TakesOptionsInAnyOrder) {
  const char* argv[] = {"program", "--quick", "folder", "--folds", "3", "--seed=9"};
  examples::Arguments arguments(6, argv);
  EXPECT_TRUE(arguments.flag("--quick"));
  EXPECT_FALSE(arguments.flag("--quick"));
  EXPECT_EQ(arguments.integer("--folds", 5, 2, 10), 3);
  EXPECT_EQ(arguments.integer("--seed", 1, 0, 10), 9);
  EXPECT_EQ(arguments.text("--picture", "p.svg"), "p.svg");
  EXPECT_EQ(arguments.positional("DIR"), "folder");
  EXPECT_NO_THROW(arguments.finish());
}

TEST(Arguments, ComplaintsSayWhatWasExpected) {
  const char* argv[] = {"program", "--folds", "3x", "--seed"};
  examples::Arguments arguments(4, argv);
  EXPECT_EQ(message_of([&] { arguments.integer("--seed", 1, 0, 9); }), "--seed needs a value");
  EXPECT_EQ(message_of([&] { arguments.integer("--folds", 5, 2, 10); }),
            "--folds is \"3x\"; expected an integer from 2 to 10");
  EXPECT_EQ(message_of([&] { arguments.finish(); }), "unknown argument --seed");
  const char* lone[] = {"program"};
  examples::Arguments none(1, lone);
  EXPECT_EQ(message_of([&] { none.positional("DIR"); }), "DIR is missing");
}

TEST(Arguments, StatusTellsUsageFromFailure) {
  const char* argv[] = {"program"};
  const auto status = [&](auto program) {
    return examples::run_program("program", "usage\n", 1, argv, program);
  };
  EXPECT_EQ(status([](examples::Arguments&) {}), 0);
  EXPECT_EQ(status([](examples::Arguments& a) { a.positional("DIR"); }), 2);
  EXPECT_EQ(status([](examples::Arguments&) { throw std::runtime_error("planned"); }), 1);
}

TEST(Standardiser, LearnsFromTrainingAlone) {
  const std::vector<examples::Record> records{
      {.times = {0, 1}, .values = {1, 5, 3, missing}, .targets = {}},
      {.times = {0}, .values = {1000, missing}, .targets = {}}};
  const examples::Standardiser scale(records, {0}, 2);
  examples::Record record{.times = {0, 1}, .values = {3, missing, 1000, 5}, .targets = {}};
  scale.apply(record, 4);
  EXPECT_FLOAT_EQ(record.values[0], 1);  // mean 2, sd 1
  EXPECT_TRUE(std::isnan(record.values[1]));
  EXPECT_FLOAT_EQ(record.values[2], 4);  // drawn in
  EXPECT_FLOAT_EQ(record.values[3], 4);  // never varied: left as it is, then drawn in
  EXPECT_DOUBLE_EQ(scale.restore(0, 1), 3);
}

TEST(HideFeatures, WholeFeaturesOfWholeSequences) {
  examples::RaggedBatch batch;
  for (int r = 0; r < 200; ++r)
    batch.append({.times = {0, 1, 2}, .values = {1, 2, 3, 4, 5, 6}, .targets = {0, 0, 1}});
  examples::Random random(1);
  examples::hide_features(batch, 0.25, random);
  int hidden = 0;
  for (std::size_t b = 0; b < batch.sequences(); ++b)
    for (std::size_t d = 0; d < 2; ++d) {
      const int rows =
          batch.mask[6 * b + d] + batch.mask[6 * b + 2 + d] + batch.mask[6 * b + 4 + d];
      EXPECT_TRUE(rows == 0 || rows == 3);
      hidden += rows == 0;
    }
  EXPECT_NEAR(hidden / 400.0, 0.25, 0.08);
}

examples::RaggedBatch batch_of_lengths(const std::vector<std::size_t>& lengths) {
  examples::RaggedBatch batch;
  for (const std::size_t length : lengths)
    batch.append({.times = std::vector<double>(length, 0.0),
                  .values = std::vector<float>(length, 0.0f),
                  .targets = std::vector<float>(length, missing)});
  return batch;
}

TEST(RunningSummary, MeanAndMaximumOfEachSequenceSoFar) {
  const auto batch = batch_of_lengths({3, 0, 1});
  examples::RunningSummary summary;
  std::vector<float> seen;
  summary.forward(batch, {1, -2, 4, -6, -2, -1, -5, 7}, seen);  // [4, 2]
  EXPECT_EQ(seen, (std::vector<float>{1,  -2, 1,   -2, 1,  -2,  //
                                      4,  -6, 2.5, -4, 4,  -2,  //
                                      -2, -1, 1,   -3, 4,  -1,  //
                                      -5, 7,  -5,  7,  -5, 7}));
}

// Against finite differences, of a random weighted sum of all that the head sees.
TEST(RunningSummary, GradientsMeetFiniteDifferences) {
  const auto batch = batch_of_lengths({5, 1, 0, 9});
  examples::Random random(2);
  const auto draw = [&](std::size_t count) {
    std::vector<float> values(count);
    for (float& value : values) value = static_cast<float>(2 * random.uniform() - 1);
    return values;
  };
  const std::size_t width = 3;
  auto hidden = draw(batch.tokens() * width);
  const auto d_seen = draw(batch.tokens() * 3 * width);
  examples::RunningSummary summary;
  const auto sum = [&] {
    std::vector<float> seen;
    summary.forward(batch, hidden, seen);
    double total = 0;
    for (std::size_t i = 0; i < seen.size(); ++i) total += double{seen[i]} * d_seen[i];
    return total;
  };
  sum();
  std::vector<float> d_hidden;
  summary.backward(batch, d_seen, d_hidden);
  ASSERT_EQ(d_hidden.size(), hidden.size());
  // The sum is linear until another state becomes the highest, which a step this small does not do.
  const float step = 1.0f / 1024;
  for (std::size_t i = 0; i < hidden.size(); ++i) {
    const float before = hidden[i];
    hidden[i] = before + step;
    const double above = sum();
    hidden[i] = before - step;
    const double below = sum();
    hidden[i] = before;
    EXPECT_NEAR((above - below) / (2 * step), d_hidden[i], 2e-3) << i;
  }
}

// Two features, of which the first rises in those who are asked about with the answer 1.
examples::Task small_task() {
  examples::Random random(4);
  std::vector<examples::Record> records;
  std::vector<int> strata;
  for (int r = 0; r < 40; ++r) {
    examples::Record record;
    strata.push_back(r % 2);
    for (int s = 0; s < 2 + r % 3; ++s) {
      record.times.push_back(s);
      record.values.push_back(static_cast<float>(random.uniform() + s * strata.back()));
      record.values.push_back(random.uniform() < 0.5 ? missing : 1.0f);
      record.targets.push_back(missing);
    }
    record.targets.back() = static_cast<float>(strata.back());
    records.push_back(std::move(record));
  }
  return {std::move(records), std::move(strata), 4, 1};
}

examples::CommitteeOptions small_options(int parts) {
  examples::CommitteeOptions options;
  options.classifier = {.summary = true, .head_dropout = 0.2};
  options.fit = {.epochs = 2, .batch_size = 8, .feature_dropout = 0.2, .learning_rate = 1e-2};
  options.parts = parts;
  options.members = 2;
  return options;
}

TEST(Committee, NeverLooksAtTheTestFold) {
  const auto context = lacuna::Context::cpu({.threads = 1});
  for (const int parts : {0, 3}) {
    auto task = small_task();
    const auto test = examples::select(task.records, task.members_of(2));
    const auto judge = [&] {
      return examples::Committee(context, lacuna::gru_d(2, 4), task, 2, small_options(parts))
          .judge(test)
          .probabilities;
    };
    const auto before = judge();
    for (const std::size_t i : task.members_of(2)) {
      for (float& value : task.records[i].values) value = 1e6f;
      for (float& target : task.records[i].targets) target = 1 - target;
    }
    EXPECT_EQ(judge(), before) << parts << " parts";
    for (float& value : task.records[task.members_of(1).front()].values) value = 1e6f;
    EXPECT_NE(judge(), before) << "what is trained on must matter, or this test shows nothing";
  }
}

TEST(Committee, StopsByValidationOnlyIfThereIsSome) {
  const auto context = lacuna::Context::cpu({.threads = 1});
  const auto task = small_task();
  for (const int parts : {0, 3}) {
    const examples::Committee committee(context, lacuna::gru_d(2, 4), task, 0,
                                        small_options(parts));
    ASSERT_EQ(committee.members().size(), 2u);
    for (const auto& member : committee.members()) {
      EXPECT_EQ(member.history.training_loss.size(), 2u);
      EXPECT_EQ(member.history.validation_auc.size(), parts > 0 ? 2u : 0u);
    }
  }
}

// At the optimum the gradient is zero; it is computed here once more, by hand.
TEST(LogisticRegression, FindsTheOptimum) {
  examples::Random random(5);
  const std::size_t rows = 300;
  std::vector<double> x;
  std::vector<int> y;
  for (std::size_t r = 0; r < rows; ++r) {
    x.push_back(random.uniform() - 0.5);
    x.push_back(random.uniform() - 0.5);
    y.push_back(random.uniform() < 1 / (1 + std::exp(-(4 * x[2 * r] - 1))));
  }
  const double l2 = 0.01;
  const examples::LogisticRegression model(x, y, 2, l2);
  const double origin[] = {0, 0}, first[] = {1, 0}, second[] = {0, 1};
  const double b = model.logit(origin);
  const double w[] = {model.logit(first) - b, model.logit(second) - b};
  double gradient[3] = {l2 * w[0], l2 * w[1], 0};
  for (std::size_t r = 0; r < rows; ++r) {
    const double p = 1 / (1 + std::exp(-model.logit(&x[2 * r])));
    gradient[0] += (p - y[r]) * x[2 * r] / rows;
    gradient[1] += (p - y[r]) * x[2 * r + 1] / rows;
    gradient[2] += (p - y[r]) / rows;
  }
  for (const double g : gradient) EXPECT_NEAR(g, 0, 1e-8);
  EXPECT_GT(w[0], 1);
}

TEST(LogisticRegression, SurvivesClassesThatSeparate) {
  const examples::LogisticRegression model({-2, -1, 1, 2}, {0, 0, 1, 1}, 1, 1e-4);
  const double low = -1, high = 1;
  EXPECT_LT(model.logit(&low), -1);
  EXPECT_GT(model.logit(&high), 1);
  EXPECT_TRUE(std::isfinite(model.logit(&high)));
}

TEST(AxisAround, HoldsItsValuesAtRoundTicks) {
  for (const auto& [low, high] : {std::pair{0.0, 1.0}, {0.863, 0.907}, {-3.0, 41.0}, {5.0, 5.0}}) {
    const auto axis = examples::axis_around(low, high, 4);
    EXPECT_LE(axis.low, low + 1e-9);
    EXPECT_GE(axis.high, high - 1e-9);
    EXPECT_GT(axis.tick, 0);
  }
  EXPECT_DOUBLE_EQ(examples::axis_around(0, 1, 5).tick, 0.2);
}

}  // namespace
