// What the engine carves out of a worker's part of the workspace fits what the plan has reserved, whatever the layer's size
// and whether there is a tape.
#include <gtest/gtest.h>

#include <vector>

#include "host/cpu/engine/scratch.h"

namespace {

using lacuna::Layout;
using lacuna::cpu::BackwardScratch;
using lacuna::cpu::ForwardScratch;
using lacuna::cpu::Job;

struct Size {
  std::int64_t features, hidden, sequences;
};

void expect_room(const lacuna_layer& layer, const Size& size, bool inference) {
  const Layout layout =
      lacuna::make_layout(layer, {size.sequences * 3, size.sequences, 3}, inference, 2);
  const std::int64_t room = lacuna::worker_elements(layout, inference);
  // Twice the room: this test looks at where parts end, and must survive their being too long.
  std::vector<float> memory(static_cast<std::size_t>(2 * room + 1024));
  float* const end = memory.data() + room;
  Job<float> job;
  job.layer = layer;
  job.layout = &layout;
  const std::int64_t lanes = layout.max_lanes;
  const auto told = [&] {
    return std::to_string(size.features) + " features, " + std::to_string(size.hidden) +
           " hidden, " + std::to_string(size.sequences) + " sequences, inference " +
           std::to_string(inference);
  };
  const ForwardScratch<float> without_tape(job, memory.data());
  EXPECT_LE(without_tape.decay + lanes * layout.output_units, end) << told();
  if (layout.zones_out) {
    EXPECT_LE(without_tape.drawn_c + lanes * layout.units, end) << told();
  }
  if (layout.drops_state) {
    EXPECT_LE(without_tape.factors + lanes * layout.output_units, end) << told();
  }
  if (inference) return;
  const BackwardScratch<float> backward(job, memory.data());
  EXPECT_LE(backward.panel + layout.window * lacuna::widest_panel, end) << told();
  if (layout.windowed) {
    EXPECT_LE(backward.gradient_rows + layout.window * layout.gradient_stride, end) << told();
  }
  if (layout.zones_out) {
    EXPECT_LE(backward.passed_c + lanes * layout.units, end) << told();
  }
  if (layout.drops_state) {
    EXPECT_LE(backward.d_operand + lanes * layout.output_units, end) << told();
  }
}

TEST(WorkerMemory, HoldsEveryRun) {
  for (const lacuna_cell cell : {LACUNA_RNN_TANH, LACUNA_LSTM, LACUNA_GRU, LACUNA_GRU_RESET_BEFORE})
    for (const lacuna_evolve evolve : {LACUNA_EVOLVE_NONE, LACUNA_EVOLVE_DECAY})
      for (const Size size : {Size{1, 1, 1},
                              {41, 64, 64},
                              {76, 128, 128},
                              {512, 512, 16},
                              {1024, 1024, 64},
                              {33, 1000, 300}})
        for (const int noise : {0, 1, 2, 3}) {
          lacuna_layer layer{};
          layer.cell = cell;
          layer.evolve = evolve;
          layer.features = size.features;
          layer.hidden = size.hidden;
          layer.zoneout_hidden = noise % 2 * 0.25;
          layer.recurrent_dropout = noise / 2 * 0.25;
          for (const std::int32_t normalised : {1, 0}) {
            layer.layer_norm = normalised;
            expect_room(layer, size, false);
            expect_room(layer, size, true);
          }
          if (cell != LACUNA_LSTM) continue;
          layer.projection = (size.hidden + 1) / 2;
          expect_room(layer, size, false);
          expect_room(layer, size, true);
        }
}

}  // namespace
