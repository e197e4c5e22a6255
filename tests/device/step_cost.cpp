// The cost model by itself, for bench/tune.py, which fits its constants: what the model predicts and chooses for given
// layers, on a given chip, with given constants. One command per line in, one line of JSON out:
//   constants                                       names and defaults, in the order of `predict`
//   device INDEX                                    facts of a GPU, in the order of `chip`
//   chip MULTIPROCESSORS GIGAHERTZ SHARED CLUSTERS... [CAPABILITY]   which chip is meant, how many clusters of 2, 4, 8 and
//                                                   16 blocks it runs at once, its compute capability (90: 9.0), if not
//                                                   an H100's limits; forgets all points
//   point CELL TYPE PRECISION HIDDEN SEQUENCES REGIME BLOCKS   a plan, in the numbers of lacuna.h; refused where it
//                                                   does not serve, else it is kept
//   measured 0|1                                    whether constants count as measured on the chip; they do at first
//   predict CONSTANT...                             regime, blocks and microseconds of a step of each point
//   quit
#include <cstdio>
#include <exception>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "host/backend.h"
#include "host/cuda/regime.h"
#include "host/cuda/step_cost.h"

namespace {

using namespace lacuna::cuda;

struct Point {
  lacuna_layer layer{.features = 1};
  lacuna_capacity capacity{};
  lacuna_plan_options options{};
};

class Words {
 public:
  explicit Words(const std::string& line) : words_(line) {}
  template <class Number>
  Number next(const char* what) {
    Number number{};
    if (!(words_ >> number)) throw std::invalid_argument(std::string(what) + ": not a number");
    return number;
  }
  bool at_end() { return (words_ >> std::ws).eof(); }
  std::string command() {
    std::string word;
    words_ >> word;
    return word;
  }

 private:
  std::istringstream words_;
};

std::string number(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}

std::string constants() {
  std::string names, defaults;
  for (const NamedConstant& constant : step_constants) {
    names += std::string(names.empty() ? "" : ", ") + '"' + constant.name + '"';
    defaults += (defaults.empty() ? "" : ", ") + number(StepConstants{}.*constant.value);
  }
  return "{\"names\": [" + names + "], \"defaults\": [" + defaults + "]}";
}

std::string device(int index) {
  if (index < 0 || index >= Device::count())
    throw std::invalid_argument("device: " + std::to_string(index) + ", expected one of " +
                                std::to_string(Device::count()));
  const Device gpu(index);
  const DeviceFacts facts = facts_of(gpu);
  std::string clusters;
  for (const int count : facts.clusters)
    clusters += (clusters.empty() ? "" : ", ") + std::to_string(count);
  return "{\"name\": \"" + gpu.name().substr(0, gpu.name().find(", sm_")) +
         "\", \"capability\": " + std::to_string(gpu.capability()) +
         ", \"multiprocessors\": " + std::to_string(facts.multiprocessors) +
         ", \"gigahertz\": " + number(facts.gigahertz) +
         ", \"shared_bytes\": " + std::to_string(facts.shared_bytes) + ", \"clusters\": [" +
         clusters + "], \"constants\": \"" + facts.costs.source + "\"}";
}

class Model {
 public:
  std::string answer(const std::string& line) {
    Words words(line);
    const std::string command = words.command();
    if (command == "constants") return constants();
    if (command == "device") return device(words.next<int>("INDEX"));
    if (command == "chip") return chip(words);
    if (command == "measured") return measured(words);
    if (command == "point") return point(words);
    if (command == "predict") return predict(words);
    throw std::invalid_argument("unknown command '" + command + "'");
  }

 private:
  std::string chip(Words& words) {
    facts_ = {};
    facts_.costs.measured = true;
    facts_.multiprocessors = words.next<int>("MULTIPROCESSORS");
    facts_.gigahertz = words.next<double>("GIGAHERTZ");
    facts_.shared_bytes = words.next<std::size_t>("SHARED");
    for (int& count : facts_.clusters) count = words.next<int>("CLUSTERS");
    if (!words.at_end()) facts_.capability = words.next<int>("CAPABILITY");
    points_.clear();
    return "{}";
  }

  std::string measured(Words& words) {
    facts_.costs.measured = words.next<int>("MEASURED") != 0;
    return "{}";
  }

  std::string point(Words& words) {
    Point point;
    point.layer.cell = static_cast<lacuna_cell>(words.next<int>("CELL"));
    point.layer.type = static_cast<lacuna_type>(words.next<int>("TYPE"));
    point.options.precision = static_cast<lacuna_precision>(words.next<int>("PRECISION"));
    point.layer.hidden = words.next<std::int64_t>("HIDDEN");
    point.capacity.sequences = words.next<std::int64_t>("SEQUENCES");
    point.capacity.tokens = point.capacity.sequences;
    point.options.regime = static_cast<lacuna_regime>(words.next<int>("REGIME"));
    point.options.blocks = words.next<int>("BLOCKS");
    try {
      chosen(point);
    } catch (const lacuna::BackendError& error) {
      return std::string("{\"refused\": \"") + error.what() + "\"}";
    }
    points_.push_back(point);
    return "{}";
  }

  std::string predict(Words& words) {
    for (const NamedConstant& constant : step_constants)
      facts_.costs.constants.*constant.value = words.next<double>(constant.name);
    std::string list;
    for (const Point& point : points_) {
      const lacuna::DeviceLayout lay = chosen(point);
      list += (list.empty() ? "[" : ", [") + std::to_string(lay.regime) + ", " +
              std::to_string(lay.blocks) + ", " + number(lay.step_us) + ']';
    }
    return "{\"steps\": [" + list + "]}";
  }

  lacuna::DeviceLayout chosen(const Point& point) const {
    lacuna::DeviceLayout lay;
    choose_regime(lay, point.layer, point.capacity, point.options, /*sharers*/ 1, facts_);
    return lay;
  }

  DeviceFacts facts_;
  std::vector<Point> points_;
};

}  // namespace

int main() {
  Model model;
  for (std::string line; std::getline(std::cin, line) && line != "quit";) {
    try {
      std::cout << model.answer(line) << std::endl;
    } catch (const std::exception& error) {
      std::cout << "{\"error\": \"" << error.what() << "\"}" << std::endl;
    }
  }
}
