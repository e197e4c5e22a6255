// Sequences dealt to lanes. A lane walks its sequences one after the other; lanes of a group step together, and a lane
// that ends a sequence starts its next, so no padded step is ever computed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace lacuna {

struct Lane {
  std::int64_t first, last;  // its sequences: order[first .. last-1]
  std::int64_t tokens;
};

struct Lanes {
  std::int64_t* order = nullptr;       // [B] sequences, empty ones at the end
  Lane* lane = nullptr;                // [groups * lanes_per_group], longest first within a group
  std::int64_t* lane_count = nullptr;  // [groups]
  std::int64_t* scratch = nullptr;     // what deal works in
  std::int64_t groups = 0, lanes_per_group = 0;
  std::int64_t empty_first = 0;  // order[empty_first ..] have length 0

  std::span<const Lane> of(std::int64_t group) const {
    return {lane + group * lanes_per_group, static_cast<std::size_t>(lane_count[group])};
  }
};

std::size_t lanes_bytes(std::int64_t sequences, std::int64_t groups, std::int64_t lanes_per_group);
// Lays a Lanes out in `memory`, which is aligned to 8 bytes.
Lanes place_lanes(std::byte* memory, std::int64_t sequences, std::int64_t groups,
                  std::int64_t lanes_per_group);

// Longest first, always to the group, and within it to the lane, that has least: deterministic, and a function of the
// lengths alone. As few lanes are used as could finish with the longest sequence if the rest divided evenly: fewer would
// take longer, more would idle.
void deal(Lanes& lanes, std::span<const std::int64_t> offsets);

}  // namespace lacuna
