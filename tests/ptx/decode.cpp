#include "ptx/decode.h"

#include <algorithm>
#include <charconv>

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

constexpr std::pair<std::string_view, Special> special_names[] = {
    {"%tid.x", Special::tid_x},
    {"%tid.y", Special::tid_y},
    {"%tid.z", Special::tid_z},
    {"%ntid.x", Special::ntid_x},
    {"%ntid.y", Special::ntid_y},
    {"%ntid.z", Special::ntid_z},
    {"%ctaid.x", Special::ctaid_x},
    {"%ctaid.y", Special::ctaid_y},
    {"%ctaid.z", Special::ctaid_z},
    {"%nctaid.x", Special::nctaid_x},
    {"%nctaid.y", Special::nctaid_y},
    {"%nctaid.z", Special::nctaid_z},
    {"%laneid", Special::laneid},
    {"%warpid", Special::warpid},
    {"%lanemask_eq", Special::lanemask_eq},
    {"%lanemask_le", Special::lanemask_le},
    {"%lanemask_lt", Special::lanemask_lt},
    {"%lanemask_ge", Special::lanemask_ge},
    {"%lanemask_gt", Special::lanemask_gt},
    {"%cluster_ctarank", Special::cluster_ctarank},
    {"%cluster_nctarank", Special::cluster_nctarank},
    {"%clusterid.x", Special::clusterid_x},
    {"%nclusterid.x", Special::nclusterid_x},
    {"%dynamic_smem_size", Special::dynamic_smem_size}};

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

std::optional<Register> Decoder::find_register(std::string_view name) {
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    if (const auto found = scope->names.find(name); found != scope->names.end())
      return found->second;
    for (const Scope::Range& range : scope->ranges) {
      if (!name.starts_with(range.prefix) || name.size() == range.prefix.size()) continue;
      unsigned number = 0;
      const char* end = name.data() + name.size();
      const auto [stop, error] = std::from_chars(name.data() + range.prefix.size(), end, number);
      if (error == std::errc() && stop == end && number < range.count)
        return Register{range.first + number * slots_of(range.width), range.width};
    }
  }
  return special(name);
}

std::optional<Register> Decoder::special(std::string_view name) {
  for (const auto& [its_name, which] : special_names) {
    if (its_name != name) continue;
    const auto [known, fresh] = specials_.try_emplace(name);
    if (fresh) {
      known->second = {new_slot(4), 4};
      program_->specials.push_back({known->second.slot, which});
    }
    return known->second;
  }
  return {};
}

std::optional<Program::Constant> Decoder::place_of(std::string_view name, Space* space) {
  const auto is = [&](Space which) {
    if (space) *space = which;
  };
  const Module& module = *kernel_.module;
  if (const auto local = local_.find(name); local != local_.end()) {
    is(Space::local);
    return Program::Constant{no_slot, 8, local->second};
  }
  if (!shared_.contains(name)) {  // a module's variable takes room in the kernels that name it
    const auto found = module.shared.find(name);
    if (found != module.shared.end()) {
      if (found->second.dynamic) {
        is(Space::shared);
        return Program::Constant{no_slot, 8, 0, true};
      }
      shared_variable(name, found->second.bytes, found->second.alignment);
    }
  }
  if (const auto shared = shared_.find(name); shared != shared_.end()) {
    is(Space::shared);
    return Program::Constant{no_slot, 8, shared->second};
  }
  if (const auto global = module.globals.find(name); global != module.globals.end()) {
    is(global->second.constant ? Space::constant : Space::global);
    return Program::Constant{no_slot, 8, reinterpret_cast<std::uint64_t>(global->second.data)};
  }
  const std::string prefix = kernel_.facts.name + "_param_";
  if (name.starts_with(prefix)) {
    const auto number = integer_of(name.substr(prefix.size()));
    if (number && *number < kernel_.facts.parameters.size()) {
      is(Space::parameter);
      return Program::Constant{no_slot, 8, kernel_.facts.parameters[*number].offset};
    }
  }
  return {};
}

Slot Decoder::constant_slot(Program::Constant constant) {
  const std::string key = std::to_string(constant.bits) + "/" + std::to_string(constant.width) +
                          (constant.dynamic_shared ? "d" : "");
  const auto [known, fresh] = constants_.try_emplace(key);
  if (fresh) {
    constant.slot = known->second = new_slot(constant.width);
    program_->constants.push_back(constant);
  }
  return known->second;
}

void Decoder::add_slot(Slot slot, bool is_result) {
  const unsigned used = instruction_.first_source + instruction_.sources;
  if (used == instruction_.slot.size()) fail("too many operands");
  instruction_.slot[used] = slot;
  if (is_result)
    ++instruction_.results, ++instruction_.first_source;
  else
    ++instruction_.sources;
}

