// One way to compute a case: Lacuna or a peer. Each is built on the same inputs, must show its
// results to the comparer, and is then timed step by step.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bench/case.h"

namespace bench {

class Contestant {
 public:
  virtual ~Contestant() = default;

  // One training step: forward, then backward. Parameter gradients are added to.
  virtual void step() = 0;

  // Poisons the outputs with NaN, clears the gradients, steps once and returns what came out, in
  // Lacuna's layout: hidden, d_values and d_<parameter> for gradient_names(). Empty where there is
  // nothing to compare (sgemm, which has checked itself).
  virtual Tensors results() = 0;
};

// What a library is called here, and what it says about itself.
struct Library {
  std::string name;     // "lacuna", "onednn", "sgemm"
  std::string version;  // empty: it is not in this program
};

// Each throws std::runtime_error, saying why, where it cannot take part in a case. `inputs` must
// outlive the contestant.
std::unique_ptr<Contestant> make_lacuna(const Inputs& inputs, int threads);
std::unique_ptr<Contestant> make_onednn(const Inputs& inputs, int threads);
// The machine's own rate: C = A B, 1024 x 1024, with the BLAS this program is linked to.
std::unique_ptr<Contestant> make_sgemm(int threads);
constexpr double k_sgemm_operations = 2.0 * 1024 * 1024 * 1024;

std::unique_ptr<Contestant> make_contestant(const std::string& name, const Inputs& inputs,
                                            int threads);

Library about_lacuna();
Library about_onednn();
Library about_sgemm();

// Lacuna's memory on a case, in bytes.
struct Memory {
  std::size_t workspace = 0, tape = 0;            // as the plan reports them
  std::size_t workspace_used = 0, tape_used = 0;  // up to the last byte that a step touched
  std::size_t taken = 0;                          // what plan and tape took from the allocator
  std::size_t peak = 0;                // resident memory that a step added, outputs included
  std::size_t allocations_in_run = 0;  // must be 0
};
Memory measure_memory(const Inputs& inputs, int threads);

}  // namespace bench
