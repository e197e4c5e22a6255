// GRU-D on real patients: at each visit of the Mayo Clinic's PBC follow-up, will this patient die or
// need a transplant within two years? Trained and tested by cross-validation, beside honest baselines.
#include <cstdio>
#include <optional>

#include "examples/common/arguments.h"
#include "examples/common/backend.h"
#include "examples/common/progress.h"
#include "examples/pbc/last_values.h"
#include "examples/pbc/portrait.h"
#include "examples/pbc/task.h"

namespace {

constexpr const char* usage = R"(usage: pbc [options]

At each visit of 312 patients with a liver disease, predicts death or transplant within a horizon:
by GRU-D, and by simpler models beside it. Ends with a table and a picture.

  --horizon YEARS   how far ahead to look, 1 to 5 (default 2)
  --repeats N       how often to repeat the 5-fold cross-validation, with other folds (default 3)
  --seed N          of the folds and of everything random (default 1)
  --backend NAME    cpu, cuda, or best: cuda where build and machine have it (default cpu)
  --threads N       CPU threads, 0 for all (default 1: these batches are small)
  --data FILE       the table of visits (default examples/data/pbcseq.csv)
  --picture FILE    where the picture goes (default out/pbc.svg)
  --quick           a run of seconds, to see that everything works
)";

constexpr int folds = 5;

struct Settings {
  int horizon, repeats, seed;
  bool quick;
  std::string data, picture;
  lacuna::ContextOptions context;
};

Settings read_settings(examples::Arguments& arguments) {
  Settings settings{};
  settings.quick = arguments.flag("--quick");
  settings.horizon = arguments.integer("--horizon", 2, 1, 5);
  settings.repeats = arguments.integer("--repeats", settings.quick ? 1 : 3, 1, 100);
  settings.seed = arguments.integer("--seed", 1, 0, 1'000'000);
  settings.context = examples::read_backend(arguments, 1);
  settings.data = arguments.text("--data", "examples/data/pbcseq.csv");
  settings.picture = arguments.text("--picture", "out/pbc.svg");
  arguments.finish();
  return settings;
}

// Chosen on validation folds; docs/results-pbc.md tells how.
examples::CommitteeOptions recipe(const Settings& settings) {
  examples::CommitteeOptions options;
  options.classifier = {.learning_rate = 1e-2,
                        .head_dropout = 0.5,
                        .seed = static_cast<std::uint64_t>(settings.seed)};
  options.fit = {.epochs = settings.quick ? 3 : 40,
                 .patience = 40,
                 .batch_size = 32,
                 .feature_dropout = 0.3,
                 .learning_rate = 1e-2};
  options.parts = 4;
  options.members = settings.quick ? 1 : 4;
  return options;
}

struct Entrant {
  std::string name;
  std::optional<lacuna::Layer> layer;  // none: the logistic regression
  examples::LineStyle style;
  std::vector<double> auc{}, brier{};          // one per test fold and repeat
  examples::Verdicts first_repeat{};           // all its test folds together
  std::vector<examples::History> histories{};  // of every network trained
};

std::vector<Entrant> make_entrants() {
  const auto width = static_cast<std::int64_t>(pbc::features().size());
  constexpr std::int64_t hidden = 32;
  lacuna::Layer forward = lacuna::gru(width, hidden);
  forward.impute = lacuna::Impute::forward;
  forward.mask_input = true;
  lacuna::Layer mean = forward;
  mean.impute = lacuna::Impute::mean;
  namespace palette = examples::palette;
  return {
      {"Logistic regression, last values", std::nullopt, {.color = palette::grey, .dash = "5 3"}},
      {"GRU, missing values at the mean", mean, {.color = palette::pink}},
      {"GRU, last values carried forward", forward, {.color = palette::green}},
      {"GRU-D", lacuna::gru_d(width, hidden), {.color = palette::orange}},
      {"GRU-D, homeostatic", lacuna::gru_d_homeostatic(width, hidden), {.color = palette::blue}},
  };
}

double brier_score(const examples::Verdicts& verdicts) {
  double sum = 0;
  for (std::size_t i = 0; i < verdicts.labels.size(); ++i)
    sum += std::pow(verdicts.probabilities[i] - verdicts.labels[i], 2);
  return sum / static_cast<double>(verdicts.labels.size());
}

void note(Entrant& entrant, const examples::Verdicts& verdicts, bool first_repeat) {
  entrant.auc.push_back(verdicts.auc());
  entrant.brier.push_back(brier_score(verdicts));
  if (first_repeat) entrant.first_repeat.append(verdicts);
}

// What the task consists of, in a sentence for the terminal and the picture.
std::string describe(const examples::Task& task, int horizon) {
  std::size_t visits = 0, known = 0, events = 0;
  for (const auto& record : task.records)
    for (const float target : record.targets) {
      ++visits;
      known += !std::isnan(target);
      events += target == 1;
    }
  char words[200];
  std::snprintf(
      words, sizeof words,
      "%zu patients, %zu irregular visits; the outcome within %d years is known at %zu of "
      "them: %zu yes, %zu no",
      task.records.size(), visits, horizon, known, events, known - events);
  return words;
}

