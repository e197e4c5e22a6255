// Rows between a batch and a window of it, on the CPU (host/rows.h). Nothing here allocates or throws.
#pragma once

#include "host/cpu/team.h"
#include "host/rows.h"

namespace lacuna::cpu {

void rows(Team& team, const RowsRun& run);
void measured(Team& team, const MeasuredRun& run);
void gaps(Team& team, const GapsRun& run);
void gap_gradients(Team& team, const GapGradientsRun& run);

}  // namespace lacuna::cpu
