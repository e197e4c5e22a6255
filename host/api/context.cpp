// lacuna_context_*: options in, a backend with its threads and its memory out.
#include "host/api/context.h"

#include <algorithm>
#include <system_error>

#include "host/api/guard.h"
#include "host/cpu/backend.h"
#include "host/cpu/machine.h"
#include "host/cuda/backend.h"
#include "host/memory/caller_memory.h"
#include "host/memory/pool.h"

namespace lacuna::api {
namespace {

// More is a mistake rather than a machine.
constexpr std::int32_t most_threads = 1024;

bool uses_cuda(const lacuna_context_options& options) {
  return options.backend == LACUNA_BACKEND_CUDA ||
         (options.backend == LACUNA_BACKEND_BEST && cuda::device_count() > 0);
}

void check(const lacuna_context_options& options) {
  check_enumerator(options.backend, LACUNA_BACKEND_CUDA, "options.backend", "lacuna_backend");
  if (options.backend == LACUNA_BACKEND_CUDA && cuda::device_count() == 0)
    refuse(LACUNA_UNSUPPORTED, "options.backend: LACUNA_BACKEND_CUDA, but ", cuda::why_no_device(),
           "; LACUNA_BACKEND_BEST takes what there is");
  const bool cuda = uses_cuda(options);
  const int devices = cuda ? cuda::device_count() : 1;
  if (options.device < 0 || options.device >= devices)
    refuse(LACUNA_INVALID_ARGUMENT, "options.device: ", options.device, ", expected 0",
           cuda ? " to " : "", cuda ? std::to_string(devices - 1) : " on the CPU");
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

std::unique_ptr<Backend> make_backend(const lacuna_context_options& options) {
  if (uses_cuda(options)) return cuda::make_backend(options.device, options.allocator);
  const int threads =
      options.threads > 0 ? options.threads : std::min(cpu::usable_cores(), most_threads);
  try {
    return cpu::make_backend(threads, allowed_isa(options.isa), make_memory(options.allocator));
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
    not_null(context, "context") = nullptr;
    const lacuna_context_options chosen = options ? *options : lacuna_context_options{};
    lacuna::api::check(chosen);
    auto backend = lacuna::api::make_backend(chosen);
    backend->memory().limit({chosen.memory_limit, chosen.memory_kept_limit});
    *context = new lacuna_context{
        std::make_shared<lacuna::api::Context>(lacuna::api::Context{std::move(backend)})};
  });
}

lacuna_status lacuna_context_query(const lacuna_context* context, lacuna_context_info* info) {
  return guarded([&] {
    auto& backend = *not_null(context, "context").shared->backend;
    lacuna_context_info& out = not_null(info, "info");
    const auto statistics = backend.memory().statistics();
    out = backend.facts();
    out.bytes_in_use = statistics.bytes_in_use;
    out.bytes_peak = statistics.bytes_peak;
    out.allocations = statistics.allocations;
    out.bytes_kept = backend.memory().bytes_kept();
  });
}

lacuna_status lacuna_context_trim(lacuna_context* context) {
  return guarded([&] { not_null(context, "context").shared->backend->memory().trim(); });
}

void lacuna_context_destroy(lacuna_context* context) { delete context; }
}
