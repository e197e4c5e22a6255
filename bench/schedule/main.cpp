// What a memory budget costs, what threads gain, and what scheduling adds: stacks timed beside the same work done otherwise,
// in one process, in alternation. Results are compared bit by bit before anything is timed, and a case that differs is not.
//
//   lacuna_schedule_bench [--quick] [--filter TEXT] [--json FILE]
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "lacuna/lacuna.hpp"

namespace {

using Rows = std::vector<float>;

struct Work {
  lacuna::Stack stack;
  std::int64_t sequences, shortest, longest;
  std::string name;
};

struct Data {
  std::vector<std::int64_t> offsets{0};
  Rows values, delta_t, d_hidden;
  explicit Data(const Work& work) {
    std::mt19937 random(11);
    std::uniform_real_distribution<float> unit(0, 1);
    for (std::int64_t b = 0; b < work.sequences; ++b)
      offsets.push_back(offsets.back() + work.shortest +
                        (work.longest - work.shortest) * b /
                            std::max<std::int64_t>(work.sequences - 1, 1));
    const lacuna::Layer& first = work.stack.layers.front();
    const auto n = static_cast<std::size_t>(offsets.back());
    values.resize(n * static_cast<std::size_t>(first.features));
    for (float& value : values)
      value =
          first.impute != lacuna::Impute::none && unit(random) < 0.8F ? NAN : unit(random) - 0.5F;
    delta_t.resize(n);
    for (float& gap : delta_t) gap = unit(random);
    d_hidden.resize(n * static_cast<std::size_t>(work.stack.output_width()));
    for (float& d : d_hidden) d = unit(random) - 0.5F;
  }
  lacuna::Capacity capacity(const Work& work) const {
    return {offsets.back(), work.sequences, work.longest};
  }
  lacuna::Batch<float> batch() const {
    lacuna::Batch<float> batch{.offsets = offsets, .values = values};
    batch.delta_t = delta_t;
    return batch;
  }
};

// One way to train on the data: a step leaves gradients to compare.
struct Contestant {
  std::string name;
  std::function<void()> step;
  std::function<Rows()> gradients;
  std::string remark;
  std::vector<double> seconds;
};

// Of all threads of this process: what other programs take does not count.
double processor_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}
double clock_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median(std::vector<double> numbers) {
  std::sort(numbers.begin(), numbers.end());
  const std::size_t n = numbers.size();
  return n % 2 ? numbers[n / 2] : (numbers[n / 2 - 1] + numbers[n / 2]) / 2;
}

class Stacked {
 public:
  Stacked(const lacuna::Context& context, const Work& work, const Data& data,
          const lacuna::StackOptions& options)
      : data_(data),
        weights_(work.stack, 1),
        gradients_(weights_),
        plan_(context, work.stack, data.capacity(work), options),
        hidden_(data.d_hidden.size()) {}
  void step() {
    gradients_.set_zero();
    plan_.forward<float>(weights_, data_.batch(), {.hidden = hidden_});
    plan_.backward<float>(weights_, data_.batch(), {.d_hidden = data_.d_hidden}, gradients_);
  }
  Rows gradients() const {
    Rows all;
    for (std::size_t place = 0; place < gradients_.size(); ++place) {
      const auto flat = gradients_[place].flat();
      all.insert(all.end(), flat.begin(), flat.end());
    }
    return all;
  }
  lacuna::StackInfo info() const { return plan_.info(); }

 private:
  const Data& data_;
  lacuna::StackParameters<float> weights_;
  lacuna::StackGradients<float> gradients_;
  lacuna::StackPlan plan_;
  Rows hidden_;
};

Contestant contestant(const std::string& name, const std::shared_ptr<Stacked>& stacked,
                      const std::string& remark) {
  return {
      name, [stacked] { stacked->step(); }, [stacked] { return stacked->gradients(); }, remark, {}};
}

std::string mebibytes(std::size_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f MiB", static_cast<double>(bytes) / (1 << 20));
  return text;
}

struct Report {
  std::ostringstream json;
  bool first = true;
  std::string filter;  // only cases whose title contains it

  bool wants(const std::string& title) const { return title.find(filter) != std::string::npos; }

  // Times the contestants in turn; the first is what the others are held against. Each runs for `warm` seconds before it is
  // timed: a thread that has slept while others ran may be put on a core that is taken, and stay there for a while.
  void compare(const std::string& title, std::vector<Contestant> all, int repeats, double (*now)(),
               double warm = 0) {
    std::cout << "\n" << title << '\n';
    for (Contestant& one : all) one.step();
    const Rows expected = all.front().gradients();
    for (const Contestant& one : all) {
      const Rows found = one.gradients();
      if (found.size() != expected.size() ||
          std::memcmp(found.data(), expected.data(), found.size() * sizeof(float)) != 0) {
        std::cout << "  refused: the gradients of \"" << one.name << "\" have other bits\n";
        return;
      }
    }
    for (int r = 0; r < repeats; ++r)
      for (Contestant& one : all) {
        for (const double until = clock_seconds() + warm; clock_seconds() < until;) one.step();
        const double began = now();
        one.step();
        one.seconds.push_back(now() - began);
      }
    for (const Contestant& one : all) {
      std::vector<double> ratios;
      for (std::size_t r = 0; r < one.seconds.size(); ++r)
        ratios.push_back(one.seconds[r] / all.front().seconds[r]);
      std::printf("  %-34s %8.1f ms  %5.2f x  %s\n", one.name.c_str(), 1e3 * median(one.seconds),
                  median(ratios), one.remark.c_str());
      json << (first ? "" : ",\n") << "  {\"case\": \"" << title << "\", \"way\": \"" << one.name
           << "\", \"remark\": \"" << one.remark
           << "\", \"median_seconds\": " << median(one.seconds)
           << ", \"median_ratio\": " << median(ratios) << ", \"seconds\": [";
      for (std::size_t r = 0; r < one.seconds.size(); ++r)
        json << (r ? ", " : "") << one.seconds[r];
      json << "]}";
      first = false;
    }
    std::fflush(stdout);
  }
};

