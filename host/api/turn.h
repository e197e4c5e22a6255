// Keeps a plan to one thread at a time.
#pragma once

#include <atomic>

#include "host/api/message.h"

namespace lacuna::api {

class Turn {
 public:
  explicit Turn(std::atomic_flag& running) : running_(running) {
    if (running_.test_and_set(std::memory_order_acquire))
      refuse(LACUNA_INVALID_ARGUMENT,
             "plan: already running on another thread; make one plan for each");
  }
  ~Turn() { running_.clear(std::memory_order_release); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  std::atomic_flag& running_;
};

}  // namespace lacuna::api
