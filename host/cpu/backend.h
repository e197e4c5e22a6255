// The CPU backend: threads over groups of sequences, vectors over units.
#pragma once

#include "host/backend.h"

namespace lacuna::cpu {

// `isa` is one that this machine has. Throws std::system_error when the threads cannot be started.
std::unique_ptr<Backend> make_backend(int threads, lacuna_isa isa,
                                      std::unique_ptr<memory::Memory> memory);

}  // namespace lacuna::cpu
