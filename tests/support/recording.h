// Work that is recorded once and played again: on a GPU a captured CUDA graph, on the emulator the same calls once more.
// And arrays that stay where they are meanwhile.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <stdexcept>
#include <vector>

#include "support/backend.h"

namespace support {

#ifdef LACUNA_TEST_ON_DEVICE

inline void must_cuda(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
}

template <class T>
class Array {
 public:
  explicit Array(std::size_t size) : size_(size) {
    must_cuda(
        cudaMalloc(reinterpret_cast<void**>(&data_), std::max<std::size_t>(size, 1) * sizeof(T)));
  }
  ~Array() { (void)cudaFree(data_); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  T* data() { return data_; }
  void set(const T* from, std::size_t count) {
    must_cuda(cudaMemcpy(data_, from, count * sizeof(T), cudaMemcpyHostToDevice));
  }
  std::vector<T> get() const {
    std::vector<T> host(size_);
    must_cuda(cudaMemcpy(host.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost));
    return host;
  }

 private:
  std::size_t size_;
  T* data_ = nullptr;
};

class Recording {
 public:
  explicit Recording(const std::function<void(void* stream)>& work) {
    must_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    must_cuda(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeGlobal));
    cudaGraph_t graph = nullptr;
    try {
      work(stream_);
    } catch (...) {
      // While it went on, no thread of the process could make plans: one failed test would fail all after it.
      if (cudaStreamEndCapture(stream_, &graph) == cudaSuccess) (void)cudaGraphDestroy(graph);
      (void)cudaStreamDestroy(stream_);
      throw;
    }
    must_cuda(cudaStreamEndCapture(stream_, &graph));
    must_cuda(cudaGraphInstantiate(&run_, graph, 0));
    must_cuda(cudaGraphDestroy(graph));
  }
  ~Recording() {
    (void)cudaGraphExecDestroy(run_);
    (void)cudaStreamDestroy(stream_);
  }
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;
  void play() {
    must_cuda(cudaDeviceSynchronize());  // the arrays were set on another stream
    must_cuda(cudaGraphLaunch(run_, stream_));
    must_cuda(cudaStreamSynchronize(stream_));
  }

 private:
  cudaStream_t stream_ = nullptr;
  cudaGraphExec_t run_ = nullptr;
};

#else

template <class T>
class Array {
 public:
  explicit Array(std::size_t size) : data_(size) {
#ifdef LACUNA_TEST_BACKEND_IS_EMULATED
    if (size > 0) lacuna::emulated_backend::claim(data_.data(), size * sizeof(T));
#endif
  }
  ~Array() {
#ifdef LACUNA_TEST_BACKEND_IS_EMULATED
    lacuna::emulated_backend::disclaim(data_.data());
#endif
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  T* data() { return data_.data(); }
  void set(const T* from, std::size_t count) { std::copy_n(from, count, data_.begin()); }
  std::vector<T> get() const { return data_; }

 private:
  std::vector<T> data_;
};

class Recording {
 public:
  explicit Recording(std::function<void(void* stream)> work) : work_(std::move(work)) {}
  void play() { work_(nullptr); }

 private:
  std::function<void(void* stream)> work_;
};

#endif

}  // namespace support
