// The CUDA backend's way in. A build without CUDA links absent.cpp instead of the backend; a test of the kernels on
// the CPU links the backend over the emulator (tests/emulator/backend).
#pragma once

#include <string>

#include "host/backend.h"

namespace lacuna::cuda {

// Devices that this build can use here.
int device_count();
// Why there are none: no CUDA in this build, no driver, no GPU.
std::string why_no_device();

// `table` without functions: the backend's own stream-ordered pool. Throws BackendError.
std::unique_ptr<Backend> make_backend(int device, const lacuna_allocator& table);

}  // namespace lacuna::cuda
