// Operands: registers of all scopes, special registers, constants, variables and addresses, each made a slot of the
// warp's file.
#include <algorithm>
#include <charconv>

#include "ptx/decode.h"

namespace lacuna::ptx {
namespace {

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

}  // namespace

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

}  // namespace lacuna::ptx
