// From statements to instructions. Opcodes are looked up by their full text; what the tables do not hold is
// not implemented, and refused.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ptx/program.h"
#include "ptx/text.h"

namespace lacuna::ptx {

struct Register {
  Slot slot = no_slot;
  unsigned width = 0;  // bytes; 0 for a predicate
};

class Decoder {
 public:
  explicit Decoder(const Kernel&);
  std::unique_ptr<Program> decode();

  // For the decoders of opcodes below. Operands are added in the order: results, then sources.
  void result(const Operand&, unsigned width);
  void source(const Operand&, unsigned width);
  // Of whatever width the register has, but at least that; constants get that width. Returns the width.
  unsigned result_at_least(const Operand&, unsigned width);
  unsigned source_at_least(const Operand&, unsigned width);
  // [register + offset] or [variable + offset].
  void address(const Operand&, Space);
  // A second one, in a register of that width.
  void second_address(const Operand&, unsigned width);
  void target(const Operand&);  // a label
  // The next source: an address, a mask, or what is stored for all to see.
  void next_must_be_written() {
    instruction_.must_be_written |= static_cast<std::uint16_t>(1u << instruction_.sources);
  }
  // For instructions that lanes execute together: the handler defines the results, for all of them.
  void handler_defines_results() { instruction_.results = 0; }
  std::int64_t constant(const Operand&) const;
  void expect_operands(std::size_t least, std::size_t most) const;
  // The value of a variable's or parameter's name; nothing where it is none.
  std::optional<Program::Constant> place_of(std::string_view name, Space* space = nullptr);
  std::optional<Register> find_register(std::string_view name);

  const Statement& statement() const { return *statement_; }
  [[noreturn]] void fail(const std::string& what) const;
  Instruction& instruction() { return instruction_; }

 private:
  struct Scope {
    std::unordered_map<std::string_view, Register> names;
    struct Range {
      std::string_view prefix;
      Slot first;
      unsigned count, width;
    };
    std::vector<Range> ranges;
  };

  void item();
  void registers();
  void locals();
  void shared_variable(std::string_view name, std::size_t bytes, std::size_t alignment);
  void decode_statement(const Statement&);
  void add_slot(Slot, bool is_result);
  Slot constant_slot(Program::Constant);
  Slot new_slot(unsigned width);
  std::optional<Register> special(std::string_view name);
  Register need_register(const Operand&, unsigned width, bool at_least);

  const Kernel& kernel_;
  Lexer lexer_;
  std::unique_ptr<Program> program_ = std::make_unique<Program>();
  std::vector<Scope> scopes_{1};
  std::unordered_map<std::string_view, std::uint64_t> shared_, local_;  // offsets
  std::unordered_map<std::string_view, std::uint64_t> parameters_;      // "…_param_3": offsets
  std::unordered_map<std::string_view, std::size_t> labels_;
  std::vector<std::pair<std::size_t, std::string_view>> branches_;  // to labels, settled at the end
  std::unordered_map<std::string, Slot> constants_;
  std::unordered_map<std::string_view, Register> specials_;
  const Statement* statement_ = nullptr;
  Instruction instruction_;
};

// An opcode: either its operands' widths, or a decoder of its own. A shape such as "w=wwp" has a letter per
// operand, results before the '=': p predicate, h 16 bits, w 32, d 64.
struct Opcode {
  Handler handler = nullptr;
  const char* shape = nullptr;
  Class kind = Class::other;
  void (*decode)(Decoder&) = nullptr;
  std::uint8_t tag = 0;
};

using Opcodes = std::unordered_map<std::string, Opcode>;

// One for each file of operations.
void add_integer(Opcodes&);
void add_bits(Opcodes&);
void add_float(Opcodes&);
void add_convert(Opcodes&);
void add_moves(Opcodes&);
void add_control(Opcodes&);
void add_matrix(Opcodes&);
void add_mbarrier(Opcodes&);
void add_copies(Opcodes&);
// Opcodes with many modifiers, told by their first word: null where it is another's.
void (*memory_decoder(std::string_view word))(Decoder&);

}  // namespace lacuna::ptx
