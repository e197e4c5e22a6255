#include "ptx/declarations.h"

#include "ptx/machine.h"

namespace lacuna::ptx {
namespace {

constexpr struct {
  std::string_view name;
  unsigned bytes;
} types[] = {{"pred", 0}, {"b8", 1},  {"u8", 1},  {"s8", 1},    {"b16", 2},
             {"u16", 2},  {"s16", 2}, {"f16", 2}, {"bf16", 2},  {"b32", 4},
             {"u32", 4},  {"s32", 4}, {"f32", 4}, {"f16x2", 4}, {"bf16x2", 4},
             {"tf32", 4}, {"b64", 8}, {"u64", 8}, {"s64", 8},   {"f64", 8}};

}  // namespace

bool is_type(std::string_view type) {
  for (const auto& t : types)
    if (t.name == type) return true;
  return false;
}

unsigned bytes_of_type(std::string_view type) {
  for (const auto& t : types)
    if (t.name == type) return t.bytes;
  throw Fault("'" + std::string(type) + "' is no type");
}

Declaration take_declaration(Lexer& lexer, char end) {
  Declaration d;
  bool typed = false, aligned = false, of_pointee = false;
  while (lexer.token().starts_with('.')) {
    const std::string_view what = lexer.take().substr(1);
    if (what == "align" && of_pointee) {
      lexer.take_integer();
    } else if (what == "align") {
      d.alignment = lexer.take_integer();
      if (d.alignment == 0 || (d.alignment & (d.alignment - 1)))
        lexer.fail("an alignment that is no power of two");
      aligned = true;
    } else if (what == "ptr" || what == "global" || what == "shared") {
      of_pointee = true;  // what a pointer parameter points at is nothing to the machine
    } else if (what == "attribute") {
      lexer.skip_past(")");
    } else if (is_type(what)) {
      d.element = bytes_of_type(what);
      typed = true;
    } else {
      lexer.fail("'." + std::string(what) + "' is not implemented in a declaration");
    }
  }
  if (!typed) lexer.fail("a declaration without a type");
  if (!aligned) d.alignment = d.element;
  d.name = lexer.take();
  d.bytes = d.element;
  while (lexer.accept("[")) {
    d.bytes *= lexer.at("]") ? 0 : lexer.take_integer();
    lexer.expect("]");
  }
  if (lexer.accept("=")) {
    const bool braces = lexer.accept("{");
    do {
      const Lexer before = lexer;
      if (!integer_of(lexer.token())) before.fail("only integers are implemented in initialisers");
      d.values.push_back(lexer.take_integer());
    } while (braces && lexer.accept(","));
    if (braces) lexer.expect("}");
  }
  if (end == ';') lexer.expect(";");
  return d;
}

}  // namespace lacuna::ptx
