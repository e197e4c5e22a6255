// Kernels as the host's code knows them: by the address of their stub, and by what cudaFuncSetAttribute said of them.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "ptx/machine.h"
#include "ptx/runtime.h"

namespace lacuna::ptx {

// The PTX of one fat binary, which is read when a kernel of it is first asked for.
struct Program {
  std::string_view text;  // empty where it has none
  std::shared_ptr<Module> module = {};
};

struct HostKernel {
  Program* program;
  std::string name;  // mangled
  const Kernel* kernel = nullptr;
  std::size_t dynamic_shared = limits::shared_bytes;  // the most that it may be launched with
  bool any_cluster = false;
};

// Throws Refusal.
HostKernel& host_kernel(const void* stub);

// The PTX text within a fat binary that nvcc --no-compress made: the last one; empty where there is none.
std::string_view find_ptx(const void* fat_binary);

}  // namespace lacuna::ptx
