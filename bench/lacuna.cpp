// Lacuna as a contestant, through its C ABI and nothing else.
#include <lacuna/lacuna.h>
#include <malloc.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <span>
#include <stdexcept>
#include <string_view>

#include "bench/contestant.h"

namespace bench {
namespace {

void must(lacuna_status status) {
  if (status != LACUNA_OK) {
    throw std::runtime_error(std::string(lacuna_status_name(status)) + ": " + lacuna_last_error());
  }
}

struct Release {
  void operator()(lacuna_context* context) const { lacuna_context_destroy(context); }
  void operator()(lacuna_plan* plan) const { lacuna_plan_destroy(plan); }
  void operator()(lacuna_tape* tape) const { lacuna_tape_destroy(tape); }
};
template <class Handle>
using Owned = std::unique_ptr<Handle, Release>;

Owned<lacuna_context> open_context(int threads) {
  lacuna_context_options options{};
  options.backend = LACUNA_BACKEND_CPU;
  options.threads = threads;
  // bench/cpu.py --isa sets this beside the peers' own variables.
  const char* isa = std::getenv("LACUNA_BENCH_ISA");
  if (isa && std::string_view(isa) == "avx2") options.isa = LACUNA_ISA_AVX2;
  lacuna_context* context = nullptr;
  must(lacuna_context_create(&options, &context));
  return Owned<lacuna_context>(context);
}

lacuna_layer describe(const Case& what) {
  lacuna_layer layer{};
  layer.type = LACUNA_F32;
  layer.features = what.features;
  layer.hidden = what.hidden;
  switch (what.cell) {
    case Cell::lstm: layer.cell = LACUNA_LSTM; break;
    case Cell::gru: layer.cell = LACUNA_GRU; break;
    case Cell::gru_reset_before: layer.cell = LACUNA_GRU_RESET_BEFORE; break;
    case Cell::gru_d:
      layer.cell = LACUNA_GRU_RESET_BEFORE;
      layer.impute = LACUNA_IMPUTE_DECAY;
      layer.evolve = LACUNA_EVOLVE_DECAY;
      layer.mask_input = 1;
      break;
  }
  return layer;
}

struct Parameter {
  lacuna_parameter kind;
  const char* name;
};
constexpr Parameter k_parameters[] = {
    {LACUNA_WEIGHTS_X, "weights_x"},
    {LACUNA_WEIGHTS_H, "weights_h"},
    {LACUNA_BIAS, "bias"},
    {LACUNA_BIAS_HN, "bias_hn"},
    {LACUNA_X_MEAN, "x_mean"},
    {LACUNA_IMPUTE_WEIGHT, "impute_weight"},
    {LACUNA_IMPUTE_BIAS, "impute_bias"},
    {LACUNA_EVOLVE_WEIGHT, "evolve_weight"},
    {LACUNA_EVOLVE_BIAS, "evolve_bias"},
};

// Memory of the caller's own for the plan or the tape; null lets the context allocate.
struct Given {
  std::span<std::byte> workspace, tape;
};

class Lacuna : public Contestant {
 public:
  Lacuna(const Inputs& inputs, int threads, Given given = {}) : context_(open_context(threads)) {
    const lacuna_layer layer = describe(inputs.what);
    const lacuna_capacity capacity{inputs.tokens(), inputs.what.sequences, 0};
    lacuna_plan_options options{};
    options.workspace = given.workspace.data();
    options.workspace_bytes = given.workspace.size();
    lacuna_plan* plan = nullptr;
    must(lacuna_plan_create(context_.get(), &layer, &capacity, &options, &plan));
    plan_.reset(plan);
    lacuna_tape* tape = nullptr;
    must(lacuna_tape_create(plan, given.tape.data(), given.tape.size(), &tape));
    tape_.reset(tape);

    batch_.sequences = inputs.what.sequences;
    batch_.tokens = inputs.tokens();
    batch_.offsets = inputs.offsets.data();
    batch_.values = inputs["values"];
    if (inputs.what.cell == Cell::gru_d) {
      batch_.mask = inputs.mask.data();
      batch_.delta_t = inputs["delta_t"];  // the time since each feature was measured is Lacuna's
    }
    results_["hidden"] = make_tensor({inputs.tokens(), inputs.what.hidden});
    results_["d_values"] = make_tensor({inputs.tokens(), inputs.what.features});
    outputs_.hidden = results_["hidden"].data.data();
    d_inputs_.d_values = results_["d_values"].data.data();
    d_outputs_.d_hidden = inputs["d_hidden"];

    const std::vector<std::string> wanted = gradient_names(inputs.what);
    for (const auto& [kind, name] : k_parameters) {
      const auto found = inputs.tensors.find(name);
      if (found == inputs.tensors.end()) continue;
      parameters_.tensor[kind] = found->second.data.data();
      if (std::find(wanted.begin(), wanted.end(), name) == wanted.end()) continue;
      Tensor& gradient = results_[std::string("d_") + name] = make_tensor(found->second.shape);
      d_parameters_.tensor[kind] = gradient.data.data();
    }
  }

