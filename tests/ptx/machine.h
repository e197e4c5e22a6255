// The PTX machine: runs kernels' PTX on the CPU, as the PTX ISA document says, so that the device path
// of kernels/simt (inline assembly, and whatever nvcc makes of a kernel) is executed without a GPU.
// Written from the document, and sharing nothing with tests/emulator. See docs/emulator.md.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace lacuna::ptx {

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
  std::size_t count() const { return std::size_t{x} * y * z; }
};

struct Shape {
  Dim3 grid, block;
  std::size_t dynamic_shared = 0;  // bytes
  unsigned cluster = 1;            // blocks along x
  bool cooperative = false;        // all blocks are alive at once
};

// A fault of a kernel or of its text: what, which kernel, the line of the PTX (and of the source, where
// .loc tells it), block and thread.
struct Fault : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The parsed PTX of one translation unit. Its .global and .const variables have memory from the start.
class Module;
// One .entry. Belongs to its module.
class Kernel;

// Throws Fault, naming the line, for anything that is no PTX or that the machine does not implement.
// `name` appears in messages.
std::shared_ptr<Module> parse(std::string_view text, std::string name);

// Null where the module has no such .entry.
const Kernel* find(const Module&, std::string_view mangled_name);
std::vector<const Kernel*> kernels(const Module&);

struct Parameter {
  std::size_t offset, bytes, alignment;
};

struct KernelFacts {
  std::string name;
  std::vector<Parameter> parameters;
  std::size_t static_shared = 0, local = 0;  // bytes per block, per thread
  unsigned most_threads = 1024;              // .maxntid
};
const KernelFacts& facts(const Kernel&);

// A .global or .const variable, for cudaMemcpyToSymbol and the like. {nullptr, 0} where there is none.
struct Variable {
  void* address = nullptr;
  std::size_t bytes = 0;
};
Variable find_variable(const Module&, std::string_view mangled_name);

// Who may touch global memory. Asked for every access outside of shared, local, parameter memory and the
// module's own variables; a span that several threads touch together may be asked for as one, and in
// parts when the whole is refused.
class Memory {
 public:
  virtual ~Memory() = default;
  virtual bool allows(std::uintptr_t address, std::size_t bytes, bool write) const = 0;
};

// What a profiler would count. An instruction that a whole warp executes at once counts 1 for the warp and
// its active lanes for the threads.
enum class Class {
  load_global,
  store_global,
  load_shared,
  store_shared,
  load_other,  // parameters, constants, local memory
  store_other,
  atomic,
  copy,  // cp.async, st.async
  mma,
  matrix,    // ldmatrix, movmatrix
  exchange,  // shfl, vote, match, redux
  fp32,
  fp64,
  integer,
  predicate,  // setp, and logic on predicates
  move,       // mov, selp, cvta, prmt
  convert,
  special,  // ex2, rcp, sqrt ..., division
  branch,
  barrier,
  other,
  count
};
const char* name(Class);

struct Counts {
  struct Executed {
    std::uint64_t warps = 0, threads = 0;
  };
  std::array<Executed, static_cast<std::size_t>(Class::count)> by_class{};
  // Requests are warp instructions; sectors are the distinct aligned 32 bytes they touch; bytes are what
  // lanes asked for. Perfect coalescing: 32 · sectors == bytes, where no lanes share.
  struct Global {
    std::uint64_t requests = 0, sectors = 0, bytes = 0;
  } loads, stores;
  // Wavefronts that shared memory needs for its requests (32 banks of 4 bytes, 128 bytes each), and the
  // least that the same bytes could need.
  struct Shared {
    std::uint64_t requests = 0, wavefronts = 0, least = 0;
  } shared_loads, shared_stores;
  std::uint64_t diverged = 0;  // branches at which lanes of a warp part

  std::uint64_t warps() const;
  std::uint64_t threads() const;
  Counts& operator+=(const Counts&);
};

// How the next launches of this host thread are run.
struct Settings {
  std::uint64_t seed =
      1;  // the order of blocks, warps and asynchronous arrivals; the same again, the same order
  // Part the lanes of warps at random, as independent thread scheduling may: finds a missing bar.warp.sync,
  // and costs speed.
  bool part_lanes = false;
  // Reading a register that was never written is a fault.
  bool check_registers = true;
};
Settings& settings();

// Runs all blocks to their end. arguments[i] points at the i-th parameter's bytes. Throws Fault. Adds to
// *counts. Global addresses are host addresses.
void run(const Kernel&, const Shape&, const void* const* arguments, const Memory&,
         Counts* counts = nullptr);

}  // namespace lacuna::ptx
