// How many blocks it takes to hold W_h over a grid, on a device like an H100: what registers or shared memory a kernel takes
// more decides which layers stay on chip at all, and no result shows it.
#include <string>
#include <vector>

#include "emulator/backend/backend.h"
#include "support/cuda.h"

namespace {

// 0: none holds it.
int fewest_blocks(const std::string& cell, const std::string& type, int hidden) {
  const auto context = support::make_context();
  const lacuna_layer layer = support::library_layer(
      support::parse_case(cell + "_" + type + "_n1_h" + std::to_string(hidden) + "_len1"));
  const lacuna_capacity capacity{100, 8, 0};
  for (int blocks = 2; blocks <= 128; blocks *= 2) {
    lacuna_plan_options options{};
    options.regime = LACUNA_REGIME_GRID;
    options.blocks = blocks;
    lacuna_plan* plan = nullptr;
    const lacuna_status status =
        lacuna_plan_create(context.get(), &layer, &capacity, &options, &plan);
    lacuna_plan_destroy(plan);
    if (status == LACUNA_OK) return blocks;
  }
  return 0;
}

TEST(Capacity, BlocksThatHoldALayer) {
  lacuna::emulated_backend::multiprocessors = 132;
  struct Held {
    const char* cell;
    int hidden, bf16, fp16, fp32;
  };
  for (const Held& held : {Held{"rnn", 512, 4, 4, 4},
                           {"rnn", 1024, 8, 8, 16},
                           {"rnn", 1760, 32, 32, 128},
                           {"rnn", 2048, 32, 32, 128},
                           {"rnn", 2560, 0, 0, 0},
                           {"gru", 512, 8, 8, 16},
                           {"gru", 1024, 32, 32, 64},
                           {"gru", 1536, 128, 128, 0},
                           {"gru", 2048, 128, 128, 0},
                           {"lstm", 512, 8, 8, 16},
                           {"lstm", 1024, 32, 32, 64},
                           {"lstm", 1536, 128, 128, 0},
                           {"lstm", 2048, 128, 128, 0}}) {
    SCOPED_TRACE(std::string(held.cell) + " of " + std::to_string(held.hidden));
    EXPECT_EQ(fewest_blocks(held.cell, "bf16", held.hidden), held.bf16);
    EXPECT_EQ(fewest_blocks(held.cell, "f16", held.hidden), held.fp16);
    EXPECT_EQ(fewest_blocks(held.cell, "f32", held.hidden), held.fp32);
  }
  lacuna::emulated_backend::multiprocessors = 2;
}

}  // namespace
