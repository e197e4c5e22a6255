// The host side of the conformance test, for a program that also holds the device side: nothing
// here shows which compiler made it.
#pragma once
#include <cstdint>
#include <vector>

namespace lacuna::conformance {

// Random bits among which stand the numbers where conversions go wrong.
std::vector<std::uint32_t> input_data();

// Results of case `index` from the host path, threads in random order of that seed.
std::vector<std::uint32_t> emulated_results(std::size_t index, std::uint64_t seed = 1);

}  // namespace lacuna::conformance
