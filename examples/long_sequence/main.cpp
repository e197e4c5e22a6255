// Memory over a thousand steps: a code shown by the first tokens is asked for at the end. Trained through
// a StackPlan within a memory budget, beside networks that cannot learn it, and with the gradients that
// say why.
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "examples/common/arguments.h"
#include "examples/common/backend.h"
#include "examples/common/progress.h"
#include "examples/long_sequence/budget.h"
#include "examples/long_sequence/picture.h"

namespace {

using namespace long_sequence;

constexpr const char* usage = R"(usage: long_sequence [options]

The first tokens of a sequence of a thousand show a code, and the code is asked for after the last one.
Trains two layers of GRU, LSTM and plain RNN on it within a memory budget. Ends with a table and pictures.

  --steps N         steps of training (default 300)
  --length N        tokens of a sequence, give or take a tenth; 20 to 7000 (default 1000)
  --budget N        train within 1/N of the memory that is used without a budget (default 20)
  --backend NAME    cpu, cuda, or best: cuda where build and machine have it (default cpu)
  --threads N       CPU threads, 0 for all (default 2)
  --seed N          of the sequences and of everything random (default 1)
  --pictures DIR    where the pictures go (default out/long_sequence)
  --quick           a run of seconds, to see that everything works
)";

struct Settings {
  Rules rules;
  int budget, compared;
  std::string pictures;
  lacuna::ContextOptions context;
};

Settings read_settings(examples::Arguments& arguments) {
  Settings settings{};
  const bool quick = arguments.flag("--quick");
  Rules& rules = settings.rules;
  rules.steps = arguments.integer("--steps", quick ? 3 : 300, 1, 1'000'000);
  rules.task.length = arguments.integer("--length", quick ? 200 : 1000, 20, 7000);
  rules.seed = static_cast<std::uint64_t>(arguments.integer("--seed", 1, 0, 1'000'000));
  if (quick) rules.tested = 64;
  settings.budget = arguments.integer("--budget", 20, 1, 1000);
  settings.compared = quick ? 2 : 12;
  settings.context = examples::read_backend(arguments, 2);
  settings.pictures = arguments.text("--pictures", "out/long_sequence");
  arguments.finish();
  return settings;
}

double mebibytes(std::size_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

const char* yes_or_no(bool answer) { return answer ? "yes" : "NO"; }

void print_report(const BudgetReport& report) {
  std::printf("The plan within the budget:\n\n%s\n", report.explanation.c_str());
  std::printf("%-38s %15s %15s\n", "", "without budget", "within budget");
  std::printf("%-38s %11.1f MiB %11.1f MiB\n", "memory of the plan",
              mebibytes(report.without.memory_bytes), mebibytes(report.within.memory_bytes));
  std::printf("%-38s %15.1f %15.1f\n", "milliseconds a step (median)", 1e3 * report.seconds_without,
              1e3 * report.seconds_within);
  std::printf("1/%.1f of the memory, %.2f times the time.\n",
              static_cast<double>(report.without.memory_bytes) /
                  static_cast<double>(report.within.memory_bytes),
              report.seconds_within / report.seconds_without);
  std::printf(
      "Over %zu steps in turns: the same losses, bit for bit: %s; the same parameters: %s.\n",
      report.losses.size(), yes_or_no(report.same_losses), yes_or_no(report.same_parameters));
}

// How much of the gradient at the end is left at the beginning.
std::string reach_of(const std::vector<double>& flow) {
  const double reach = flow.back() / flow.front();
  // The squares that a norm is the root of are 0 in double where it is about 1e-160.
  if (reach < 1e-150) return "< 1e-150";
  char text[16];
  std::snprintf(text, sizeof text, "%.0e", reach);
  return text;
}

void print_table(const Rules& rules, const std::vector<Contestant>& contestants,
                 const std::vector<Outcome>& outcomes) {
  std::printf("\n%-38s %-17s %9s %10s %22s\n", "two layers of 32 units", "right answers", "ms/step",
              "memory", "gradient at the cue");
  for (std::size_t i = 0; i < contestants.size(); ++i) {
    const Outcome& is = outcomes[i];
    const double share = is.test_accuracy;
    const double error = std::sqrt(share * (1 - share) / static_cast<double>(rules.tested));
    std::printf("%-38s %5.1f %% ± %.1f %%   %9.1f %6.1f MiB", contestants[i].name.c_str(),
                100 * share, 100 * error, 1e3 * is.seconds_per_step, mebibytes(is.memory_bytes));
    if (contestants[i].truncation.every > 0)
      std::printf(" %22s\n", "cut");
    else
      std::printf(" %9s -> %9s\n", reach_of(is.flow_before).c_str(),
                  reach_of(is.flow_after).c_str());
  }
  std::printf(
      "%zu sequences nobody was trained on, ± one standard error; guessing: %.1f %%. Gradient: the "
      "norm of dL/dh %zu\ntokens before the end over that at the end, before training -> after.\n",
      rules.tested, 100 * rules.task.chance(), outcomes.front().flow_before.size() - 1);
  for (std::size_t i = 0; i < contestants.size(); ++i)
    if (outcomes[i].skipped_steps > 0)
      std::printf("%s: %d of %d steps were skipped, for their gradients were not finite.\n",
                  contestants[i].name.c_str(), outcomes[i].skipped_steps, rules.steps);
}

void save(const std::string& path, const std::string& text) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream file(path);
  file << text;
  file.close();
  if (!file) throw std::runtime_error("cannot write " + path);
}

void run(examples::Arguments& arguments) {
  const Settings settings = read_settings(arguments);
  const Rules& rules = settings.rules;
  const lacuna::Context context(settings.context);
  const auto contestants = make_contestants();

  std::printf(
      "%d bits shown by the first %d of about %d tokens at uneven times, %.0f %% of all later "
      "values "
      "missing,\nasked for at the end. %d steps of %zu sequences.\n\n",
      rules.task.bits, rules.task.cue, rules.task.length, 100 * rules.task.missing, rules.steps,
      rules.batch_size);

  examples::Progress progress(2 * settings.compared +
                              static_cast<int>(contestants.size()) * rules.steps);
  const auto report = compare_budgets(context, rules, contestants.front(), settings.budget,
                                      settings.compared, [&] { progress.advance("two budgets"); });
  progress.clear();
  print_report(report);
  std::fflush(stdout);

  std::vector<Outcome> outcomes;
  for (const Contestant& contestant : contestants)
    outcomes.push_back(train(context, rules, contestant, settings.budget,
                             [&] { progress.advance(contestant.name); }));
  progress.clear();
  print_table(rules, contestants, outcomes);

  const std::string folder = settings.pictures + "/";
  save(folder + "timeline.svg", draw_small_plan(context, rules));
  draw_gradient_flow(folder + "gradient_flow.svg", rules.task, contestants, outcomes);
  draw_learning(folder + "learning.svg", rules.task, contestants, outcomes);
  std::printf("Pictures: timeline.svg, gradient_flow.svg and learning.svg in %s\n",
              settings.pictures.c_str());
  if (!report.same_losses || !report.same_parameters)
    throw std::runtime_error("a memory budget changed what was computed");
}

}  // namespace

int main(int argc, char** argv) {
  return examples::run_program("long_sequence", usage, argc, argv, run);
}