  void step() override {
    must(lacuna_forward(plan_.get(), &parameters_, &batch_, &outputs_, tape_.get(), nullptr));
    must(lacuna_backward(plan_.get(), &parameters_, &batch_, &d_outputs_, tape_.get(),
                         &d_parameters_, &d_inputs_, nullptr));
  }

  Tensors results() override {
    for (auto& [name, tensor] : results_) {
      const bool written = name == "hidden" || name == "d_values";
      std::fill(tensor.data.begin(), tensor.data.end(),
                written ? std::numeric_limits<float>::quiet_NaN() : 0.0f);
    }
    step();
    return results_;
  }

  lacuna_context_info context() const {
    lacuna_context_info info{};
    must(lacuna_context_query(context_.get(), &info));
    return info;
  }

  lacuna_plan_info plan() const {
    lacuna_plan_info info{};
    must(lacuna_plan_query(plan_.get(), &info));
    return info;
  }

 private:
  Owned<lacuna_context> context_;
  Owned<lacuna_plan> plan_;
  Owned<lacuna_tape> tape_;
  lacuna_parameters parameters_{};
  lacuna_parameter_gradients d_parameters_{};
  lacuna_batch batch_{};
  lacuna_outputs outputs_{};
  lacuna_output_gradients d_outputs_{};
  lacuna_input_gradients d_inputs_{};
  Tensors results_;
};

// A block filled with a pattern, so that what was written can be told afterwards.
class Marked {
 public:
  explicit Marked(std::size_t bytes)
      : bytes_(bytes),
        block_(static_cast<std::byte*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64))) {
    if (!block_) throw std::bad_alloc();
    std::memset(block_.get(), k_pattern, bytes_);
  }
  std::span<std::byte> span() { return {block_.get(), bytes_}; }

  // Up to the last byte written. The pattern may be written by chance, so ends are rounded up to
  // the 64 bytes that every part of a plan's layout is aligned to.
  std::size_t used() const {
    std::size_t end = bytes_;
    while (end > 0 && block_.get()[end - 1] == std::byte{k_pattern}) --end;
    return std::min((end + 63) / 64 * 64, bytes_);
  }

 private:
  static constexpr unsigned char k_pattern = 0xa5;
  struct Free {
    void operator()(std::byte* block) const { std::free(block); }
  };
  std::size_t bytes_;
  std::unique_ptr<std::byte, Free> block_;
};

// A line of /proc/self/status in bytes; 0 where there is no such file.
std::size_t status_bytes(const char* key) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(key, 0) == 0) return std::stoull(line.substr(std::strlen(key))) * 1024;
  }
  return 0;
}

}  // namespace

std::unique_ptr<Contestant> make_lacuna(const Inputs& inputs, int threads) {
  return std::make_unique<Lacuna>(inputs, threads);
}

Library about_lacuna() {
  lacuna_context_info info{};
  try {
    must(lacuna_context_query(open_context(1).get(), &info));
  } catch (const std::exception&) {
    return {"lacuna", ""};
  }
  const char* isa = info.isa == LACUNA_ISA_AVX512 ? "AVX-512"
                    : info.isa == LACUNA_ISA_AVX2 ? "AVX2"
                                                  : "baseline";
  return {"lacuna", std::string(lacuna_version()) + ", " + isa};
}

Memory measure_memory(const Inputs& inputs, int threads) {
  Memory memory;
  malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << 5;  // the peak starts from here
  const std::size_t before = status_bytes("VmRSS:");
  {
    Lacuna lacuna(inputs, threads);
    lacuna.step();
    const std::size_t allocations = lacuna.context().allocations;
    lacuna.step();
    memory.peak = status_bytes("VmHWM:") - before;
    memory.allocations_in_run = lacuna.context().allocations - allocations;
    memory.taken = lacuna.context().bytes_in_use;
    memory.workspace = lacuna.plan().workspace_bytes;
    memory.tape = lacuna.plan().tape_bytes;
  }
  Marked workspace(memory.workspace), tape(memory.tape);
  Lacuna lacuna(inputs, threads, {workspace.span(), tape.span()});
  lacuna.step();
  memory.workspace_used = workspace.used();
  memory.tape_used = tape.used();
  return memory;
}

}  // namespace bench
