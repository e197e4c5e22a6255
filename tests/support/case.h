// Case strings: one line of text that names a test, a benchmark and all the random data they read.
//
//   grud_f32_n7_h34_len0-19_miss80_seed3
//   lstm+forward+relax_f64_n5_d3_h17_len1-30_miss50_eo_mask_gap_rev_seed9
//
//   case    = model "_" type { "_" field }
//   model   = preset | cell [ "+" impute [ "+" evolve ] ]        names as in docs/equations.md;
//             left out, impute and evolve are none
//   type    = "f32" | "f64" | "f16" | "bf16"; what values and states are stored in
//   field, in any order, each at most once:
//     nINT        sequences, default 3                    dINT     features, default 5
//     hINT        hidden units, default 8                 seedINT  default 0
//     lenINT      every length; lenINT-INT uniform between the two, both ends included; +INT behind
//                 either: the first sequence has that length instead. Default 1-9
//     missINT     per cent of the values that are unmeasured, default 0; needs an impute, or
//                 with eo, of the tokens at which the cell does not fire
//     eo          rows with nothing measured only evolve the state
//     mask, gap   mask_input, gap_input
//     rev         reads each sequence from its end
//     zoneINT, zonecINT, rdropINT   zoneout of h and of c, recurrent dropout; in per cent, below 100
//     ln          layer normalisation                     pINT     projection, of an lstm
//     nan         the mask is taken from NaN values; otherwise it is given
//     times       time stamps are given; otherwise delta_t
//     delta       a ready-made delta is given
//     init        initial states are given
//     carry       a context from earlier pieces is given
//
// A preset is a model with its flags; further flags add to them:
//   rnn = rnn_tanh    rnn_decay, gru_decay, lstm_decay = rnn_tanh, gru, lstm +forward+decay_step mask
//   grud = gru_reset_before+decay+decay mask
//   grud_relax = gru_reset_before+relax+relax mask eo
//   gru_gap = gru+forward mask gap                    ode_euler = rnn_euler+forward mask
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "reference/layer.h"

namespace support {

enum class Type { f32, f64, f16, bf16 };

struct Case {
  reference::Layer layer{.features = 5, .hidden = 8};
  Type type = Type::f32;
  std::int64_t sequences = 3;
  std::int64_t shortest = 1, longest = 9;  // lengths, both ends included
  std::int64_t first_length = -1;          // of the first sequence, where it is not negative
  int missing_percent = 0;
  bool mask_from_nan = false;
  bool times = false;
  bool delta = false;
  bool initial_state = false;
  bool carry = false;
  std::uint64_t seed = 0;

  // The longest sequence there can be.
  std::int64_t max_length() const { return first_length > longest ? first_length : longest; }

  bool operator==(const Case&) const = default;
};

// Throws std::invalid_argument, naming the case, the part of it that is wrong and what would do.
Case parse_case(std::string_view text);

// The shortest spelling; parse_case(to_string(c)) == c.
std::string to_string(const Case& c);

}  // namespace support
