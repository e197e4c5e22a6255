// Which backend a program of tests runs: the same sources are built for the CPU, for the CUDA backend over the emulator,
// and where the build has CUDA for a GPU (tests/CMakeLists.txt). And how test data reaches a GPU's memory.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

#include "lacuna/lacuna.h"
#include "support/guarded_buffer.h"

#ifdef LACUNA_TEST_ON_DEVICE
#include <cuda_runtime.h>
#elif defined(LACUNA_TEST_BACKEND)
#define LACUNA_TEST_BACKEND_IS_EMULATED
#include "emulator/backend/backend.h"
#endif
#ifndef LACUNA_TEST_BACKEND
#define LACUNA_TEST_BACKEND LACUNA_BACKEND_CPU
#endif

namespace support {

inline constexpr lacuna_backend tested_backend = LACUNA_TEST_BACKEND;
inline constexpr bool on_cpu = tested_backend == LACUNA_BACKEND_CPU;
#ifdef LACUNA_TEST_BACKEND_IS_EMULATED
inline constexpr bool on_emulator = true;
#else
inline constexpr bool on_emulator = false;
#endif

// Do a row's bits depend on how many rows are multiplied beside it? cuBLASLt chooses by a product's sizes where its sums are
// cut (docs/numerics.md).
#ifdef LACUNA_TEST_ON_DEVICE
inline constexpr bool sizes_decide_bits = true;
#else
inline constexpr bool sizes_decide_bits = false;
#endif

// Copies of a call's arrays where the backend can read them; the host's own on the CPU and the emulator. Outputs are
// copied whole, with their guards, so that what is written beside them shows.
#ifdef LACUNA_TEST_ON_DEVICE

class Mirror {
 public:
  inline static bool enabled = true;          // false: arrays stay the host's
  inline static thread_local int device = 0;  // where they lie, whichever is the current one

  Mirror() = default;
  Mirror(const Mirror&) = delete;
  Mirror& operator=(const Mirror&) = delete;
  ~Mirror() {
    for (const Copy& copy : copies_) (void)cudaFree(copy.device);
  }

  template <class T>
  const T* in(const T* host, std::size_t count) {
    if (host == nullptr || !enabled) return host;
    return static_cast<const T*>(add(const_cast<T*>(host), count * sizeof(T), false));
  }
  template <class T>
  T* out(GuardedBuffer<T>& buffer) {
    if (!enabled) return buffer.data();
    auto* const bytes = static_cast<unsigned char*>(add(buffer.raw(), buffer.raw_bytes(), true));
    return reinterpret_cast<T*>(bytes + GuardedBuffer<T>::guard_bytes);
  }
  // Waits for the device.
  void bring_back() {
    const There there;
    must(cudaDeviceSynchronize());
    for (const Copy& copy : copies_)
      if (copy.out) must(cudaMemcpy(copy.host, copy.device, copy.bytes, cudaMemcpyDeviceToHost));
  }

 private:
  struct Copy {
    void *host, *device;
    std::size_t bytes;
    bool out;
  };
  static void must(cudaError_t status) {
    if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
  }
  struct There {
    There() {
      must(cudaGetDevice(&before));
      must(cudaSetDevice(device));
    }
    ~There() { (void)cudaSetDevice(before); }
    There(const There&) = delete;
    There& operator=(const There&) = delete;
    int before = 0;
  };
  void* add(void* host, std::size_t bytes, bool out) {
    const There there;
    void* copy = nullptr;
    must(cudaMalloc(&copy, bytes > 0 ? bytes : 1));
    copies_.push_back({host, copy, bytes, out});
    must(cudaMemcpy(copy, host, bytes, cudaMemcpyHostToDevice));
    return copy;
  }
  std::vector<Copy> copies_;
};

#else

class Mirror {
 public:
  template <class T>
  const T* in(const T* host, std::size_t) {
    return host;
  }
  template <class T>
  T* out(GuardedBuffer<T>& buffer) {
    return buffer.data();
  }
  void bring_back() {}
};

#endif

// While this lives, what tests hand to a CUDA backend are arrays of the host, and the backend can tell.
class HostArrays {
 public:
  explicit HostArrays(bool host = true) { set(host); }
  ~HostArrays() { set(false); }
  HostArrays(const HostArrays&) = delete;
  HostArrays& operator=(const HostArrays&) = delete;

 private:
  static void set([[maybe_unused]] bool host) {
#ifdef LACUNA_TEST_ON_DEVICE
    Mirror::enabled = !host;
#elif defined(LACUNA_TEST_BACKEND_IS_EMULATED)
    lacuna::emulated_backend::tells_host_memory = host;
#endif
  }
};

}  // namespace support
