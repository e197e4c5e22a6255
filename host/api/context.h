// A context as plans, tapes and training calls see it. They share it, so the handle may go first.
#pragma once

#include <memory>

#include "host/api/message.h"
#include "host/backend.h"

namespace lacuna::api {

struct Context {
  std::unique_ptr<Backend> backend;
};

// A stream is CUDA's.
inline void check_stream(const Backend& backend, const void* stream) {
  if (stream && backend.kind() == LACUNA_BACKEND_CPU)
    refuse(LACUNA_INVALID_ARGUMENT, "stream: address ", Address{stream},
           ", expected null on the CPU");
}

}  // namespace lacuna::api

struct lacuna_context {
  std::shared_ptr<lacuna::api::Context> shared;
};
