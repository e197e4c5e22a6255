// What LACUNA_PTX_COUNTS=1 prints when a program ends: for each kernel what a profiler would count.
#pragma once
#include <string>

#include "ptx/machine.h"

namespace lacuna::ptx {

// Where a launch of this kernel adds its counts; null where nobody asked for them.
Counts* counts_of(const std::string& kernel);

}  // namespace lacuna::ptx
