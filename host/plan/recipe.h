// What will run and in how much memory, decided once from the layer, the capacity and the machine. Pure: no device, no
// allocation of the buffers it speaks of, the same answer for the same question.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "host/plan/device_layout.h"
#include "host/plan/layout.h"
#include "lacuna/lacuna.h"

namespace lacuna {

struct Recipe {
  lacuna_layer layer{};
  lacuna_capacity capacity{};
  bool inference = false;
  lacuna_isa isa = LACUNA_ISA_BASELINE;
  int threads = 1;
  Layout layout;        // the CPU backend's
  DeviceLayout device;  // the CUDA backend's

  std::size_t workspace_bytes = 0;
  std::size_t tape_bytes = 0;
};

// The layer and the capacity have been checked. Throws std::length_error where the sizes overflow.
Recipe make_recipe(const lacuna_layer& layer, const lacuna_capacity& capacity, bool inference,
                   lacuna_isa isa, int threads);

// For people: what was chosen and why.
std::string explain(const Recipe& recipe);

// A layer's stages, type and widths, on one line.
std::string describe(const lacuna_layer& layer);

// The lines that every backend's explanation has: layer and capacity before, tape and workspace after its own.
std::string explain_task(const Recipe& recipe);
std::string explain_memory(const Recipe& recipe);

// What becomes of a batch with these offsets, [B+1]: on the CPU, and the lines that every backend has of it, before and
// after its own: the batch itself, and how many of `steps`, those of all lanes, have no token.
std::string explain_batch(const Recipe& recipe, std::span<const std::int64_t> offsets);
std::string explain_lengths(std::span<const std::int64_t> offsets);
std::string idle_share(std::int64_t tokens, std::int64_t steps);

std::string mebibytes(std::size_t bytes);

}  // namespace lacuna
