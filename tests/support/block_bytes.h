// What a plan says of the shared memory that a block takes.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>

namespace support {

struct BlockBytes {
  std::size_t forward, backward;
};

// From a plan's explanation; throws where it has none.
inline BlockBytes block_bytes(const std::string& explained) {
  const auto behind = [&](const std::string& words) {
    const std::size_t at = explained.find(words);
    if (at == std::string::npos) throw std::runtime_error("no '" + words + "' in\n" + explained);
    return static_cast<std::size_t>(std::stoull(explained.substr(at + words.size())));
  };
  return {behind("a block takes at most "), behind(" on the way forward and ")};
}

}  // namespace support
