#include "bench/tensors.h"

#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>
#include <sstream>
#include <stdexcept>

namespace bench {
namespace {

std::int64_t count(const std::vector<std::int64_t>& shape) {
  std::int64_t elements = 1;
  for (const std::int64_t extent : shape) elements *= extent;
  return elements;
}

std::string list(const std::vector<std::int64_t>& numbers) {
  std::string text = "[";
  for (const std::int64_t number : numbers) {
    if (text.size() > 1) text += ", ";
    text += std::to_string(number);
  }
  return text + "]";
}

double root_mean_square(const std::vector<float>& data) {
  double sum = 0;
  for (const float value : data) sum += static_cast<double>(value) * value;
  return std::sqrt(sum / static_cast<double>(data.size()));
}

// The text between `before` and the next `after`, from `position` on, which moves behind it.
std::string between(const std::string& text, const char* before, char after,
                    std::size_t& position) {
  const std::size_t found = text.find(before, position);
  if (found == std::string::npos) return {};
  const std::size_t begin = found + std::char_traits<char>::length(before);
  const std::size_t end = text.find(after, begin);
  if (end == std::string::npos) return {};
  position = end;
  return text.substr(begin, end - begin);
}

}  // namespace

Tensor make_tensor(std::vector<std::int64_t> shape, float fill) {
  const auto elements = static_cast<std::size_t>(count(shape));
  return {std::move(shape), std::vector<float>(elements, fill)};
}

void save(const std::string& path, const std::vector<std::int64_t>& offsets,
          const Tensors& tensors) {
  std::string header = "{\"offsets\": " + list(offsets) + ", \"tensors\": [";
  const char* separator = "";
  for (const auto& [name, tensor] : tensors) {
    header += separator;
    header += "{\"name\": \"" + name + "\", \"shape\": " + list(tensor.shape) + "}";
    separator = ", ";
  }
  header += "]}\n";
  std::ofstream file(path, std::ios::binary);
  file << header;
  for (const auto& [name, tensor] : tensors) {
    file.write(reinterpret_cast<const char*>(tensor.data.data()),
               static_cast<std::streamsize>(tensor.data.size() * sizeof(float)));
  }
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

Tensors load(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string header;
  if (!std::getline(file, header)) throw std::runtime_error("cannot read " + path);
  Tensors tensors;
  std::size_t position = 0;
  for (;;) {
    const std::string name = between(header, "\"name\": \"", '"', position);
    if (name.empty()) break;
    std::vector<std::int64_t> shape;
    std::istringstream extents(between(header, "\"shape\": [", ']', position));
    for (std::string extent; std::getline(extents, extent, ',');) {
      shape.push_back(std::stoll(extent));
    }
    Tensor tensor = make_tensor(shape);
    file.read(reinterpret_cast<char*>(tensor.data.data()),
              static_cast<std::streamsize>(tensor.data.size() * sizeof(float)));
    if (!file) throw std::runtime_error(path + " ends inside " + name);
    tensors.emplace(name, std::move(tensor));
  }
  return tensors;
}

Difference compare(const Tensors& reference, const Tensors& other, double tolerance) {
  Difference result{"", 0, true};
  for (const auto& [name, expected] : reference) {
    const auto found = other.find(name);
    double worst = 0;
    if (found == other.end() || found->second.shape != expected.shape) {
      worst = std::numeric_limits<double>::infinity();
    } else {
      const double scale = root_mean_square(expected.data);
      for (std::size_t i = 0; i < expected.data.size(); ++i) {
        const double off = std::abs(static_cast<double>(found->second.data[i]) - expected.data[i]);
        // The inverted comparison lets a NaN through as the worst there is.
        if (!(off <= worst)) worst = off;
        if (std::isnan(worst)) break;
      }
      if (worst > 0 || std::isnan(worst)) worst /= scale;
    }
    if (!(worst <= result.worst)) {
      result.worst = worst;
      result.tensor = name;
    }
    if (!(worst <= tolerance)) result.ok = false;
    if (std::isnan(worst)) break;
  }
  return result;
}

void prove_comparer(const Tensors& good, double tolerance) {
  const auto must = [&](bool expected, const Tensors& other, const char* what) {
    if (compare(good, other, tolerance).ok != expected) {
      throw std::logic_error(std::string("the comparer is broken: ") + what);
    }
  };
  must(true, good, "it rejects a result compared with itself");
  for (const auto& [name, tensor] : good) {
    Tensors bad = good;
    float& victim = bad[name].data.back();
    victim = std::numeric_limits<float>::quiet_NaN();
    must(false, bad, "it accepts a NaN");
    const double scale = root_mean_square(tensor.data);
    victim = static_cast<float>(tensor.data.back() + 2 * tolerance * scale + 1e-30);
    must(false, bad, "it accepts a wrong value");
    bad.erase(name);
    must(false, bad, "it accepts a missing tensor");
    break;  // one tensor proves the comparer; copying every large one would prove no more
  }
}

}  // namespace bench
