// A limit that is raised and never lowered, for what cudaFuncSetAttribute sets is a kernel's state on a device, which
// threads share, and not a launch's.
#pragma once

#include <map>
#include <mutex>
#include <utility>

namespace lacuna::simt {

// The highest value that the limit was given for each kernel on each device. A kernel is told by its address, as the CUDA
// runtime tells it. Takes memory for each once, at the first launch.
class HighMarks {
 public:
  // set(value) where the mark is lower; returns its status, of which 0 is success.
  template <class F>
  auto raise(const void* kernel, int device, int value, F&& set) {
    // Held while `set` runs: of two threads that raise the limit, the one that wants less could be the last.
    const std::lock_guard lock(mutex_);
    int& mark = marks_[{kernel, device}];
    auto status = decltype(set(value)){};
    if (value > mark && (status = set(value)) == decltype(status){}) mark = value;
    return status;
  }
  // set(the mark), for who finds that the device does not know of it.
  template <class F>
  auto restore(const void* kernel, int device, F&& set) {
    const std::lock_guard lock(mutex_);
    return set(marks_[{kernel, device}]);
  }

 private:
  std::mutex mutex_;
  std::map<std::pair<const void*, int>, int> marks_;
};

}  // namespace lacuna::simt
