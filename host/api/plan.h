// A plan and a tape as the calls on them see them.
#pragma once

#include <atomic>
#include <memory>

#include "host/api/context.h"
#include "host/plan/recipe.h"

// Members are destroyed from the last to the first: blocks go back before the context that they
// came from.
struct lacuna_plan {
  std::shared_ptr<lacuna::api::Context> context;
  lacuna::Recipe recipe;
  lacuna::memory::Block workspace;
  std::unique_ptr<lacuna::Prepared> prepared;
  std::atomic_flag
      running;  // a plan serves one thread at a time; two would overwrite each other's workspace
};

namespace lacuna::api {

// Tells one batch from another by what decides where things lie on the tape.
struct BatchIdentity {
  std::int64_t sequences = 0, tokens = 0;
  std::uint64_t offsets = 0;   // a hash
  std::uint32_t presence = 0;  // one bit per optional array of the batch
  bool operator==(const BatchIdentity&) const = default;
};

}  // namespace lacuna::api

struct lacuna_tape {
  std::shared_ptr<lacuna::api::Context> context;
  lacuna::Recipe
      recipe;  // of the plan it was made for: another plan fits when its recipe is the same
  lacuna::memory::Block memory;
  bool filled = false;
  lacuna::api::BatchIdentity batch;  // of the run that filled it
};