Register Decoder::need_register(const Operand& operand, unsigned width, bool at_least) {
  if (operand.kind != Operand::Kind::name || operand.offset != 0) fail("a register is expected");
  const auto found = find_register(operand.name);
  if (!found) fail("'" + std::string(operand.name) + "' is no register");
  if (at_least ? found->width < width || found->width == 0 : found->width != width)
    fail("register " + std::string(operand.name) + " has " + std::to_string(8 * found->width) +
         " bits, the instruction's operand " + std::to_string(8 * width));
  return *found;
}

unsigned Decoder::result_at_least(const Operand& operand, unsigned width) {
  const Register found = need_register(operand, width, true);
  add_slot(found.slot, true);
  return found.width;
}

void Decoder::result(const Operand& operand, unsigned width) {
  add_slot(need_register(operand, width, false).slot, true);
}

unsigned Decoder::source_at_least(const Operand& operand, unsigned width) {
  if (operand.kind == Operand::Kind::name) {
    const Register found = need_register(operand, width, true);
    add_slot(found.slot, false);
    return found.width;
  }
  const unsigned at_least = std::max(width, 2u);
  source(operand, at_least);
  return at_least;
}

void Decoder::source(const Operand& operand, unsigned width) {
  switch (operand.kind) {
    case Operand::Kind::integer: {
      const std::uint64_t bits = width == 8 ? operand.bits
                                 : width == 0
                                     ? (operand.bits ? all_lanes : 0)
                                     : operand.bits & ((std::uint64_t{1} << 8 * width) - 1);
      return add_slot(constant_slot({no_slot, width, bits}), false);
    }
    case Operand::Kind::single:
      if (width != 4) fail("a constant of 32 bits for an operand of " + std::to_string(8 * width));
      return add_slot(constant_slot({no_slot, 4, operand.bits}), false);
    case Operand::Kind::real:
      if (width != 8) fail("a constant of 64 bits for an operand of " + std::to_string(8 * width));
      return add_slot(constant_slot({no_slot, 8, operand.bits}), false);
    case Operand::Kind::name: break;
    default: fail("a register or constant is expected");
  }
  if (!find_register(operand.name)) {
    if (auto place = place_of(operand.name)) {
      if (width < 4) fail("the address of " + std::string(operand.name) + " needs 32 or 64 bits");
      place->width = width;
      place->bits += static_cast<std::uint64_t>(operand.offset);
      return add_slot(constant_slot(*place), false);
    }
  }
  add_slot(need_register(operand, width, false).slot, false);
}

void Decoder::address(const Operand& operand, Space space) {
  if (operand.kind != Operand::Kind::address) fail("an address is expected: [register + offset]");
  next_must_be_written();
  instruction_.space = space;
  if (const auto found = find_register(operand.name)) {
    if (found->width < 4) fail("an address of less than 32 bits");
    if (found->width == 4 && (space == Space::global || space == Space::generic))
      fail("an address of 32 bits for global or generic memory");
    instruction_.address_wide = found->width == 8;
    instruction_.immediate = operand.offset;
    return add_slot(found->slot, false);
  }
  Space its = space;
  auto place =
      operand.name.empty() ? Program::Constant{no_slot, 8, 0} : place_of(operand.name, &its);
  if (!place) fail("'" + std::string(operand.name) + "' is neither register nor variable");
  if (its != space && !(its == Space::global && space == Space::generic))
    fail("'" + std::string(operand.name) + "' lies in another state space than the instruction's");
  place->bits += static_cast<std::uint64_t>(operand.offset);
  instruction_.address_wide = true;
  instruction_.immediate = 0;
  add_slot(constant_slot(*place), false);
}

void Decoder::second_address(const Operand& operand, unsigned width) {
  if (operand.kind != Operand::Kind::address) fail("an address is expected: [register + offset]");
  next_must_be_written();
  Operand base = operand;
  base.kind = Operand::Kind::name;
  base.offset = 0;
  source(base, width);
  instruction_.second_offset = operand.offset;
}

void Decoder::target(const Operand& operand) {
  if (operand.kind != Operand::Kind::name) fail("a label is expected");
  branches_.emplace_back(program_->code.size(), operand.name);
}

std::int64_t Decoder::constant(const Operand& operand) const {
  if (operand.kind != Operand::Kind::integer) fail("an integer constant is expected");
  return static_cast<std::int64_t>(operand.bits);
}

void Decoder::expect_operands(std::size_t least, std::size_t most) const {
  const std::size_t have = statement_->operands.size();
  if (have < least || have > most)
    fail(std::to_string(have) + " operands are not what the instruction takes");
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
