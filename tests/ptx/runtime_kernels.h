// Kernels as the host's code knows them: by the address of their stub, and by what cudaFuncSetAttribute said of them.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ptx/machine.h"
#include "ptx/runtime.h"

namespace lacuna::ptx {

// The PTX of one fat binary. A device reads it when a kernel of it is first asked for there, and has variables of its own.
struct Program {
  std::vector<std::string_view> texts;  // one for each architecture that has any
  std::map<int, std::shared_ptr<Module>> modules = {};
};

// On one device: what cudaFuncSetAttribute says of a kernel, it says of the current device's.
struct HostKernel {
  std::string name;  // mangled
  const Kernel* kernel;
  std::size_t dynamic_shared = limits::shared_bytes;  // the most that it may be launched with
  bool any_cluster = false;
};

// The current device's (throws Refusal).
HostKernel& host_kernel(const void* stub);

// The PTX texts within a fat binary that nvcc --no-compress made.
std::vector<std::string_view> find_ptx(const void* fat_binary);

// Of these the one of the newest architecture that such a chip can run; empty where there is none.
std::string_view choose_ptx(const std::vector<std::string_view>& texts, int capability);

}  // namespace lacuna::ptx
