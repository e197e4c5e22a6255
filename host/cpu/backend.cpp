#include "host/cpu/backend.h"

#include <cstring>

#include "host/cpu/rows.h"
#include "host/cpu/run.h"
#include "host/cpu/team.h"
#include "host/training/linear.h"
#include "host/training/loss.h"
#include "host/training/optimiser.h"

namespace lacuna::cpu {
namespace {

// Calls work with a null pointer of the type that the caller's arrays have.
template <class Work>
void with_type(lacuna_type type, Work&& work) {
  if (type == LACUNA_F64)
    work(static_cast<double*>(nullptr));
  else
    work(static_cast<float*>(nullptr));
}

// A sequence's rows lie back to back in both forms.
struct Piece {
  std::size_t packed, padded, bytes;
};

Piece piece(const PaddedShape& shape, std::int64_t sequence, std::int64_t begin, std::int64_t end) {
  const auto row = static_cast<std::size_t>(shape.row_bytes);
  return {static_cast<std::size_t>(begin) * row,
          static_cast<std::size_t>(sequence * shape.max_length) * row,
          static_cast<std::size_t>(end - begin) * row};
}

class CpuBackend final : public Backend {
 public:
  CpuBackend(int threads, lacuna_isa isa, std::unique_ptr<memory::Memory> memory)
      : isa_(isa), memory_(std::move(memory)), team_(threads) {}

  lacuna_backend kind() const override { return LACUNA_BACKEND_CPU; }
  lacuna_context_info facts() const override {
    lacuna_context_info info{};
    info.backend = LACUNA_BACKEND_CPU;
    info.threads = team_.size();
    info.isa = isa_;
    info.device = -1;
    return info;
  }
  memory::Memory& memory() override { return *memory_; }
  bool computes_in(lacuna_type type) const override {
    return type == LACUNA_F32 || type == LACUNA_F64;
  }
  bool host_reads(const void*) const override { return true; }

  Recipe plan(const lacuna_layer& layer, const lacuna_capacity& capacity,
              const lacuna_plan_options& options, int /*sharers*/) const override {
    if (options.regime != LACUNA_REGIME_BEST)
      throw BackendError(LACUNA_UNSUPPORTED,
                         "options.regime: " + std::to_string(options.regime) +
                             ", expected 0: the CPU backend has one way to walk the tokens");
    if (options.precision != LACUNA_PRECISION_DEFAULT)
      throw BackendError(LACUNA_UNSUPPORTED,
                         "options.precision: " + std::to_string(options.precision) +
                             ", expected 0: the CPU backend multiplies in the layer's type");
    if (options.tape != LACUNA_TAPE_BEST || options.tape_budget != 0)
      throw BackendError(LACUNA_UNSUPPORTED,
                         options.tape != LACUNA_TAPE_BEST
                             ? "options.tape: " + std::to_string(options.tape) +
                                   ", expected 0: the CPU backend has one kind of tape"
                             : "options.tape_budget: " + std::to_string(options.tape_budget) +
                                   ", expected 0: the CPU backend has one kind of tape");
    return make_recipe(layer, capacity, options.inference != 0, isa_, team_.size());
  }
  std::string explain(const Recipe& recipe) const override { return lacuna::explain(recipe); }

  void forward(const ForwardRun& run) override { cpu::forward(team_, run); }
  void backward(const BackwardRun& run) override { cpu::backward(team_, run); }

