// Linked into programs that were written for the CPU: whatever they hand to the CUDA backend is the host's.
#include "emulator/backend/backend.h"

namespace {

[[maybe_unused]] const bool told = lacuna::emulated_backend::tells_host_memory = true;

}  // namespace
