// Where an example runs: --backend and --threads.
#pragma once

#include "examples/common/arguments.h"
#include "lacuna/lacuna.hpp"

namespace examples {

inline lacuna::ContextOptions read_backend(Arguments& arguments, int threads) {
  lacuna::ContextOptions options;
  options.threads = arguments.integer("--threads", threads, 0, 1024);
  const std::string name = arguments.text("--backend", "cpu");
  if (name == "cpu")
    options.backend = lacuna::Backend::cpu;
  else if (name == "cuda")
    options.backend = lacuna::Backend::cuda;
  else if (name != "best")
    throw UsageError("--backend is \"" + name + "\"; expected cpu, cuda or best");
  return options;
}

}  // namespace examples
