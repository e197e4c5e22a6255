// A context as plans, tapes and training calls see it. They share it, so the handle may go first.
#pragma once

#include <memory>

#include "host/cpu/team.h"
#include "host/memory/memory.h"

namespace lacuna::api {

struct Context {
  lacuna_isa isa;
  std::unique_ptr<memory::Memory> memory;
  cpu::Team team;
};

}  // namespace lacuna::api

struct lacuna_context {
  std::shared_ptr<lacuna::api::Context> shared;
};
