#include "ptx/text.h"

#include <charconv>

#include "ptx/machine.h"

namespace lacuna::ptx {
namespace {

bool in_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '$' || c == '%' || c == '.';
}

template <class T>
std::optional<T> digits(std::string_view text, int base) {
  T value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return {};
  return value;
}

}  // namespace

std::optional<std::uint64_t> integer_of(std::string_view token) {
  if (!token.empty() && token.back() == 'U') token.remove_suffix(1);
  if (token.starts_with("0x") || token.starts_with("0X"))
    return digits<std::uint64_t>(token.substr(2), 16);
  if (token.size() > 1 && token[0] == '0') return digits<std::uint64_t>(token.substr(1), 8);
  return digits<std::uint64_t>(token, 10);
}

std::vector<std::string_view> parts_of(std::string_view opcode) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t dot = opcode.find('.');
    parts.push_back(opcode.substr(0, dot));
    if (dot == std::string_view::npos) return parts;
    opcode.remove_prefix(dot + 1);
  }
}

void Lexer::skip_space() {
  while (next_ < text_.size()) {
    const char c = text_[next_];
    if (c == '\n') {
      ++line_, ++next_;
    } else if (c == ' ' || c == '\t' || c == '\r') {
      ++next_;
    } else if (text_.substr(next_, 2) == "//") {
      next_ = std::min(text_.find('\n', next_), text_.size());
    } else if (text_.substr(next_, 2) == "/*") {
      const std::size_t end = text_.find("*/", next_);
      if (end == std::string_view::npos) fail("a comment that does not end");
      for (; next_ < end + 2; ++next_) line_ += text_[next_] == '\n';
    } else {
      return;
    }
  }
}

void Lexer::advance() {
  skip_space();
  token_line_ = line_;
  const std::size_t begin = next_;
  if (begin == text_.size()) {
    token_ = text_.substr(begin);
    return;
  }
  if (text_[begin] == '"') {
    const std::size_t end = text_.find('"', begin + 1);
    if (end == std::string_view::npos) fail("a string that does not end");
    next_ = end + 1;
  } else if (in_name(text_[begin])) {
    while (next_ < text_.size() &&
           (in_name(text_[next_]) || text_.substr(next_, 2) == "::" ||
            (text_[next_] == ':' && next_ > begin && text_[next_ - 1] == ':')))
      ++next_;
  } else {
    ++next_;
  }
  token_ = text_.substr(begin, next_ - begin);
}

std::string_view Lexer::take() {
  const std::string_view token = token_;
  advance();
  return token;
}

bool Lexer::accept(std::string_view what) {
  if (!at(what)) return false;
  advance();
  return true;
}

void Lexer::expect(std::string_view what) {
  if (!accept(what))
    fail("expected '" + std::string(what) + "' instead of '" + std::string(token_) + "'");
}

std::uint64_t Lexer::take_integer() {
  const auto value = integer_of(token_);
  if (!value) fail("expected an integer instead of '" + std::string(token_) + "'");
  advance();
  return *value;
}

void Lexer::skip_past(std::string_view what) {
  while (!token_.empty() && !at(what)) advance();
  expect(what);
}

void Lexer::skip_block() {
  const unsigned opened = token_line_;
  unsigned depth = 0;
  do {
    if (token_.empty()) fail("the brace of line " + std::to_string(opened) + " is not closed");
    if (at("{")) ++depth;
    if (at("}")) --depth;
    advance();
  } while (depth > 0);
}

void Lexer::fail(const std::string& what) const {
  throw Fault(std::string(unit_) + ", line " + std::to_string(token_line_) + ": " + what);
}

namespace {

Operand take_operand(Lexer& lexer);

Operand take_elements(Lexer& lexer) {
  Operand vector;
  vector.kind = Operand::Kind::vector;
  do vector.elements.push_back(take_operand(lexer));
  while (lexer.accept(","));
  lexer.expect("}");
  return vector;
}

// name, name+8, name+-8, 16: what an address is made of, and what mov takes of a variable.
Operand take_place(Lexer& lexer) {
  Operand operand;
  if (const auto value = integer_of(lexer.token())) {
    operand.kind = Operand::Kind::integer;
    operand.bits = *value;
    lexer.take();
    return operand;
  }
  operand.kind = Operand::Kind::name;
  operand.name = lexer.take();
  if (lexer.accept("+")) {
    const bool minus = lexer.accept("-");
    operand.offset = static_cast<std::int64_t>(lexer.take_integer());
    if (minus) operand.offset = -operand.offset;
  } else if (lexer.accept("-")) {
    operand.offset = -static_cast<std::int64_t>(lexer.take_integer());
  }
  return operand;
}

// 0f3F800000 or 0d3FF0000000000000
std::uint64_t take_float_bits(Lexer& lexer) {
  const auto bits = digits<std::uint64_t>(lexer.token().substr(2), 16);
  if (!bits) lexer.fail("'" + std::string(lexer.token()) + "' is no floating constant");
  lexer.take();
  return *bits;
}

Operand take_operand(Lexer& lexer) {
  Operand operand;
  if (lexer.accept("{")) return take_elements(lexer);
  if (lexer.accept("_")) return operand;
  if (lexer.accept("[")) {
    operand = take_place(lexer);
    if (operand.kind == Operand::Kind::integer)
      operand.offset = static_cast<std::int64_t>(operand.bits);
    operand.kind = Operand::Kind::address;
    lexer.expect("]");
    return operand;
  }
  if (lexer.accept("-")) {
    operand.kind = Operand::Kind::integer;
    operand.bits = 0 - lexer.take_integer();
    return operand;
  }
  const bool negated = lexer.accept("!");
  const std::string_view token = lexer.token();
  if (token.size() == 10 && token[0] == '0' && (token[1] | 32) == 'f') {
    operand.kind = Operand::Kind::single;
    operand.bits = take_float_bits(lexer);
    return operand;
  }
  if (token.size() == 18 && token[0] == '0' && (token[1] | 32) == 'd') {
    operand.kind = Operand::Kind::real;
    operand.bits = take_float_bits(lexer);
    return operand;
  }
  if (token.empty() || !in_name(token[0]))
    lexer.fail("expected an operand instead of '" + std::string(token) + "'");
  operand = take_place(lexer);
  operand.negated = negated;
  if (lexer.accept("|")) {
    Operand pair;
    pair.kind = Operand::Kind::pair;
    pair.elements = {operand, take_operand(lexer)};
    return pair;
  }
  return operand;
}

}  // namespace

Statement take_statement(Lexer& lexer) {
  Statement statement;
  statement.line = lexer.line();
  const std::size_t begin = lexer.position();
  if (lexer.accept("@")) {
    statement.guard_negated = lexer.accept("!");
    statement.guard = lexer.take();
  }
  statement.opcode = lexer.take();
  if (!lexer.at(";")) {
    do statement.operands.push_back(take_operand(lexer));
    while (lexer.accept(","));
  }
  statement.text = lexer.text().substr(begin, lexer.position() - begin);
  lexer.expect(";");
  return statement;
}

}  // namespace lacuna::ptx
