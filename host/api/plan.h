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

const lacuna_capacity& checked_capacity(const lacuna_capacity* given, const Backend& backend);
// Whether they make sense; whether a backend has what they ask for, it says itself.
void check_options(const lacuna_plan_options& options);
// The caller's memory when there is some, else the context's. Arguments are named as given in messages.
memory::Block take_block(Context& context, void* given, std::size_t given_bytes, std::size_t needed,
                         std::string_view argument, std::string_view size_argument);
// As lacuna_plan_explain hands out text.
void write_text(const std::string& from, char* text, std::size_t* length);

// Tells one batch from another by what decides where things lie on the tape.
struct BatchIdentity {
  std::int64_t sequences = 0, tokens = 0;
  std::uint64_t offsets = 0;   // a hash
  std::uint64_t seed = 0;      // of noise; 0 where nothing is drawn
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
