#include "ptx/machine.h"

namespace lacuna::ptx {
namespace {

constexpr const char* names[] = {
    "load global", "store global", "load shared", "store shared", "load other", "store other",
    "atomic",      "copy",         "mma",         "matrix",       "exchange",   "fp32",
    "fp64",        "integer",      "predicate",   "move",         "convert",    "special",
    "branch",      "barrier",      "other"};
static_assert(std::size(names) == static_cast<std::size_t>(Class::count));

}  // namespace

const char* name(Class which) { return names[static_cast<std::size_t>(which)]; }

std::uint64_t Counts::warps() const {
  std::uint64_t sum = 0;
  for (const Executed& executed : by_class) sum += executed.warps;
  return sum;
}

std::uint64_t Counts::threads() const {
  std::uint64_t sum = 0;
  for (const Executed& executed : by_class) sum += executed.threads;
  return sum;
}

Counts& Counts::operator+=(const Counts& other) {
  for (std::size_t c = 0; c < by_class.size(); ++c) {
    by_class[c].warps += other.by_class[c].warps;
    by_class[c].threads += other.by_class[c].threads;
  }
  const auto add_global = [](Global& to, const Global& from) {
    to.requests += from.requests, to.sectors += from.sectors, to.bytes += from.bytes;
  };
  const auto add_shared = [](Shared& to, const Shared& from) {
    to.requests += from.requests, to.wavefronts += from.wavefronts, to.least += from.least;
  };
  add_global(loads, other.loads), add_global(stores, other.stores);
  add_shared(shared_loads, other.shared_loads), add_shared(shared_stores, other.shared_stores);
  diverged += other.diverged;
  return *this;
}

}  // namespace lacuna::ptx