  void linear_forward(const LinearForwardRun& run) override {
    with_type(run.type, [&]<class Real>(Real*) {
      training::linear_forward(team_, run.shape, static_cast<const Real*>(run.x),
                               static_cast<const Real*>(run.weights),
                               static_cast<const Real*>(run.bias), static_cast<Real*>(run.y));
    });
  }
  void linear_backward(const LinearBackwardRun& run) override {
    with_type(run.type, [&]<class Real>(Real*) {
      training::linear_backward(team_, run.shape, static_cast<const Real*>(run.x),
                                static_cast<const Real*>(run.weights),
                                static_cast<const Real*>(run.d_y), static_cast<Real*>(run.d_x),
                                static_cast<Real*>(run.d_weights), static_cast<Real*>(run.d_bias));
    });
  }
  void loss(const LossRun& run) override {
    with_type(run.type, [&]<class Real>(Real*) {
      const auto* const predictions = static_cast<const Real*>(run.predictions);
      auto* const d_predictions = static_cast<Real*>(run.d_predictions);
      const double scale = run.loss_scale ? run.scale * run.loss_scale->scale : run.scale;
      const training::LossSum sum =
          run.per_row()
              ? training::cross_entropy(team_, run.rows, run.columns, predictions,
                                        static_cast<const std::int32_t*>(run.targets), run.mask,
                                        scale, d_predictions)
              : training::elementwise_loss(team_, run.kind, run.rows * run.columns, predictions,
                                           static_cast<const Real*>(run.targets), run.mask, scale,
                                           d_predictions);
      *run.loss = sum.loss;
      *run.count = sum.count;
    });
  }
  void clip_gradient_norm(const ClipRun& run) override {
    with_type(run.type, [&]<class Real>(Real*) {
      const double before = training::clip_gradient_norm<Real>(team_, run.arrays, run.gradients,
                                                               run.counts, run.max_norm);
      if (run.norm != nullptr) *run.norm = before;
    });
  }
  void adam_step(const AdamRun& run) override {
    with_type(run.type, [&]<class Real>(Real*) {
      training::adam_step(team_, run.adam, run.count, static_cast<const Real*>(run.gradients),
                          static_cast<Real*>(run.parameters), static_cast<Real*>(run.first_moment),
                          static_cast<Real*>(run.second_moment));
    });
  }

  void adam_step_clipped(const ClippedAdamRun& run) override {
    with_type(run.type, [&]<class Real>(Real*) {
      const double before =
          training::adam_step_clipped<Real>(team_, run.step, run.arrays, run.list);
      if (run.norm != nullptr) *run.norm = before;
    });
  }

  void pack(const PackRun& run) override {
    const PaddedShape& shape = run.shape;
    run.offsets[0] = 0;
    for (std::int64_t b = 0; b < shape.sequences; ++b)
      run.offsets[b + 1] = run.offsets[b] + run.lengths[b];
    if (run.packed == nullptr || run.padded == nullptr) return;
    team_.run(shape.sequences, [&](std::int64_t b, int) {
      const Piece rows = piece(shape, b, run.offsets[b], run.offsets[b + 1]);
      if (rows.bytes > 0)
        std::memcpy(run.packed + rows.packed, run.padded + rows.padded, rows.bytes);
    });
  }
  void unpack(const UnpackRun& run) override {
    const PaddedShape& shape = run.shape;
    const std::size_t sequence_bytes =
        static_cast<std::size_t>(shape.max_length) * static_cast<std::size_t>(shape.row_bytes);
    if (sequence_bytes == 0) return;
    team_.run(shape.sequences, [&](std::int64_t b, int) {
      const Piece rows = piece(shape, b, run.offsets[b], run.offsets[b + 1]);
      if (rows.bytes > 0)
        std::memcpy(run.padded + rows.padded, run.packed + rows.packed, rows.bytes);
      std::memset(run.padded + rows.padded + rows.bytes, 0, sequence_bytes - rows.bytes);
    });
  }

  void rows(const RowsRun& run) override { cpu::rows(team_, run); }
  void measured(const MeasuredRun& run) override { cpu::measured(team_, run); }
  void gaps(const GapsRun& run) override { cpu::gaps(team_, run); }
  void gap_gradients(const GapGradientsRun& run) override { cpu::gap_gradients(team_, run); }

  // Whole pieces for each thread wait for nobody inside; but pieces that have many parts for each thread are spread
  // more evenly one after the other.
  void side_by_side(Prepared*, int count, std::int64_t parts, void* stream, void* job,
                    void (*work)(void* job, int index, void* stream)) override {
    if (parts >= std::int64_t{4} * team_.size()) {
      for (int i = 0; i < count; ++i) work(job, i, stream);
      return;
    }
    team_.run(count, [&](std::int64_t i, int) { work(job, static_cast<int>(i), stream); });
  }

 private:
  lacuna_isa isa_;
  std::unique_ptr<memory::Memory> memory_;
  Team team_;
};

}  // namespace

std::unique_ptr<Backend> make_backend(int threads, lacuna_isa isa,
                                      std::unique_ptr<memory::Memory> memory) {
  return std::make_unique<CpuBackend>(threads, isa, std::move(memory));
}

}  // namespace lacuna::cpu
