// Where things run: a backend, its threads and its memory.
#pragma once

#include <memory>

#include "lacuna/cpp/error.hpp"

namespace lacuna {

enum class Backend {
  best = LACUNA_BACKEND_BEST,
  cpu = LACUNA_BACKEND_CPU,
  cuda = LACUNA_BACKEND_CUDA
};

// Instruction sets of the CPU backend. A context never uses more than the machine has.
enum class Isa {
  best = LACUNA_ISA_BEST,
  baseline = LACUNA_ISA_BASELINE,  // SSE2 on x86-64, NEON on AArch64
  avx2 = LACUNA_ISA_AVX2,
  avx512 = LACUNA_ISA_AVX512,
};

struct ContextOptions {
  Backend backend = Backend::best;
  int threads = 0;                    // CPU threads; 0: all cores this process may use
  Isa isa = Isa::best;                // the most that may be used
  lacuna_allocator allocator{};       // all null: the built-in pool
  int device = 0;                     // CUDA: which one
  std::size_t memory_limit = 0;       // bytes in use by plans and tapes; 0: no limit
  std::size_t memory_kept_limit = 0;  // bytes that the built-in pool keeps for reuse; 0: no limit
};

struct CpuOptions {
  int threads = 0;
  Isa isa = Isa::best;
  lacuna_allocator allocator{};
  std::size_t memory_limit = 0;
  std::size_t memory_kept_limit = 0;
};

struct CudaOptions {
  int device = 0;
  lacuna_allocator allocator{};  // all null: the built-in stream-ordered pool
  std::size_t memory_limit = 0;
  std::size_t memory_kept_limit = 0;
};

struct ContextInfo {
  Backend backend;
  int threads;
  Isa isa;
  // Of plans and tapes; not what a call on CUDA takes and gives back.
  std::size_t bytes_in_use;  // now
  std::size_t bytes_peak;
  std::size_t allocations;  // so far: it stands still while plans run
  int device;               // CUDA: its index; CPU: -1
  std::size_t bytes_kept;   // of freed blocks, by the built-in pool
};

// May be shared by threads. Plans and tapes keep what they need of it alive.
class Context {
 public:
  explicit Context(const ContextOptions& options = {}) {
    const lacuna_context_options c{.backend = static_cast<lacuna_backend>(options.backend),
                                   .threads = options.threads,
                                   .isa = static_cast<lacuna_isa>(options.isa),
                                   .allocator = options.allocator,
                                   .device = options.device,
                                   .memory_limit = options.memory_limit,
                                   .memory_kept_limit = options.memory_kept_limit};
    lacuna_context* made = nullptr;
    detail::check(lacuna_context_create(&c, &made));
    handle_.reset(made);
  }

  // CUDA when the build and the machine have it, else the CPU.
  static Context best() { return Context(); }
  static Context cpu(const CpuOptions& options = {}) {
    return Context({.backend = Backend::cpu,
                    .threads = options.threads,
                    .isa = options.isa,
                    .allocator = options.allocator,
                    .device = 0,
                    .memory_limit = options.memory_limit,
                    .memory_kept_limit = options.memory_kept_limit});
  }

  // Throws where the build or the machine has no CUDA.
  static Context cuda(const CudaOptions& options = {}) {
    return Context({.backend = Backend::cuda,
                    .threads = 0,
                    .isa = Isa::best,
                    .allocator = options.allocator,
                    .device = options.device,
                    .memory_limit = options.memory_limit,
                    .memory_kept_limit = options.memory_kept_limit});
  }

  ContextInfo info() const {
    lacuna_context_info c{};
    detail::check(lacuna_context_query(get(), &c));
    return {.backend = static_cast<Backend>(c.backend),
            .threads = c.threads,
            .isa = static_cast<Isa>(c.isa),
            .bytes_in_use = c.bytes_in_use,
            .bytes_peak = c.bytes_peak,
            .allocations = c.allocations,
            .device = c.device,
            .bytes_kept = c.bytes_kept};
  }

  // Blocks that the built-in pool keeps for reuse go back to the system.
  void trim() { detail::check(lacuna_context_trim(get())); }

  lacuna_context* get() const noexcept { return handle_.get(); }

 private:
  struct Destroy {
    void operator()(lacuna_context* context) const { lacuna_context_destroy(context); }
  };
  std::unique_ptr<lacuna_context, Destroy> handle_;
};

// "major.minor.patch" of the library that is loaded.
inline std::string version() { return lacuna_version(); }

}  // namespace lacuna
