#include "ptx/decode.h"

#include <algorithm>

#include "ptx/declarations.h"

namespace lacuna::ptx {
namespace {

const Opcodes& opcodes() {
  static const Opcodes all = [] {
    Opcodes table;
    for (const auto add : {add_integer, add_bits, add_float, add_convert, add_moves, add_control,
                           add_matrix, add_mbarrier, add_copies})
      add(table);
    return table;
  }();
  return all;
}

std::size_t round_up(std::size_t value, std::size_t to) { return (value + to - 1) / to * to; }

}  // namespace

std::unique_ptr<Program> decode(const Kernel& kernel) { return Decoder(kernel).decode(); }

Decoder::Decoder(const Kernel& kernel)
    : kernel_(kernel), lexer_(kernel.body, kernel.line, kernel.module->name) {}

std::unique_ptr<Program> Decoder::decode() {
  lexer_.expect("{");
  unsigned depth = 1;
  while (depth > 0) {
    if (lexer_.accept("{")) {
      ++depth;
      scopes_.emplace_back();
    } else if (lexer_.accept("}")) {
      --depth;
      scopes_.pop_back();
    } else {
      item();
    }
  }
  for (const auto& [index, label] : branches_) {
    const auto found = labels_.find(label);
    Instruction& branch = program_->code[index];
    if (found == labels_.end())
      throw Fault(kernel_.module->name + ", line " + std::to_string(branch.line) + ": no label '" +
                  std::string(label) + "'");
    branch.immediate = static_cast<std::int64_t>(found->second);
  }
  // A body need not end with ret.
  Instruction end;
  end.handler = opcodes().at("exit").handler;
  end.line = lexer_.line();
  end.index = static_cast<std::uint32_t>(program_->code.size());
  program_->code.push_back(end);
  program_->statements.push_back("(the end of the kernel)");
  std::size_t alignment = 16;
  for (const auto& [name, variable] : kernel_.module->shared)
    if (variable.dynamic) alignment = std::max(alignment, variable.alignment);
  program_->dynamic_offset = round_up(program_->shared, alignment);
  for (Program::Constant& c : program_->constants)
    if (c.dynamic_shared) c.bits += shared_base + program_->dynamic_offset;
  return std::move(program_);
}

void Decoder::item() {
  if (lexer_.token().empty()) lexer_.fail("a kernel's body that does not end");
  if (lexer_.accept(".reg")) return registers();
  if (lexer_.accept(".local")) return locals();
  if (lexer_.accept(".shared")) {
    const Declaration d = take_declaration(lexer_);
    return shared_variable(d.name, d.bytes, d.alignment);
  }
  if (lexer_.at(".pragma")) return lexer_.skip_past(";");
  if (lexer_.accept(".loc")) {
    Program::Source source;
    source.file = static_cast<unsigned>(lexer_.take_integer());
    source.line = static_cast<unsigned>(lexer_.take_integer());
    lexer_.take_integer();        // the column
    while (lexer_.accept(",")) {  // function_name …, inlined_at file line column
      lexer_.take();
      while (integer_of(lexer_.token()) || lexer_.at("+") || lexer_.token().starts_with("$"))
        lexer_.take();
    }
    program_->sources.push_back(source);
    return;
  }
  if (lexer_.token().starts_with('.'))
    lexer_.fail("'" + std::string(lexer_.token()) + "' is not implemented in kernels");
  if (!lexer_.at("@")) {
    const Lexer before = lexer_;
    const std::string_view name = lexer_.take();
    if (lexer_.accept(":")) {
      if (!labels_.emplace(name, program_->code.size()).second)
        before.fail("a second label '" + std::string(name) + "'");
      return;
    }
    lexer_ = before;
  }
  const Statement statement = take_statement(lexer_);
  decode_statement(statement);
}

void Decoder::registers() {
  const std::string_view type = lexer_.take();
  if (!type.starts_with('.') || !is_type(type.substr(1)))
    lexer_.fail("'" + std::string(type) + "' is no type of registers");
  const unsigned bytes = bytes_of_type(type.substr(1)), width = bytes == 1 ? 2 : bytes;
  do {
    const std::string_view name = lexer_.take();
    if (lexer_.accept("<")) {
      const auto count = static_cast<unsigned>(lexer_.take_integer());
      lexer_.expect(">");
      scopes_.back().ranges.push_back({name, program_->slots, count, width});
      program_->slots += count * slots_of(width);
    } else {
      scopes_.back().names[name] = {new_slot(width), width};
    }
  } while (lexer_.accept(","));
  lexer_.expect(";");
}

void Decoder::locals() {
  const Declaration d = take_declaration(lexer_);
  program_->local = round_up(program_->local, d.alignment);
  local_[d.name] = program_->local;
  program_->local += d.bytes;
}

void Decoder::shared_variable(std::string_view name, std::size_t bytes, std::size_t alignment) {
  program_->shared = round_up(program_->shared, alignment);
  shared_[name] = shared_base + program_->shared;
  program_->shared += bytes;
}

Slot Decoder::new_slot(unsigned width) {
  const Slot slot = program_->slots;
  program_->slots += slots_of(width);
  return slot;
}

void Decoder::fail(const std::string& what) const {
  throw Fault(kernel_.module->name + ", line " + std::to_string(statement_->line) + ", '" +
              std::string(statement_->text) + "', in " + kernel_.facts.name + ": " + what);
}

void Decoder::decode_statement(const Statement& statement) {
  statement_ = &statement;
  instruction_ = {};
  instruction_.line = statement.line;
  instruction_.index = static_cast<std::uint32_t>(program_->code.size());
  instruction_.source = static_cast<std::uint32_t>(program_->sources.size());
  if (!statement.guard.empty()) {
    const auto guard = find_register(statement.guard);
    if (!guard || guard->width != 0) fail("'" + std::string(statement.guard) + "' is no predicate");
    instruction_.guard = guard->slot;
    instruction_.guard_negated = statement.guard_negated;
  }
  const std::string opcode(statement.opcode);
  const auto found = opcodes().find(opcode);
  if (found == opcodes().end()) {
    const auto decode_memory = memory_decoder(opcode.substr(0, opcode.find('.')));
    if (!decode_memory) fail("'" + opcode + "' is not implemented");
    decode_memory(*this);
  } else {
    const Opcode& entry = found->second;
    instruction_.handler = entry.handler;
    instruction_.kind = entry.kind;
    instruction_.tag = entry.tag;
    if (entry.decode) {
      entry.decode(*this);
    } else {
      const std::string_view shape = entry.shape;
      const std::size_t equals = shape.find('=');
      expect_operands(shape.size() - 1, shape.size() - 1);
      for (std::size_t i = 0; i < statement.operands.size(); ++i) {
        const bool is_result = i < equals;
        const char letter = shape[is_result ? i : i + 1];
        const unsigned width = letter == 'p' ? 0 : letter == 'h' ? 2 : letter == 'w' ? 4 : 8;
        if (statement.operands[i].negated) fail("a negated predicate is not implemented here");
        is_result ? result(statement.operands[i], width) : source(statement.operands[i], width);
      }
    }
  }
  program_->code.push_back(instruction_);
  program_->statements.push_back(statement.text);
}

}  // namespace lacuna::ptx
