// The pictures that examples/long_sequence ends with.
#pragma once

#include <string>
#include <vector>

#include "examples/long_sequence/contest.h"

namespace long_sequence {

// How the norm of dL/dh changes with the distance from the end, before and after training.
void draw_gradient_flow(const std::string& path, const Task& task,
                        const std::vector<Contestant>& contestants,
                        const std::vector<Outcome>& outcomes);

// Loss and accuracy, step by step.
void draw_learning(const std::string& path, const Task& task,
                   const std::vector<Contestant>& contestants,
                   const std::vector<Outcome>& outcomes);

}  // namespace long_sequence
