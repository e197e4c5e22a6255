// Where training starts from. For a long memory it decides nearly everything.
#pragma once

#include "lacuna/lacuna.hpp"

namespace long_sequence {

// Sets the biases of the gates that keep the state, as Tallec and Ollivier do ("Can recurrent neural
// networks warp time?", ICLR 2018): a gate that keeps with probability 1 - 1/T forgets after about T
// tokens, so the bias log(T - 1) with T drawn evenly up to the longest dependency gives units of every
// memory up to it. LSTM's input gate gets the negative. Other cells have no such gate and are left alone.
void chrono_start(lacuna::StackParameters<float>& parameters, double longest, std::uint64_t seed);

// Fills the recurrent weights with normal numbers of standard deviation gain / sqrt(hidden): their
// eigenvalues lie in a circle of radius `gain`.
void recurrent_gain(lacuna::StackParameters<float>& parameters, double gain, std::uint64_t seed);

}  // namespace long_sequence
