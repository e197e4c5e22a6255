// cp.async: the bytes land at the wait, and the target is NaN until then.
#include <cstring>

#include "emulator/state.h"

namespace lacuna::emulator {

void copy_async(void* shared, const void* global, unsigned bytes, unsigned valid, Site site) {
  require_shared(shared, bytes, bytes, "target of an async copy", site);
  require_aligned(global, bytes, "source of an async copy", site);
  if (valid > bytes) fail("async copy of more bytes than it holds", site);
  if (sanitizers::is_poisoned(global, valid))
    fail("source of an async copy reaches outside its allocation", site);
  // To a race detector the copy happens here, in this thread: whoever reads the target must be
  // ordered after it by the wait and a barrier.
  sanitizers::note_read(global, valid);
  sanitizers::note_write(shared, bytes);
  const sanitizers::Quiet quiet;
  std::memset(shared, 0xff, bytes);
  Run::active().self().open_copies.push_back({shared, global, bytes, valid});
}

void commit_copies() {
  const sanitizers::Quiet quiet;
  Fiber& self = Run::active().self();
  self.copy_groups.push_back(std::move(self.open_copies));
  self.open_copies.clear();
}

void wait_copies(int in_flight) {
  const sanitizers::Quiet quiet;
  auto& groups = Run::active().self().copy_groups;
  while (groups.size() > static_cast<std::size_t>(in_flight)) {
    for (const AsyncCopy& copy : groups.front()) {
      std::memcpy(copy.target, copy.source, copy.valid);
      std::memset(static_cast<char*>(copy.target) + copy.valid, 0, copy.bytes - copy.valid);
    }
    groups.erase(groups.begin());
  }
}

}  // namespace lacuna::emulator
