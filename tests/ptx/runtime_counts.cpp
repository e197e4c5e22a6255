#include "ptx/runtime_counts.h"

#include <cstdio>
#include <cstdlib>
#include <map>

namespace lacuna::ptx {
namespace {

std::map<std::string, Counts>& all_counts() {
  static auto* const all = new std::map<std::string, Counts>;  // read when the program ends
  return *all;
}

double ratio(std::uint64_t a, std::uint64_t b) {
  return b == 0 ? 0 : static_cast<double>(a) / static_cast<double>(b);
}

void print() {
  for (const auto& [kernel, c] : all_counts()) {
    std::fprintf(stderr, "%s\n  %llu warp instructions, %.1f lanes each, %llu branches diverged\n ",
                 kernel.c_str(), static_cast<unsigned long long>(c.warps()),
                 ratio(c.threads(), c.warps()), static_cast<unsigned long long>(c.diverged));
    for (std::size_t i = 0; i < c.by_class.size(); ++i)
      if (c.by_class[i].warps > 0)
        std::fprintf(stderr, " %s %.1f%%,", name(static_cast<Class>(i)),
                     100 * ratio(c.by_class[i].warps, c.warps()));
    // Lanes that share a sector's bytes make more than 32 of them.
    std::fprintf(stderr,
                 "\n  global memory: loads %.1f sectors a request, %.1f bytes used of each 32; "
                 "stores %.1f, %.1f\n"
                 "  shared memory: loads %.2f of the least wavefronts, stores %.2f\n",
                 ratio(c.loads.sectors, c.loads.requests), ratio(c.loads.bytes, c.loads.sectors),
                 ratio(c.stores.sectors, c.stores.requests),
                 ratio(c.stores.bytes, c.stores.sectors),
                 ratio(c.shared_loads.wavefronts, c.shared_loads.least),
                 ratio(c.shared_stores.wavefronts, c.shared_stores.least));
  }
}

}  // namespace

Counts* counts_of(const std::string& kernel) {
  static const bool asked = [] {
    const char* const text = std::getenv("LACUNA_PTX_COUNTS");
    const bool yes = text != nullptr && *text != 0 && std::string(text) != "0";
    if (yes) std::atexit(print);
    return yes;
  }();
  return asked ? &all_counts()[kernel] : nullptr;
}

}  // namespace lacuna::ptx
