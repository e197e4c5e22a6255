// In-hospital mortality on PhysioNet/CC 2012 set A, from the raw time stamps: the test AUC of GRU-D by
// 5-fold cross-validation, to be held against its paper's 0.8424 ± 0.012 (Che et al. 2018, table 3).
#include <cmath>
#include <cstdio>
#include <limits>

#include "examples/common/arguments.h"
#include "examples/common/committee.h"
#include "examples/common/plot.h"
#include "examples/common/progress.h"
#include "examples/physionet2012/challenge.h"

namespace {

constexpr const char* usage = R"(usage: physionet2012 DIR [options]

Reports the test AUC of in-hospital mortality for GRU-D and for a GRU with simpler imputation.
DIR holds PhysioNet/CC 2012 as published: set-a/*.txt and Outcomes-a.txt.
(https://physionet.org/content/challenge-2012)

  --folds N      folds of the cross-validation (default 5)
  --members N    networks that vote in each fold, 1 to 10 (default 4)
  --epochs N     at most so many epochs per network (default 12)
  --statics      also read age, sex, height and kind of intensive care unit (default: series alone)
  --seed N       of the folds and of everything random (default 1)
  --threads N    CPU threads, 0 for all (default 0)
  --picture FILE where the picture goes (default out/physionet2012.svg)
  --quick        one fold, one network of each kind, a quarter of the patients, 2 epochs
)";

struct Settings {
  bool quick, statics;
  int folds, members, epochs, seed, threads;
  std::string folder, picture;
};

Settings read_settings(examples::Arguments& arguments) {
  Settings settings{};
  settings.quick = arguments.flag("--quick");
  settings.statics = arguments.flag("--statics");
  settings.folds = arguments.integer("--folds", 5, 2, 20);
  settings.members = arguments.integer("--members", settings.quick ? 1 : 4, 1, 10);
  settings.epochs = arguments.integer("--epochs", settings.quick ? 2 : 12, 1, 1000);
  settings.seed = arguments.integer("--seed", 1, 0, 1'000'000);
  settings.threads = arguments.integer("--threads", 0, 0, 1024);
  settings.picture = arguments.text("--picture", "out/physionet2012.svg");
  settings.folder = arguments.positional("DIR");
  arguments.finish();
  return settings;
}

// Chosen on validation parts alone; docs/results-physionet2012.md tells how.
examples::CommitteeOptions recipe(const Settings& settings) {
  examples::CommitteeOptions options;
  options.classifier = {.running_mean = true,
                        .head_dropout = 0.3,
                        .initial_decay = 0.003,  // gaps are hours: memory starts out long
                        .seed = static_cast<std::uint64_t>(settings.seed)};
  options.fit = {.epochs = settings.epochs,
                 .patience = 5,
                 .batch_size = 64,
                 .feature_dropout = 0.2,
                 .learning_rate = 2e-3};
  options.parts = 10;
  options.members = settings.members;
  return options;
}

struct Entrant {
  std::string name;
  lacuna::Layer layer;
  const char* color;
  std::vector<double> auc{};  // one per fold
  examples::Verdicts all{};   // of all folds together
};

std::vector<Entrant> make_entrants(std::int64_t features) {
  constexpr std::int64_t hidden = 64;
  lacuna::Layer forward = lacuna::gru(features, hidden);
  forward.impute = lacuna::Impute::forward;
  forward.mask_input = true;
  lacuna::Layer mean = forward;
  mean.impute = lacuna::Impute::mean;
  namespace palette = examples::palette;
  return {{"GRU-D", lacuna::gru_d(features, hidden), palette::blue},
          {"GRU-forward", forward, palette::green},
          {"GRU-mean", mean, palette::pink}};
}

// The outcome is asked for once, after the last row.
examples::Task make_task(std::vector<physionet2012::Patient> patients, const Settings& settings) {
  std::vector<examples::Record> records;
  std::vector<int> outcomes;
  for (auto& patient : patients) {
    auto& targets = patient.record.targets;
    targets.assign(patient.record.length(), std::numeric_limits<float>::quiet_NaN());
    targets.back() = static_cast<float>(patient.died_in_hospital);
    records.push_back(std::move(patient.record));
    outcomes.push_back(patient.died_in_hospital);
  }
  return {std::move(records), std::move(outcomes), settings.folds,
          static_cast<std::uint64_t>(settings.seed)};
}

void print_task(const examples::Task& task, std::size_t features) {
  std::size_t tokens = 0, measured = 0, died = 0;
  for (std::size_t i = 0; i < task.records.size(); ++i) {
    tokens += task.records[i].length();
    for (const float value : task.records[i].values) measured += !std::isnan(value);
    died += task.strata[i] == 1;
  }
  std::printf("%zu patients (%zu died), %zu time stamps, %zu features, %.1f %% of cells measured\n",
              task.records.size(), died, tokens, features,
              100.0 * static_cast<double>(measured) / static_cast<double>(tokens * features));
}

void print_row(const char* first, const std::vector<std::string>& cells) {
  std::printf("%-6s", first);
  for (const auto& cell : cells) std::printf("%18s", cell.c_str());
  std::printf("\n");
  std::fflush(stdout);
}

std::string text(const char* format, double a, double b = 0) {
  char words[64];
  std::snprintf(words, sizeof words, format, a, b);
  return words;
}

void save_picture(const std::vector<Entrant>& entrants, const std::string& path) {
  examples::Svg svg(920, 470);
  svg.rect(0, 0, 920, 470, "#FFFFFF");
  svg.text({70, 42}, "PhysioNet 2012, set A: in-hospital mortality", {.size = 19, .bold = true});
  examples::Panel roc(svg, {70, 120, 340, 290}, {0, 1, 0.25, "false positive rate"},
                      {0, 1, 0.25, "true positive rate"});
  roc.title("Test ROC", "all test folds together");
  roc.line({{0, 0}, {1, 1}}, {.color = "#C4C8CF", .width = 1, .dash = "3 3"});

  const auto columns = static_cast<double>(entrants.size());
  examples::Panel folds(svg, {530, 120, 340, 290}, {0, columns, 0},
                        {0.78, 0.90, 0.02, "test AUC", "%.2f"});
  folds.title("Test AUC", "one dot per fold; the bar is their mean");
  // The band is the figure to hold GRU-D against.
  for (const double edge : {0.8424 - 0.012, 0.8424 + 0.012})
    folds.line({{0, edge}, {columns, edge}},
               {.color = examples::palette::grey, .width = 1, .dash = "2 4"});
  folds.text({columns, 0.8424}, "paper", {.size = 11, .color = examples::palette::grey}, {6, 4});

  double x = 0.5, y = 0.26;
  for (const Entrant& entrant : entrants) {
    std::vector<examples::Point> curve, dots;
    for (const auto& p : examples::roc_curve(entrant.all.probabilities, entrant.all.labels))
      curve.push_back({p.false_positive_rate, p.true_positive_rate});
    roc.line(curve, {.color = entrant.color});
    roc.line({{0.52, y}, {0.58, y}}, {.color = entrant.color, .width = 3});
    const auto summary = examples::mean_sd(entrant.auc);
    roc.text({0.6, y}, entrant.name + text("  %.3f", summary.mean), {.size = 12}, {0, 4});
    for (std::size_t f = 0; f < entrant.auc.size(); ++f)
      dots.push_back(
          {x + 0.04 * (static_cast<double>(f) - static_cast<double>(entrant.auc.size() - 1) / 2),
           entrant.auc[f]});
    folds.line({{x - 0.22, summary.mean}, {x + 0.22, summary.mean}},
               {.color = entrant.color, .width = 3});
    folds.dots(dots, entrant.color, 4.5);
    folds.text({x, 0.78}, entrant.name, {.size = 12, .anchor = "middle"}, {0, 18});
    x += 1, y -= 0.08;
  }
  svg.save(path);
}

void run(examples::Arguments& arguments) {
  const Settings settings = read_settings(arguments);
  const auto features = physionet2012::series_names().size() +
                        (settings.statics ? physionet2012::static_names().size() : 0);
  const auto task = make_task(
      physionet2012::read_patients(
          settings.folder, {.statics = settings.statics, .limit = settings.quick ? 1000 : 0}),
      settings);
  print_task(task, features);
  const auto options = recipe(settings);
  const auto context = lacuna::Context::cpu({.threads = settings.threads});
  auto entrants = make_entrants(static_cast<std::int64_t>(features));

  std::vector<std::string> cells;
  for (const Entrant& entrant : entrants) cells.push_back(entrant.name);
  print_row("fold", cells);
  const int folds = settings.quick ? 1 : settings.folds;
  examples::Progress progress(folds * static_cast<int>(entrants.size()) * options.members *
                              options.fit.epochs);
  for (int fold = 0; fold < folds; ++fold) {
    const auto test = examples::select(task.records, task.members_of(fold));
    cells.clear();
    for (Entrant& entrant : entrants) {
      examples::Committee committee(
          context, entrant.layer, task, fold, options,
          [&](const examples::History& history, int epochs) {
            progress.advance(
                entrant.name + text(": validation AUC %.3f", history.validation_auc.back()),
                epochs);
          });
      const auto verdicts = committee.judge(test);
      entrant.auc.push_back(verdicts.auc());
      entrant.all.append(verdicts);
      cells.push_back(text("%.4f", entrant.auc.back()));
    }
    progress.clear();
    print_row(std::to_string(fold + 1).c_str(), cells);
  }

  cells.clear();
  for (const Entrant& entrant : entrants) {
    const auto summary = examples::mean_sd(entrant.auc);
    cells.push_back(text("%.4f ± %.4f", summary.mean, summary.sd) + " ");  // ± is two bytes
  }
  print_row("mean", cells);
  save_picture(entrants, settings.picture);
  std::printf("The picture is in %s\n", settings.picture.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  return examples::run_program("physionet2012", usage, argc, argv, run);
}
