// Variables and registers as PTX declares them.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "ptx/text.h"

namespace lacuna::ptx {

struct Declaration {
  std::string_view name;
  std::size_t bytes = 0;  // of the whole variable
  std::size_t element = 1, alignment = 1;
  std::vector<std::uint64_t> values;  // of its initialiser, element by element
};

// Behind the state space: [.align n] [.ptr …] .type name [n][m] [= initialiser], up to and with `end`; a
// `end` of ',' or ')' stays.
Declaration take_declaration(Lexer&, char end = ';');

// Bytes of a fundamental type without its dot; 0 for pred; Fault for what is none.
unsigned bytes_of_type(std::string_view type);
bool is_type(std::string_view type);

}  // namespace lacuna::ptx
