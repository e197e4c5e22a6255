// The CPU backend's two runs. Arguments have been checked by host/api; nothing here allocates, throws or fails.
#pragma once

#include "host/backend.h"
#include "host/cpu/team.h"

namespace lacuna::cpu {

void forward(Team& team, const ForwardRun& run);
void backward(Team& team, const BackwardRun& run);

}  // namespace lacuna::cpu
