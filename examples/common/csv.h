// Reads a table of comma-separated values with a header line. Every complaint names file and line,
// because a truncated download is the likeliest thing to go wrong in an example.
#pragma once

#include <charconv>
#include <cstddef>
#include <fstream>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace examples {

// The pieces of one line; quotes are not special in the files that the examples read.
inline std::vector<std::string_view> split_line(std::string_view line) {
  std::vector<std::string_view> fields;
  for (std::size_t begin = 0;;) {
    const std::size_t comma = line.find(',', begin);
    fields.push_back(line.substr(begin, comma - begin));
    if (comma == std::string_view::npos) return fields;
    begin = comma + 1;
  }
}

class CsvTable {
 public:
  // `name` stands for the file in error messages.
  CsvTable(std::string name, std::string text) : name_(std::move(name)), text_(std::move(text)) {
    std::string_view rest = text_;
    std::size_t line_number = 0;
    while (!rest.empty()) {
      const std::size_t end = rest.find('\n');
      std::string_view line = rest.substr(0, end);
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
      ++line_number;
      if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
      if (line.empty()) continue;
      auto fields = split_line(line);
      if (header_.empty()) {
        header_ = std::move(fields);
        continue;
      }
      if (fields.size() != header_.size())
        fail(line_number, "has " + std::to_string(fields.size()) + " fields; the header has " +
                              std::to_string(header_.size()));
      rows_.push_back(std::move(fields));
      lines_.push_back(line_number);
    }
    if (header_.empty()) throw std::runtime_error(name_ + " is empty; expected a header line");
  }

  CsvTable(const CsvTable&) = delete;  // the fields point into text_
  CsvTable& operator=(const CsvTable&) = delete;

  std::size_t rows() const { return rows_.size(); }

  std::size_t column(std::string_view title) const {
    for (std::size_t i = 0; i < header_.size(); ++i)
      if (header_[i] == title) return i;
    throw std::runtime_error(name_ + " has no column \"" + std::string(title) + "\"");
  }

  std::string_view text(std::size_t row, std::size_t column) const {
    return rows_.at(row).at(column);
  }

  // An empty field is NaN: not measured.
  double number(std::size_t row, std::size_t column) const {
    const std::string_view field = text(row, column);
    if (field.empty()) return std::numeric_limits<double>::quiet_NaN();
    double value = 0;
    const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
    if (error != std::errc{} || end != field.data() + field.size())
      fail(lines_[row], "column \"" + std::string(header_[column]) + "\" holds \"" +
                            std::string(field) + "\"; expected a number");
    return value;
  }

  // "file:line: what", for callers with complaints of their own.
  [[noreturn]] void complain(std::size_t row, const std::string& what) const {
    fail(lines_.at(row), what);
  }

 private:
  [[noreturn]] void fail(std::size_t line, const std::string& what) const {
    throw std::runtime_error(name_ + ":" + std::to_string(line) + ": " + what);
  }

  std::string name_;
  std::string text_;
  std::vector<std::string_view> header_;
  std::vector<std::vector<std::string_view>> rows_;
  std::vector<std::size_t> lines_;
};

inline std::string read_text_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot open " + path);
  std::ostringstream text;
  text << file.rdbuf();
  if (file.bad()) throw std::runtime_error("cannot read " + path);
  return std::move(text).str();
}

inline CsvTable read_csv(const std::string& path) { return {path, read_text_file(path)}; }

}  // namespace examples
