// What the machine executes: a kernel's statements, decoded once. Registers, constants and special
// registers lie in one file per warp, 32 lanes side by side, so that an instruction is a loop over lanes.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ptx/machine.h"

namespace lacuna::ptx {

// The stand-in for the CUDA runtime has blocks and launches of its own in lacuna::ptx.
inline namespace interpreter {

struct Warp;
struct Instruction;

inline constexpr std::uint32_t all_lanes = 0xffffffffu;

// Executes for the lanes of `mask`, which is never empty.
using Handler = void (*)(Warp&, const Instruction&, std::uint32_t mask);

// Where a register lies in a warp's file, in units of 64 bytes: 16-bit registers take 1, 32-bit 2, 64-bit
// 4. A predicate takes 1, of which the first 4 bytes are a mask of lanes.
using Slot = std::uint32_t;
inline constexpr Slot no_slot = ~Slot{0};
inline constexpr unsigned slot_bytes = 64;

// Widths in bytes; a predicate's is 0.
inline constexpr unsigned slots_of(unsigned width) { return width == 8 ? 4 : width == 4 ? 2 : 1; }

enum class Space : std::uint8_t { generic, global, shared, cluster, local, parameter, constant };

struct Instruction {
  Handler handler = nullptr;
  Slot guard = no_slot;
  bool guard_negated = false;
  bool address_wide = true;  // the address register has 64 bits
  bool negated = false;      // a source predicate is taken negated
  bool selects = false;      // selp: only the source that is taken need be written
  Space space = Space::generic;
  Class kind = Class::other;
  // slot[0 … results) are written by the lanes that execute it; slot[first_source … + sources) are read.
  // What a handler writes for other lanes as well is no result in this sense.
  std::uint8_t results = 0, first_source = 0, sources = 0;
  std::uint16_t must_be_written =
      0;                    // a bit per source: a register that was never written is a fault there
  std::uint8_t bytes = 0;   // of one element in memory
  std::uint8_t vector = 1;  // elements
  std::uint8_t result_width = 0,
               source_width = 0;  // of registers, where the opcode leaves them open
  std::uint8_t tag = 0;           // tells siblings of one handler apart
  std::int64_t immediate = 0;     // an address' offset, a branch's target, a constant of the opcode
  std::int64_t second_offset = 0;  // of the second address, where there are two
  std::array<Slot, 14> slot{};
  std::uint32_t index = 0;  // in Program::code
  std::uint32_t line = 0;
  std::uint32_t source = 0;  // index of Program::sources, + 1
};

enum class Special : std::uint8_t {
  tid_x,
  tid_y,
  tid_z,
  ntid_x,
  ntid_y,
  ntid_z,
  ctaid_x,
  ctaid_y,
  ctaid_z,
  nctaid_x,
  nctaid_y,
  nctaid_z,
  laneid,
  warpid,
  lanemask_eq,
  lanemask_le,
  lanemask_lt,
  lanemask_ge,
  lanemask_gt,
  cluster_ctarank,
  cluster_nctarank,
  clusterid_x,
  nclusterid_x,
  dynamic_smem_size
};

struct Program {
  struct Constant {
    Slot slot;
    unsigned width;
    std::uint64_t bits;
    bool dynamic_shared = false;  // bits count from the start of the block's dynamic shared memory
  };
  struct SpecialUse {
    Slot slot;
    Special special;
  };
  struct Source {
    unsigned file, line;
  };
  std::vector<Instruction> code;
  std::vector<Constant> constants;
  std::vector<SpecialUse> specials;
  std::vector<Source> sources;
  std::vector<std::string_view> statements;  // beside code, for messages
  Slot slots = 0;
  std::size_t shared = 0;          // bytes of static shared memory
  std::size_t dynamic_offset = 0;  // where the dynamic part begins
  std::size_t local = 0;           // bytes per thread
};

// Shared addresses do not begin at 0, so that a null pointer is none.
inline constexpr std::uint32_t shared_base = 1024;
// A shared::cluster address is its block's rank + 1 above these bits; 0 there is the own block.
inline constexpr unsigned cluster_shift = 24;
// Generic addresses of shared and local memory: where no host pointer points.
inline constexpr std::uint64_t shared_window = 0x1000'0000'0000'0000,
                               local_window = 0x2000'0000'0000'0000,
                               window_mask = 0xf000'0000'0000'0000;

}  // namespace interpreter

class Kernel {
 public:
  mutable KernelFacts facts;  // sizes of memory only once the body is decoded
  const Module* module = nullptr;
  std::string_view body;  // from its opening brace
  unsigned line = 0;      // of that brace

  const Program& program() const;  // decoded at the first call; throws Fault

 private:
  mutable std::mutex decoding_;
  mutable std::unique_ptr<Program> program_;
};

struct SharedVariable {
  std::size_t bytes, alignment;
  bool dynamic;  // .extern, without a size
};

class Module {
 public:
  std::string name, text;
  std::unordered_map<std::string_view, std::unique_ptr<Kernel>> kernels;
  std::unordered_map<std::string_view, SharedVariable> shared;
  struct Global {
    std::unique_ptr<std::byte[]> storage;
    std::byte* data;
    std::size_t bytes;
    bool constant;
  };
  std::unordered_map<std::string_view, Global> globals;
  std::unordered_map<unsigned, std::string> files;  // of .file

  bool owns(std::uintptr_t address, std::size_t bytes, bool write) const;
};

// Decodes a kernel's body.
std::unique_ptr<Program> decode(const Kernel&);

}  // namespace lacuna::ptx
