#include "emulator/conformance/emulated.h"

#include <cstdlib>
#include <memory>
#include <random>

#include "emulator/conformance/cases.h"
#include "emulator/emulator.h"

namespace lacuna::conformance {

std::vector<std::uint32_t> input_data() {
  std::mt19937 generator(20);
  std::vector<std::uint32_t> words(input_words);
  for (auto& word : words) word = static_cast<std::uint32_t>(generator());
  // Signed: zeros, infinities, NaNs, least subnormals, ends of fp16's, bf16's and tf32's ranges,
  // and halfway cases of each with their neighbours.
  constexpr std::uint32_t edges[] = {
      0x00000000, 0x7f800000, 0x7fc00000, 0x7f800001, 0x7fffffff, 0x00000001, 0x007fffff,
      0x00800000, 0x7f7fffff, 0x7f7f8000, 0x7f7f7fff, 0x33000000, 0x33000001, 0x32ffffff,
      0x33800000, 0x33c00000, 0x387fc000, 0x387fe000, 0x387fffff, 0x38800000, 0x477fe000,
      0x477fefff, 0x477ff000, 0x47800000, 0x3f801000, 0x3f800fff, 0x3f801001, 0x3f803000,
      0x3f808000, 0x3f807fff, 0x3f808001, 0x3f818000, 0x7f7ff000, 0x7f7fefff};
  std::size_t at = 1024;  // before stand the operands of other cases
  for (const std::uint32_t edge : edges) {
    words[at++] = edge;
    words[at++] = edge | 0x80000000u;
  }
  // Exponents near one, where random bits seldom fall.
  for (; at < words.size(); at += 2) words[at] = (words[at] & 0x87ffffffu) + 0x38000000u;
  return words;
}

std::vector<std::uint32_t> emulated_results(std::size_t index, std::uint64_t seed) {
  emulator::Settings settings;
  settings.order = emulator::Order::random;
  settings.seed = seed;
  const emulator::WithSettings with(settings);
  const Case& one = all_cases[index];
  const auto free = [](Word* p) { std::free(p); };
  const std::unique_ptr<Word, decltype(free)> in(
      static_cast<Word*>(std::aligned_alloc(256, input_words * sizeof(Word))), free);
  const auto data = input_data();
  std::copy(data.begin(), data.end(), in.get());
  std::vector<Word> out(one.out_words, ~Word{0}), scratch(scratch_words, 0);
  one.run({in.get(), out.data(), scratch.data()}, nullptr);
  return out;
}

}  // namespace lacuna::conformance
