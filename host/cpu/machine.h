// What this machine and this process have to offer.
#pragma once

#include "lacuna/lacuna.h"

namespace lacuna::cpu {

// The most capable instruction set that processor and operating system support; never
// LACUNA_ISA_BEST.
lacuna_isa detect_isa();

// Cores that this process may run on, >= 1. Less than the machine has under taskset or in a
// container.
int usable_cores();

}  // namespace lacuna::cpu
