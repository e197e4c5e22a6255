// See vectors.h.
#include "support/vectors.h"

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace support {
namespace {

std::vector<std::int64_t> read_shape(const std::string& dims) {
  std::vector<std::int64_t> shape;
  std::istringstream text(dims);
  for (std::string size; std::getline(text, size, 'x');) shape.push_back(std::stoll(size));
  return shape;
}

// Streams read doubles differently from one library to the next; strtod rounds to nearest.
bool read_double(std::istream& words, double& value) {
  std::string word;
  if (!(words >> word)) return false;
  char* end = nullptr;
  value = std::strtod(word.c_str(), &end);
  if (*end != 0) throw std::invalid_argument("'" + word + "' is no number");
  return true;
}

void read_tensor(std::istream& words, StoredCase& into) {
  std::string name, dims, equals;
  words >> name >> dims >> equals;
  StoredTensor tensor{read_shape(dims), {}};
  std::int64_t size = 1;
  for (const std::int64_t dim : tensor.shape) size *= dim;
  for (double value = 0; read_double(words, value);) tensor.values.push_back(value);
  if (equals != "=" || static_cast<std::int64_t>(tensor.values.size()) != size) {
    throw std::invalid_argument("tensor " + name + " has " + std::to_string(tensor.values.size()) +
                                " values, not " + dims);
  }
  into.tensors[name] = std::move(tensor);
}

void read_record(const std::string& line, StoredVectors& vectors) {
  std::istringstream words(line);
  std::string record;
  if (!(words >> record) || record.front() == '#' || record == "end") return;
  if (record == "made_with") {
    std::getline(words >> std::ws, vectors.made_with);
    return;
  }
  if (record == "case") {
    vectors.cases.emplace_back();
    words >> vectors.cases.back().name >> vectors.cases.back().module;
    return;
  }
  if (vectors.cases.empty()) throw std::invalid_argument("'" + record + "' stands before any case");
  StoredCase& current = vectors.cases.back();
  if (record == "sizes") {
    words >> current.sequences >> current.features >> current.hidden;
  } else if (record == "projection") {
    words >> current.projection;
  } else if (record == "offsets") {
    for (std::int64_t offset = 0; words >> offset;) current.offsets.push_back(offset);
  } else if (record == "directions") {
    words >> current.directions;
  } else if (record == "tensor") {
    read_tensor(words, current);
  } else {
    throw std::invalid_argument("'" + record + "' is no record");
  }
}

}  // namespace

const std::vector<double>& StoredCase::operator[](const std::string& tensor) const {
  const auto found = tensors.find(tensor);
  if (found == tensors.end()) throw std::out_of_range(name + " has no tensor " + tensor);
  return found->second.values;
}

StoredVectors read_vectors(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot open " + path);
  StoredVectors vectors;
  std::size_t number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    try {
      read_record(line, vectors);
    } catch (const std::exception& error) {
      throw std::runtime_error(path + ":" + std::to_string(number) + ": " + error.what());
    }
  }
  return vectors;
}

}  // namespace support