void print_table(const std::vector<Entrant>& entrants, int repeats) {
  std::printf("\n%-34s %-15s %-17s %s\n", "model", "test AUC", "over logistic", "Brier score");
  for (const Entrant& entrant : entrants) {
    std::vector<double> gain;
    for (std::size_t i = 0; i < entrant.auc.size(); ++i)
      gain.push_back(entrant.auc[i] - entrants.front().auc[i]);
    const auto auc = examples::mean_sd(entrant.auc), brier = examples::mean_sd(entrant.brier),
               more = examples::mean_sd(gain);
    std::printf("%-34s %.3f ± %.3f   %+.3f ± %.3f    %.3f ± %.3f\n", entrant.name.c_str(), auc.mean,
                auc.sd, more.mean, more.sd, brier.mean, brier.sd);
  }
  std::printf(
      "Mean ± sd over %d test folds; differences are taken fold by fold. AUC: higher is "
      "better, Brier score: lower.\n",
      folds * repeats);
}

// The mean over networks, epoch by epoch.
pbc::Curve mean_curve(const Entrant& entrant, std::vector<double> examples::History::*series) {
  pbc::Curve curve{entrant.name, entrant.style, {}, {}};
  for (std::size_t epoch = 0; epoch < (entrant.histories.front().*series).size(); ++epoch) {
    double sum = 0;
    for (const auto& history : entrant.histories) sum += (history.*series)[epoch];
    curve.points.push_back(
        {static_cast<double>(epoch + 1), sum / static_cast<double>(entrant.histories.size())});
  }
  return curve;
}

pbc::Picture make_picture(const std::vector<Entrant>& entrants, const Settings& settings,
                          const std::string& details) {
  pbc::Picture picture;
  picture.title = "Primary biliary cirrhosis: death or transplant within " +
                  std::to_string(settings.horizon) + " years, predicted at each visit";
  picture.details = details;
  picture.horizon = settings.horizon;
  for (const Entrant& entrant : entrants) {
    pbc::Curve roc{entrant.name, entrant.style, {}, {}};
    const auto& verdicts = entrant.first_repeat;
    for (const auto& point : examples::roc_curve(verdicts.probabilities, verdicts.labels))
      roc.points.push_back({point.false_positive_rate, point.true_positive_rate});
    char auc[32];
    std::snprintf(auc, sizeof auc, "AUC %.3f", verdicts.auc());
    roc.remark = auc;
    picture.roc.push_back(std::move(roc));
    if (entrant.histories.empty()) continue;
    picture.training_loss.push_back(mean_curve(entrant, &examples::History::training_loss));
    picture.validation_auc.push_back(mean_curve(entrant, &examples::History::validation_auc));
  }
  return picture;
}

// The one to look at closely: of the patients of this fold who died or had a transplant, the one seen
// most often.
std::size_t choose_patient(const std::vector<pbc::Patient>& patients,
                           const std::vector<std::size_t>& fold) {
  std::size_t chosen = fold.front();
  for (const std::size_t i : fold) {
    const auto rank = [&](std::size_t p) {
      return std::pair(patients[p].had_event, patients[p].record.length());
    };
    if (rank(i) > rank(chosen)) chosen = i;
  }
  return chosen;
}

void run(examples::Arguments& arguments) {
  const Settings settings = read_settings(arguments);
  const auto patients = pbc::read_patients(settings.data);
  const auto options = recipe(settings);
  const lacuna::Context context(settings.context);
  auto entrants = make_entrants();
  std::optional<pbc::Portrait> portrait;
  std::string details;

  examples::Progress progress(settings.repeats * folds * (static_cast<int>(entrants.size()) - 1) *
                              options.members * options.fit.epochs);
  for (int repeat = 0; repeat < settings.repeats; ++repeat) {
    const auto seed =
        examples::mix_seed(options.classifier.seed, static_cast<std::uint64_t>(repeat));
    const auto task = pbc::make_task(patients, settings.horizon, folds, seed);
    if (repeat == 0) {
      details = describe(task, settings.horizon);
      std::printf("%s\n", details.c_str());
    }
    for (int fold = 0; fold < folds; ++fold) {
      const auto test = task.members_of(fold);
      const bool first = repeat == 0 && fold == 0;
      if (first) portrait.emplace(patients[choose_patient(patients, test)]);
      for (Entrant& entrant : entrants) {
        const auto judge_by = [&](auto&& model) {
          note(entrant, model.judge(examples::select(task.records, test)), repeat == 0);
          if (!first) return;
          portrait->add_risk(entrant.name, entrant.style,
                             model.judge(portrait->questions()).probabilities);
        };
        if (!entrant.layer) {
          judge_by(pbc::LastValues(task, fold));
          continue;
        }
        examples::Committee committee(
            context, *entrant.layer, task, fold, options, [&](const auto&, int epochs) {
              progress.advance(entrant.name + ", fold " + std::to_string(fold + 1), epochs);
            });
        judge_by(committee);
        for (const auto& member : committee.members()) entrant.histories.push_back(member.history);
        if (first && entrant.layer->evolve != lacuna::Evolve::none)
          portrait->add_inputs(entrant.name, entrant.style,
                               committee.last_inputs(portrait->questions()));
      }
    }
  }
  progress.clear();

  print_table(entrants, settings.repeats);
  pbc::Picture picture = make_picture(entrants, settings, details);
  portrait->place_in(picture, patients);
  picture.save(settings.picture);
  std::printf("The picture is in %s\n", settings.picture.c_str());
}

}  // namespace

int main(int argc, char** argv) { return examples::run_program("pbc", usage, argc, argv, run); }
