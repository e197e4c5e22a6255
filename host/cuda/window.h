// Queues what moves rows between a batch and a window of it (host/rows.h). Arrays are the device's.
#pragma once

#include "host/rows.h"

namespace lacuna::cuda {

std::size_t window_bytes(std::int64_t sequences);
void queue_window(const WindowRows& window, void* stream);
void queue_rows(const RowsRun& run);
void queue_measured(const MeasuredRun& run);
void queue_gaps(const GapsRun& run);
void queue_gap_gradients(const GapGradientsRun& run);

}  // namespace lacuna::cuda
