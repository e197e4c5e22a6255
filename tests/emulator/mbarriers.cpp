// mbarriers and the bytes that report to them. A phase completes when its arrivals and its bytes
// are in; bytes land only then, when somebody polls, in random order.
#include <cstring>
#include <utility>

#include "emulator/state.h"

namespace lacuna::emulator {
namespace {

constexpr long most = (1 << 20) - 1;  // what an mbarrier can count, arrivals and bytes each

MbarrierState& state_of(void* barrier, Site site) {
  auto& all = Run::active().mbarriers;
  const auto found = all.find(barrier);
  if (found == all.end()) fail("mbarrier used before it was initialised", site);
  sanitizers::note_read(barrier, 8);  // races with an initialisation that nothing orders before
  return found->second;
}

void note_block(MbarrierState& state) {
  if (Run::active().self().home != state.owner) state.remote[state.phase & 1] = true;
}

// Bytes for a later phase may already be queued, never more than this phase expects.
void complete_if_due(MbarrierState& state, Site site) {
  if (state.pending > 0) return;
  const long queued = static_cast<long>(state.queued_bytes);
  if (queued > state.bytes)
    fail("mbarrier received " + std::to_string(queued) + " bytes in a phase that expects " +
             std::to_string(state.bytes),
         site);
  if (queued < state.bytes) return;
  Run& run = Run::active();
  while (!state.queued.empty()) {
    std::swap(state.queued[run.random() % state.queued.size()], state.queued.back());
    const PendingBytes& copy = state.queued.back();
    std::memcpy(copy.target, copy.source ? copy.source : copy.value.data(), copy.bytes);
    state.queued.pop_back();
  }
  state.queued_bytes = 0;
  state.bytes = 0;
  state.pending = state.arrivals;
  ++state.phase;
  state.remote[state.phase & 1] = false;
  run.memory_changed();
}

void queue(void* target, const void* source, const void* value, unsigned bytes, void* barrier,
           Site site) {
  MbarrierState& state = state_of(barrier, site);
  if (source) sanitizers::note_read(source, bytes);
  sanitizers::note_write(target, bytes);
  const sanitizers::Quiet quiet;
  complete_if_due(state, site);
  note_block(state);
  sanitizers::release(&state.tag[state.phase & 1]);
  std::memset(target, 0xff, bytes);
  const auto* first = static_cast<const unsigned char*>(value);
  state.queued.push_back({target, source, bytes, {first, first + (value ? bytes : 0)}});
  state.queued_bytes += bytes;
  Run::active().memory_changed();
}

}  // namespace

void mbarrier_init(void* barrier, unsigned arrivals, Site site) {
  require_shared(barrier, 8, 8, "mbarrier", site);
  if (arrivals == 0 || arrivals > most)
    fail("mbarrier for " + std::to_string(arrivals) + " arrivals", site);
  sanitizers::note_write(barrier, 8);
  const sanitizers::Quiet quiet;
  MbarrierState state;
  state.owner = Run::active().self().home;
  state.arrivals = arrivals;
  state.pending = arrivals;
  if (!Run::active().mbarriers.try_emplace(barrier, std::move(state)).second)
    fail("mbarrier initialised twice: invalidate it first", site);
}

void mbarrier_invalidate(void* barrier, Site site) {
  MbarrierState& state = state_of(barrier, site);
  const sanitizers::Quiet quiet;
  complete_if_due(state, site);
  if (state.pending != static_cast<long>(state.arrivals) || state.bytes || state.queued_bytes)
    fail("mbarrier invalidated in the middle of a phase", site);
  Run::active().mbarriers.erase(barrier);
}

void mbarrier_expect_bytes(void* barrier, unsigned bytes, Site site) {
  MbarrierState& state = state_of(barrier, site);
  const sanitizers::Quiet quiet;
  complete_if_due(state, site);
  state.bytes += bytes;
  if (state.bytes > most) fail("mbarrier cannot count that many bytes in a phase", site);
}

void mbarrier_arrive(void* barrier, unsigned expected_bytes, Site site) {
  MbarrierState& state = state_of(barrier, site);
  const sanitizers::Quiet quiet;
  complete_if_due(state, site);
  if (state.pending == 0)
    fail("more arrivals at an mbarrier than its " + std::to_string(state.arrivals) + " per phase",
         site);
  note_block(state);
  state.bytes += expected_bytes;
  if (state.bytes > most) fail("mbarrier cannot count that many bytes in a phase", site);
  sanitizers::release(&state.tag[state.phase & 1]);
  --state.pending;
  Run::active().memory_changed();
  if (state.bytes == 0) complete_if_due(state, site);
}

bool mbarrier_try_wait(void* barrier, unsigned parity, bool cluster_scope, Site site) {
  poll(barrier, site);
  MbarrierState& state = state_of(barrier, site);
  const sanitizers::Quiet quiet;
  if (Run::active().self().home != state.owner)
    fail("only the block that owns an mbarrier may wait for it", site);
  complete_if_due(state, site);
  const unsigned now = state.phase & 1;
  if (parity == now) return false;
  if (state.remote[parity & 1] && !cluster_scope)
    fail("wait for what another block sends needs Scope::cluster", site);
  sanitizers::acquire(&state.tag[parity & 1]);
  return true;
}

void store_async(void* target, const void* value, unsigned bytes, void* barrier, Site site) {
  require_aligned(target, bytes, "target of store_async", site);
  queue(target, nullptr, value, bytes, barrier, site);
}

void copy_bulk(void* shared, const void* global, unsigned bytes, void* barrier, Site site) {
  require_shared(shared, bytes, 16, "target of a bulk copy", site);
  require_shared(barrier, 8, 8, "mbarrier of a bulk copy", site);
  require_aligned(global, 16, "source of a bulk copy", site);
  if (bytes == 0 || bytes % 16 != 0)
    fail("bulk copy of " + std::to_string(bytes) + " bytes: must be a multiple of 16", site);
  if (sanitizers::is_poisoned(global, bytes))
    fail("source of a bulk copy reaches outside its allocation", site);
  queue(shared, global, nullptr, bytes, barrier, site);
}

}  // namespace lacuna::emulator
