// lacuna_context_*: options in, a backend with its threads and its memory out.
#include "host/api/context.h"

#include <algorithm>
#include <system_error>

#include "host/api/guard.h"
#include "host/cpu/machine.h"
#include "host/memory/caller_memory.h"
#include "host/memory/pool.h"

namespace lacuna::api {
namespace {

// More is a mistake rather than a machine.
constexpr std::int32_t most_threads = 1024;

void check(const lacuna_context_options& options) {
  check_enumerator(options.backend, LACUNA_BACKEND_CUDA, "options.backend", "lacuna_backend");
  if (options.backend == LACUNA_BACKEND_CUDA)
    refuse(LACUNA_UNSUPPORTED,
           "options.backend: LACUNA_BACKEND_CUDA, but this build has no CUDA backend; "
           "LACUNA_BACKEND_BEST takes what there is");
  if (options.threads < 0 || options.threads > most_threads)
    refuse(LACUNA_INVALID_ARGUMENT, "options.threads: ", options.threads, ", expected 0 to ",
           most_threads);
  check_enumerator(options.isa, LACUNA_ISA_AVX512, "options.isa", "lacuna_isa");
  if (!options.allocator.allocate != !options.allocator.deallocate)
    refuse(LACUNA_INVALID_ARGUMENT,
           "options.allocator: ", options.allocator.allocate ? "deallocate" : "allocate",
           " is null, expected both functions or neither");
}

lacuna_isa allowed_isa(lacuna_isa most) {
  const lacuna_isa here = cpu::detect_isa();
  return most == LACUNA_ISA_BEST ? here : std::min(most, here);
}

std::unique_ptr<memory::Memory> make_memory(const lacuna_allocator& table) {
  if (table.allocate) return std::make_unique<memory::CallerMemory>(table);
  return std::make_unique<memory::Pool>();
}

std::shared_ptr<Context> make_context(const lacuna_context_options& options) {
  const int threads =
      options.threads > 0 ? options.threads : std::min(cpu::usable_cores(), most_threads);
  try {
    // The team can neither be copied nor moved, so it is built in place.
    return std::shared_ptr<Context>(
        new Context{allowed_isa(options.isa), make_memory(options.allocator), cpu::Team(threads)});
  } catch (const std::system_error& error) {
    refuse(LACUNA_OUT_OF_MEMORY, "options.threads: ", threads,
           " threads could not be started: ", error.what());
  }
}

}  // namespace
}  // namespace lacuna::api

using lacuna::api::guarded;
using lacuna::api::not_null;

extern "C" {

lacuna_status lacuna_context_create(const lacuna_context_options* options,
                                    lacuna_context** context) {
  return guarded([&] {
    not_null(context, "context");
    const lacuna_context_options chosen = options ? *options : lacuna_context_options{};
    lacuna::api::check(chosen);
    *context = new lacuna_context{lacuna::api::make_context(chosen)};
  });
}

lacuna_status lacuna_context_query(const lacuna_context* context, lacuna_context_info* info) {
  return guarded([&] {
    const auto& shared = *not_null(context, "context").shared;
    const auto statistics = shared.memory->statistics();
    not_null(info, "info") = {.backend = LACUNA_BACKEND_CPU,
                              .threads = shared.team.size(),
                              .isa = shared.isa,
                              .bytes_in_use = statistics.bytes_in_use,
                              .bytes_peak = statistics.bytes_peak,
                              .allocations = statistics.allocations};
  });
}

lacuna_status lacuna_context_trim(lacuna_context* context) {
  return guarded([&] { not_null(context, "context").shared->memory->trim(); });
}

void lacuna_context_destroy(lacuna_context* context) { delete context; }
}
