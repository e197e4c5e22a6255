#include "bench/worker.h"

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>

#include "bench/contestant.h"

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char letter : text) {
    if (letter == '"' || letter == '\\') result += '\\';
    result += static_cast<unsigned char>(letter) < ' ' ? ' ' : letter;
  }
  return result + "\"";
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", value);
  // JSON has no NaN and no infinity; 1e999 is read back as infinity, which fails every bound.
  return value - value == 0 ? text : "1e999";
}

// Nanoseconds that this process's threads were ready to run but had no core, so far: how much a
// neighbour on the machine disturbed it.
double waited() {
  double total = 0;
  std::error_code ignored;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", ignored)) {
    std::ifstream file(task.path() / "schedstat");
    double ran = 0, waiting = 0;
    if (file >> ran >> waiting) total += waiting;
  }
  return total;
}

class Worker {
 public:
  explicit Worker(int threads) : threads_(threads) {}

  std::string answer(const std::string& line) {
    std::istringstream words(line);
    std::string command, first, second;
    words >> command >> first >> second;
    try {
      if (command == "about") return about();
      if (command == "cases") return cases();
      if (command == "open") return open(first, second);
      if (!inputs_) throw std::runtime_error("open a case first");
      if (command == "export") {
        save(first, inputs_->offsets, exported());
        return "{}";
      }
      if (command == "check") return judge(contestant(first).results());
      if (command == "compare") return judge(load(first));
      if (command == "time") return time(contestant(first), std::stod(second));
      if (command == "memory") return memory();
      throw std::runtime_error("unknown command " + command);
    } catch (const std::exception& error) {
      return "{\"error\": " + quoted(error.what()) + "}";
    }
  }

 private:
  std::string about() const {
    std::string text = "{\"compiler\": " + quoted(__VERSION__);
    for (const Library& library : {about_lacuna(), about_onednn(), about_sgemm()}) {
      text += ", " + quoted(library.name) + ": " + quoted(library.version);
    }
    return text + ", \"sgemm_operations\": " + number(k_sgemm_operations) + "}";
  }

  static std::string cases() {
    std::string text;
    for (const std::string& name : standard_cases())
      text += (text.empty() ? "" : ", ") + quoted(name);
    return "{\"cases\": [" + text + "]}";
  }

  std::string open(const std::string& name, const std::string& lengths_file) {
    contestants_.clear();
    reference_.reset();
    inputs_.reset();
    std::vector<std::int64_t> lengths;
    std::ifstream file(lengths_file);
    for (std::int64_t length = 0; file >> length;) lengths.push_back(length);
    inputs_ = std::make_unique<Inputs>(make_inputs(parse_case(name), lengths));
    return "{\"tokens\": " + std::to_string(inputs_->tokens()) +
           ", \"max_length\": " + std::to_string(inputs_->max_length()) +
           ", \"operations\": " + number(inputs_->operations()) +
           ", \"tolerance\": " + number(inputs_->tolerance()) + "}";
  }

  Tensors exported() const {
    Tensors tensors = inputs_->tensors;
    if (!inputs_->mask.empty()) {
      Tensor& mask = tensors["mask"] = make_tensor(tensors["values"].shape);
      std::copy(inputs_->mask.begin(), inputs_->mask.end(), mask.data.begin());
    }
    return tensors;
  }

  Contestant& contestant(const std::string& name) {
    auto& found = contestants_[name];
    if (!found) found = make_contestant(name, *inputs_, threads_);
    return *found;
  }

  std::string judge(const Tensors& results) {
    if (results.empty()) return "{\"ok\": true, \"worst\": 0, \"tensor\": \"\"}";
    if (!reference_) {
      prove_comparer(results, inputs_->tolerance());
      reference_ = results;
    }
    const Difference difference = compare(*reference_, results, inputs_->tolerance());
    return std::string("{\"ok\": ") + (difference.ok ? "true" : "false") +
           ", \"worst\": " + number(difference.worst) +
           ", \"tensor\": " + quoted(difference.tensor) + "}";
  }

  // Short steps are warmed up once, because another contestant has just used the caches.
  static std::string time(Contestant& contestant, double milliseconds) {
    const auto since = [](Clock::time_point start) {
      return std::chrono::duration<double, std::nano>(Clock::now() - start).count();
    };
    const Clock::time_point warm = Clock::now();
    if (milliseconds > 0) contestant.step();
    const double budget = milliseconds * 1e6 - since(warm);
    const double waited_before = waited();
    const Clock::time_point start = Clock::now();
    int steps = 0;
    do {
      contestant.step();
      ++steps;
    } while (since(start) < budget);
    const double elapsed = since(start);
    return "{\"ns\": " + number(elapsed / steps) + ", \"steps\": " + std::to_string(steps) +
           ", \"waited\": " + number((waited() - waited_before) / elapsed) + "}";
  }

  std::string memory() {
    contestants_.clear();
    const Memory memory = measure_memory(*inputs_, threads_);
    std::string text = "{";
    const auto add = [&](const char* name, std::size_t bytes) {
      if (text.size() > 1) text += ", ";
      text += quoted(name) + ": " + std::to_string(bytes);
    };
    add("workspace", memory.workspace);
    add("workspace_used", memory.workspace_used);
    add("tape", memory.tape);
    add("tape_used", memory.tape_used);
    add("taken", memory.taken);
    add("peak", memory.peak);
    add("allocations_in_run", memory.allocations_in_run);
    return text + "}";
  }

  int threads_;
  std::unique_ptr<Inputs> inputs_;
  std::map<std::string, std::unique_ptr<Contestant>> contestants_;
  std::optional<Tensors> reference_;
};

}  // namespace

std::unique_ptr<Contestant> make_contestant(const std::string& name, const Inputs& inputs,
                                            int threads) {
  if (name == "lacuna") return make_lacuna(inputs, threads);
  if (name == "onednn") return make_onednn(inputs, threads);
  if (name == "sgemm") return make_sgemm(threads);
  throw std::invalid_argument("no contestant called " + name);
}

int serve(int threads) {
  Worker worker(threads);
  for (std::string line; std::getline(std::cin, line) && line != "quit";) {
    std::cout << worker.answer(line) << std::endl;
  }
  return 0;
}

}  // namespace bench
