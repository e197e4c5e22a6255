// PTX as text: tokens, and from them statements with their operands. Knows the grammar, but no instruction.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lacuna::ptx {

struct Operand {
  enum class Kind {
    name,     // a register, variable, parameter or label, with an offset where it is a variable
    integer,  // bits
    single,   // 0f…: bits of a float
    real,     // 0d…: bits of a double
    vector,   // {a, b, …}: elements
    pair,     // a|b: elements
    address,  // [name + offset] or [integer]
    sink      // _
  };
  Kind kind = Kind::sink;
  std::string_view name;
  std::uint64_t bits = 0;
  std::int64_t offset = 0;
  bool negated = false;  // !p
  std::vector<Operand> elements;
};

struct Statement {
  std::string_view guard;  // a predicate register, or empty
  bool guard_negated = false;
  std::string_view opcode;  // with all of its modifiers
  std::vector<Operand> operands;
  std::string_view text;  // for messages
  unsigned line = 0;
};

// Hands out tokens. Punctuation is one token a character; a name carries its dots and colons
// (`ld.global.f32`, `%tid.x`, `shared::cta`), a directive its leading dot.
class Lexer {
 public:
  Lexer(std::string_view text, unsigned line, std::string_view unit)
      : text_(text), unit_(unit), line_(line) {
    advance();
  }

  std::string_view token() const { return token_; }  // empty at the end
  unsigned line() const { return token_line_; }      // of the token
  std::size_t position() const { return token_.data() - text_.data(); }
  std::string_view text() const { return text_; }

  bool at(std::string_view what) const { return token_ == what; }
  std::string_view take();                // the token, and on to the next
  bool accept(std::string_view what);     // on to the next if the token is that
  void expect(std::string_view what);     // the same, or a Fault
  std::uint64_t take_integer();           // or a Fault
  void skip_past(std::string_view what);  // to behind the next such token
  void skip_block();                      // behind the brace that closes the one at the token
  [[noreturn]] void fail(const std::string& what) const;

 private:
  void advance();
  void skip_space();

  std::string_view text_, token_, unit_;
  std::size_t next_ = 0;
  unsigned line_, token_line_ = 1;
};

// From the guard or opcode to behind the semicolon.
Statement take_statement(Lexer&);

// `ld.global.v2.f32` by its dots; `::` does not part.
std::vector<std::string_view> parts_of(std::string_view opcode);

// 123, -5, 0x1F, 017, 42U; nothing where the token is no integer.
std::optional<std::uint64_t> integer_of(std::string_view token);

}  // namespace lacuna::ptx
