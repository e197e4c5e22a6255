// One benchmark case: what is computed, on how many sequences of which lengths. Its name is a case
// string, such as lstm_f32_n64_t200_d41_h64 or grud_f32_n256_lenphysionet2012_d37_h64_miss85:
//   n  sequences          t  tokens of every sequence        len50-200  lengths uniform in 50..200
//   d  features           h  hidden units                    miss85     85 % of the cells unmeasured
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bench/tensors.h"

namespace bench {

enum class Cell { lstm, gru, gru_reset_before, gru_d };

struct Case {
  Cell cell = Cell::lstm;
  std::int64_t sequences = 0;
  std::int64_t shortest = 0, longest = 0;  // tokens of a sequence
  bool physionet = false;                  // lengths distributed as PhysioNet 2012's
  std::int64_t features = 0;
  std::int64_t hidden = 0;
  int missing = 0;  // per cent

  bool ragged() const { return physionet || shortest != longest; }
  std::int64_t gates() const { return cell == Cell::lstm ? 4 : 3; }
  std::int64_t input_width() const { return cell == Cell::gru_d ? 2 * features : features; }
};

// Throws std::invalid_argument, naming the part that it does not understand.
Case parse_case(std::string_view name);
std::string case_name(const Case& what);

// The cases that `./dev bench cpu` runs.
const std::vector<std::string>& standard_cases();

struct Inputs {
  Case what;
  std::vector<std::int64_t> offsets;  // [B+1]
  std::vector<std::uint8_t> mask;     // [N,D], gru_d
  // values [N,D], NaN where unmeasured; d_hidden [N,H]; weights_x [GH,K], weights_h [GH,H],
  // bias [GH]; gru: bias_hn [H]; gru_d: delta_t [N], delta [N,D], x_mean [D], impute_weight [D],
  // impute_bias [D], evolve_weight [H,D], evolve_bias [H]
  Tensors tensors;

  std::int64_t tokens() const { return offsets.back(); }
  std::int64_t max_length() const;
  const float* operator[](const char* name) const { return tensors.at(name).data.data(); }

  // Floating-point operations of one training step's products, forward and backward; the gate
  // arithmetic, which also takes time, is not counted.
  double operations() const;

  // How far two correct fp32 implementations may be apart, by the rule of docs/numerics.md:
  // twice the unit roundoff, times log2 of the longest accumulation, times the steps that mix.
  double tolerance() const;
};

// The same case gives the same numbers. `lengths` replaces the case's own when it is not empty.
Inputs make_inputs(const Case& what, const std::vector<std::int64_t>& lengths = {});

// What must be equal between contestants: hidden [N,H], d_values [N,D] and one gradient per
// parameter, except x_mean, which training usually freezes.
std::vector<std::string> gradient_names(const Case& what);

}  // namespace bench
