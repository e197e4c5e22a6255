// In-hospital mortality on PhysioNet/CC 2012 set A, from the raw time stamps: the test AUC of GRU-D by
// 5-fold cross-validation, to be held against its paper's 0.8424 ± 0.012 (Che et al. 2018).
#include <cmath>
#include <cstdio>
#include <limits>

#include "examples/common/arguments.h"
#include "examples/common/backend.h"
#include "examples/common/committee.h"
#include "examples/common/plot.h"
#include "examples/common/progress.h"
#include "examples/physionet2012/challenge.h"
#include "examples/physionet2012/picture.h"

namespace {

constexpr const char* usage = R"(usage: physionet2012 DIR [options]

Reports the test AUC of in-hospital mortality for GRU-D and for a GRU with simpler imputation.
DIR holds PhysioNet/CC 2012 as published: set-a/*.txt and Outcomes-a.txt.
(https://physionet.org/content/challenge-2012)

  --folds N      folds of the cross-validation (default 5)
  --members N    networks that vote in each fold, 1 to 10 (default 5)
  --epochs N     epochs per network (default 8)
  --series-only  leave out age, sex, height and kind of intensive care unit: the 37 series alone
  --seed N       of the folds and of everything random (default 1)
  --backend NAME cpu, cuda, or best: cuda where build and machine have it (default cpu)
  --threads N    CPU threads, 0 for all (default 0)
  --picture FILE where the picture goes (default out/physionet2012.svg)
  --validate     test nothing; hold out parts of each fold's training patients as well, and print the
                 networks' mean AUC on these, epoch by epoch: what recipes are chosen by
  --quick        one fold, one network of each kind, a quarter of the patients, 2 epochs
)";

// What lies outside a test fold, for --validate.
constexpr int validation_parts = 5;

struct Settings {
  bool quick, statics, validate;
  int folds, members, epochs, seed;
  std::string folder, picture;
  lacuna::ContextOptions context;
};

Settings read_settings(examples::Arguments& arguments) {
  Settings settings{};
  settings.quick = arguments.flag("--quick");
  settings.statics = !arguments.flag("--series-only");
  settings.validate = arguments.flag("--validate");
  settings.folds = arguments.integer("--folds", 5, 2, 20);
  settings.members = arguments.integer("--members", settings.quick ? 1 : 5, 1, 10);
  settings.epochs = arguments.integer("--epochs", settings.quick ? 2 : 8, 1, 1000);
  settings.seed = arguments.integer("--seed", 1, 0, 1'000'000);
  settings.context = examples::read_backend(arguments, 0);
  settings.picture = arguments.text("--picture", "out/physionet2012.svg");
  if (settings.validate && settings.members > validation_parts)
    throw examples::UsageError("--members is " + std::to_string(settings.members) +
                               "; with --validate, at most " + std::to_string(validation_parts) +
                               " is expected: each holds out a part of its own");
  settings.folder = arguments.positional("DIR");
  arguments.finish();
  return settings;
}

// Chosen on validation parts, as --validate has them; docs/results-physionet2012.md tells how.
examples::CommitteeOptions recipe(const Settings& settings) {
  examples::CommitteeOptions options;
  options.classifier = {.summary = true,
                        .head_dropout = 0.5,
                        .initial_decay = 0.003,  // gaps are hours: memory starts out long
                        .seed = static_cast<std::uint64_t>(settings.seed)};
  options.fit = {.epochs = settings.epochs,
                 .patience = settings.epochs,
                 .batch_size = 64,
                 .feature_dropout = 0.3,
                 .learning_rate = 4e-3};
  // The number of epochs is settled, so that networks to be tested need no patients to stop them.
  options.parts = settings.validate ? validation_parts : 0;
  options.members = settings.members;
  options.limit = 3;
  return options;
}

struct Entrant {
  physionet2012::Result result;
  lacuna::Layer layer;
  std::vector<examples::History> histories{};  // of all networks of all folds
};

std::vector<Entrant> make_entrants(std::int64_t features) {
  constexpr std::int64_t hidden = 64;
  lacuna::Layer forward = lacuna::gru(features, hidden);
  forward.impute = lacuna::Impute::forward;
  forward.mask_input = true;
  lacuna::Layer mean = forward;
  mean.impute = lacuna::Impute::mean;
  namespace palette = examples::palette;
  return {{{"GRU-D", palette::blue}, lacuna::gru_d(features, hidden)},
          {{"GRU-forward", palette::green}, forward},
          {{"GRU-mean", palette::pink}, mean}};
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

std::string describe(const examples::Task& task, std::size_t features) {
  std::size_t tokens = 0, measured = 0, died = 0;
  for (std::size_t i = 0; i < task.records.size(); ++i) {
    tokens += task.records[i].length();
    for (const float value : task.records[i].values) measured += !std::isnan(value);
    died += task.strata[i] == 1;
  }
  char words[160];
  std::snprintf(words, sizeof words,
                "%zu patients (%zu died), %zu time stamps, %zu features, %.1f %% of cells measured",
                task.records.size(), died, tokens, features,
                100.0 * static_cast<double>(measured) / static_cast<double>(tokens * features));
  return words;
}

void print_row(const std::string& first, const std::vector<std::string>& cells) {
  std::printf("%-6s", first.c_str());
  for (const auto& cell : cells) std::printf("%18s", cell.c_str());
  std::printf("\n");
  std::fflush(stdout);
}

std::string text(const char* format, double a, double b = 0) {
  char words[64];
  std::snprintf(words, sizeof words, format, a, b);
  return words;
}

void print_tests(const std::vector<Entrant>& entrants) {
  std::vector<std::string> cells;
  for (const Entrant& entrant : entrants) {
    const auto summary = examples::mean_sd(entrant.result.auc);
    cells.push_back(text("%.4f ± %.4f", summary.mean, summary.sd) + " ");  // ± is two bytes
  }
  print_row("mean", cells);
}

// The networks' mean validation AUC, epoch by epoch.
void print_validation(const std::vector<Entrant>& entrants, int epochs) {
  for (int epoch = 0; epoch < epochs; ++epoch) {
    std::vector<std::string> cells;
    for (const Entrant& entrant : entrants) {
      std::vector<double> auc;
      for (const auto& history : entrant.histories)
        auc.push_back(history.validation_auc[static_cast<std::size_t>(epoch)]);
      cells.push_back(text("%.4f", examples::mean_sd(auc).mean));
    }
    print_row(std::to_string(epoch + 1), cells);
  }
}

void run(examples::Arguments& arguments) {
  const Settings settings = read_settings(arguments);
  const physionet2012::ReadOptions reading{.statics = settings.statics,
                                           .limit = settings.quick ? 1000 : 0};
  const std::size_t features = physionet2012::feature_count(reading);
  const auto task = make_task(physionet2012::read_patients(settings.folder, reading), settings);
  const auto details = describe(task, features);
  std::printf("%s\n", details.c_str());
  const auto options = recipe(settings);
  const lacuna::Context context(settings.context);
  auto entrants = make_entrants(static_cast<std::int64_t>(features));

  std::vector<std::string> cells;
  for (const Entrant& entrant : entrants) cells.push_back(entrant.result.name);
  print_row(settings.validate ? "epoch" : "fold", cells);
  const int folds = settings.quick ? 1 : settings.folds;
  examples::Progress progress(folds * static_cast<int>(entrants.size()) * options.members *
                              options.fit.epochs);
  for (int fold = 0; fold < folds; ++fold) {
    const std::string name = std::to_string(fold + 1);
    cells.clear();
    for (auto& [result, layer, histories] : entrants) {
      const std::string doing = "fold " + name + ", " + result.name;
      examples::Committee committee(
          context, layer, task, fold, options, [&](const examples::History& history, int epochs) {
            progress.advance(doing + text(": training loss %.3f", history.training_loss.back()),
                             epochs);
          });
      for (const auto& member : committee.members()) histories.push_back(member.history);
      if (settings.validate) continue;
      const auto verdicts = committee.judge(examples::select(task.records, task.members_of(fold)));
      result.auc.push_back(verdicts.auc());
      result.all.append(verdicts);
      cells.push_back(text("%.4f", result.auc.back()));
    }
    progress.clear();
    if (!settings.validate) print_row(name, cells);
  }
  if (settings.validate) return print_validation(entrants, settings.epochs);

  print_tests(entrants);
  std::vector<physionet2012::Result> results;
  for (const Entrant& entrant : entrants) results.push_back(entrant.result);
  physionet2012::save_picture(results, details, settings.picture);
  std::printf("The picture is in %s\n", settings.picture.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  return examples::run_program("physionet2012", usage, argc, argv, run);
}
