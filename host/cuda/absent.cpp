// What a build without CUDA has in the backend's place.
#include "host/cuda/backend.h"

namespace lacuna::cuda {

int device_count() { return 0; }
std::string why_no_device() { return "this build has no CUDA backend"; }

std::unique_ptr<Backend> make_backend(int, const lacuna_allocator&) {
  throw BackendError(LACUNA_UNSUPPORTED, why_no_device());
}

}  // namespace lacuna::cuda