void budgets(Report& report, const Work& work, int repeats) {
  const std::string title = "budget, one thread, processor time: " + work.name;
  if (!report.wants(title)) return;
  const lacuna::Context context = lacuna::Context::cpu({.threads = 1});
  const Data data(work);
  std::vector<Contestant> all;
  const auto unlimited = std::make_shared<Stacked>(context, work, data, lacuna::StackOptions{});
  const lacuna::StackInfo most = unlimited->info();
  all.push_back(contestant("no budget", unlimited, mebibytes(most.memory_bytes)));
  for (const int share : {2, 5, 10, 20, 40}) {
    const std::size_t budget = most.memory_bytes / static_cast<std::size_t>(share);
    if (budget < most.memory_least) continue;
    const auto tight = std::make_shared<Stacked>(context, work, data,
                                                 lacuna::StackOptions{.memory_budget = budget});
    const lacuna::StackInfo info = tight->info();
    all.push_back(contestant(
        "1/" + std::to_string(share) + " of the memory", tight,
        mebibytes(info.memory_bytes) + ", " + std::to_string(info.windows_again) + " of " +
            std::to_string(info.windows) + " windows again, " + std::to_string(info.kept_tapes) +
            " tapes, " + std::to_string(info.kept_states) + " states"));
  }
  report.compare(title, std::move(all), repeats, processor_seconds);
}

void threads(Report& report, const Work& work, int repeats) {
  const std::string title = "threads, time of the clock: " + work.name;
  if (!report.wants(title)) return;
  const Data data(work);
  std::vector<Contestant> all;
  for (const int count : {1, 2}) {
    const lacuna::Context context = lacuna::Context::cpu({.threads = count});
    all.push_back(contestant(std::to_string(count) + " thread(s)",
                             std::make_shared<Stacked>(context, work, data, lacuna::StackOptions{}),
                             ""));
  }
  report.compare(title, std::move(all), repeats, clock_seconds, 0.1);
}

}  // namespace

int main(int count, char** arguments) {
  bool quick = false;
  std::string json, filter;
  for (int i = 1; i < count; ++i) {
    const std::string argument = arguments[i];
    if (argument == "--quick") {
      quick = true;
    } else if (argument == "--json" && i + 1 < count) {
      json = arguments[++i];
    } else if (argument == "--filter" && i + 1 < count) {
      filter = arguments[++i];
    } else {
      std::cerr << "usage: lacuna_schedule_bench [--quick] [--filter TEXT] [--json FILE]\n";
      return 2;
    }
  }
  try {
    const int repeats = quick ? 3 : 9;
    Report report;
    report.filter = filter;
    const auto two = [](const lacuna::Layer& layer, bool both) {
      return lacuna::stacked(layer, {.depth = 2, .bidirectional = both});
    };
    budgets(report,
            {two(lacuna::gru_d(37, 64), false), 16, 4000, 4000,
             "GRU-D, 2 layers, 16 x 4000 tokens, D 37, H 64"},
            repeats);
    budgets(report,
            {two(lacuna::lstm(41, 64), false), 16, 4000, 4000,
             "LSTM, 2 layers, 16 x 4000 tokens, D 41, H 64"},
            repeats);
    if (!quick) {
      budgets(report,
              {two(lacuna::gru(41, 64), false), 1, 100000, 100000,
               "GRU, 2 layers, one sequence of 100000 tokens, D 41, H 64"},
              5);
      budgets(report,
              {two(lacuna::lstm(76, 128), false), 32, 500, 2000,
               "LSTM, 2 layers, 32 sequences of 500 to 2000 tokens, D 76, H 128"},
              repeats);
    }
    for (const std::int64_t batch : {1, 8, 64})
      threads(report,
              {two(lacuna::lstm(41, 64), true), batch, 200, 200,
               "LSTM, 2 layers, both directions, " + std::to_string(batch) +
                   " x 200 tokens, D 41, H 64"},
              2 * repeats);
    threads(report,
            {two(lacuna::gru_d(37, 64), true), 64, 30, 110,
             "GRU-D, 2 layers, both directions, 64 sequences of 30 to 110 tokens, D 37, H 64"},
            2 * repeats);
    threads(report,
            {two(lacuna::gru(41, 64), false), 4, 2000, 2000,
             "GRU, 2 layers, one direction, 4 x 2000 tokens, D 41, H 64"},
            repeats);
    if (!json.empty()) {
      std::ofstream file(json);
      file << "{\"threads_of_the_machine\": " << std::thread::hardware_concurrency()
           << ", \"version\": \"" << lacuna::version() << "\", \"results\": [\n"
           << report.json.str() << "\n]}\n";
      if (!file.flush()) throw std::runtime_error("cannot write " + json);
    }
  } catch (const std::exception& error) {
    std::cerr << "lacuna_schedule_bench: " << error.what() << '\n';
    return 1;
  }
}
