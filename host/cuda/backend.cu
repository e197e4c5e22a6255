#include "host/cuda/backend.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "host/cuda/caller.h"
#include "host/cuda/device.h"
#include "host/cuda/engine.h"
#include "host/cuda/explain.h"
#include "host/cuda/fork.h"
#include "host/cuda/layout.h"
#include "host/cuda/staged.h"
#include "host/cuda/training.h"
#include "host/cuda/window.h"

namespace lacuna::cuda {

int device_count() { return Device::count(); }
std::string why_no_device() { return Device::why_none(); }

namespace {

// Calls work with an Engine of the type.
template <class Work>
void with_type(lacuna_type type, Work&& work) {
  switch (type) {
    case LACUNA_F64: return work.template operator()<double>();
    case LACUNA_F16: return work.template operator()<simt::Fp16>();
    case LACUNA_BF16: return work.template operator()<simt::Bf16>();
    default: return work.template operator()<float>();
  }
}

// What a call that failed was about, for its message.
std::string shape_of(const Recipe& recipe, const lacuna_batch& batch) {
  return "; layer " + describe(recipe.layer) + "; " + std::to_string(batch.tokens) + " tokens in " +
         std::to_string(batch.sequences) + " sequences";
}
std::string shape_of(const ForwardRun& run) { return shape_of(run.recipe, run.batch); }
std::string shape_of(const BackwardRun& run) { return shape_of(run.recipe, run.batch); }
std::string shape_of(const LinearShape& shape) {
  return "; " + std::to_string(shape.rows) + " rows, " + std::to_string(shape.in) +
         " columns in, " + std::to_string(shape.out) + " out";
}
std::string shape_of(const LinearForwardRun& run) { return shape_of(run.shape); }
std::string shape_of(const LinearBackwardRun& run) { return shape_of(run.shape); }
std::string shape_of(const LossRun& run) {
  return "; " + std::to_string(run.rows) + " rows, " + std::to_string(run.columns) + " columns";
}
// Calls that are told by their name alone.
template <class Run>
std::string shape_of(const Run&) {
  return {};
}
struct OnStream {
  void* stream;
};

// More would not run at once: a recurrence has many small kernels, and its products fill the device.
constexpr int most_branches = 8;

struct Branches final : Prepared {
  explicit Branches(StreamBranchesHandle made) : handle(std::move(made)) {}
  StreamBranchesHandle handle;
};

class CudaBackend final : public Backend {
 public:
  CudaBackend(int device, const lacuna_allocator& table) : device_(device), table_(table) {
    if (table.allocate)
      memory_ = std::make_unique<CallerMemoryOn>(device_, table);
    else
      memory_ = device_.make_memory();
  }

  lacuna_backend kind() const override { return LACUNA_BACKEND_CUDA; }
  lacuna_context_info facts() const override {
    lacuna_context_info info{};
    info.backend = LACUNA_BACKEND_CUDA;
    info.device = device_.index();
    return info;
  }
  memory::Memory& memory() override { return *memory_; }
  bool computes_in(lacuna_type) const override { return true; }
  bool host_reads(const void* array) const override { return device_.is_host_memory(array); }
  std::string refuse_address(const void* address, bool memory) const override {
    return device_.refuse_address(address, !memory);
  }
  std::string refuse_host_read(const void* address) const override {
    return device_.refuse_host_read(address);
  }

  Recipe plan(const lacuna_layer& layer, const lacuna_capacity& capacity,
              const lacuna_plan_options& options, int sharers) const override {
    return make_recipe(layer, capacity, options, sharers, facts_for(capacity));
  }
  std::string explain(const Recipe& recipe) const override {
    return cuda::explain(recipe, device_.name());
  }
  std::string explain_batch(const Recipe& recipe,
                            std::span<const std::int64_t> offsets) const override {
    return cuda::explain_batch(recipe, offsets);
  }
  std::unique_ptr<Prepared> prepare(const Recipe& recipe) override {
    const Device::Current current(device_);
    StreamBranchesHandle branches;
    if (recipe.device.branches > 1) branches = device_.make_branches(recipe.device.branches);
    return std::make_unique<PreparedPlan>(device_.make_choices(), std::move(branches),
                                          recipe.capacity.sequences);
  }

  void forward(const ForwardRun& run) override {
    queue("forward", run, [&](Stage& stage) {
      if (run.staged)
        return with_type(run.recipe.layer.type, [&]<class T> { Engine<T>::forward(device_, run); });
      const auto parameters = staged(stage, run.recipe.layer, run.parameters);
      const auto batch = staged(stage, run.recipe.layer, run.batch);
      const auto outputs = staged(stage, run.recipe.layer, run.batch, run.outputs);
      const ForwardRun there{run.recipe, run.prepared, parameters,        batch,
                             outputs,    run.tape,     run.workspace,     run.stream,
                             run.staged, run.drawn,    run.first_position};
      with_type(run.recipe.layer.type, [&]<class T> { Engine<T>::forward(device_, there); });
    });
  }
  void backward(const BackwardRun& run) override {
    queue("backward", run, [&](Stage& stage) {
      const lacuna_layer& layer = run.recipe.layer;
      if (run.staged)
        return with_type(layer.type, [&]<class T> { Engine<T>::backward(device_, run); });
      const auto parameters = staged(stage, layer, run.parameters);
      const auto batch = staged(stage, layer, run.batch);
      const auto d_outputs = staged(stage, layer, run.batch, run.d_outputs);
      const auto d_parameters = staged(stage, layer, run.d_parameters);
      const auto d_inputs = staged(stage, layer, run.batch, run.d_inputs);
      const BackwardRun there{run.recipe,    run.prepared, parameters,        batch,
                              d_outputs,     run.tape,     d_parameters,      d_inputs,
                              run.workspace, run.stream,   run.d_carry_out,   run.d_carry_in,
                              nullptr,       run.staged,   run.first_position};
      with_type(layer.type, [&]<class T> { Engine<T>::backward(device_, there); });
    });
  }

  void linear_forward(const LinearForwardRun& run) override {
    queue("linear_forward", run, [&](Stage& stage) {
      const LinearForwardRun there = staged(stage, run);
      with_type(run.type, [&]<class T> { queue_linear<T>(there); });
    });
  }
  void linear_backward(const LinearBackwardRun& run) override {
    queue("linear_backward", run, [&](Stage& stage) {
      const LinearBackwardRun there = staged(stage, run);
      with_type(run.type, [&]<class T> { queue_linear_backward<T>(scratch(run.stream), there); });
    });
  }
  void loss(const LossRun& run) override {
    queue("loss", run, [&](Stage& stage) {
      const LossRun there = staged(stage, run);
      with_type(run.type, [&]<class T> { queue_loss<T>(scratch(run.stream), there); });
    });
  }
  void clip_gradient_norm(const ClipRun& run) override {
    queue("clip_gradient_norm", run, [&](Stage& stage) {
      std::vector<void*> gradients(static_cast<std::size_t>(run.arrays));
      for (std::size_t a = 0; a < gradients.size(); ++a)
        gradients[a] = stage.out(run.gradients[a], run.counts[a], wide_size_of(run.type));
      ClipRun there = run;
      there.gradients = gradients.data();
      there.norm = stage.out(run.norm, 1);
      queue_clip(scratch(run.stream), there);
    });
  }
  void adam_step(const AdamRun& run) override {
    queue("adam_step", run, [&](Stage& stage) { queue_adam(staged(stage, run)); });
  }
  void adam_step_clipped(const ClippedAdamRun& run) override {
    queue("adam_step_clipped", run, [&](Stage& stage) {
      std::vector<lacuna_adam_array> list(run.list, run.list + run.arrays);
      const std::size_t wide = wide_size_of(run.type);
      for (lacuna_adam_array& array : list) {
        array.gradients = stage.in(array.gradients, array.count, wide);
        array.parameters = stage.out(array.parameters, array.count, wide);
        array.first_moment = stage.out(array.first_moment, array.count, wide);
        array.second_moment = stage.out(array.second_moment, array.count, wide);
      }
      ClippedAdamRun there = run;
      there.list = list.data();
      there.step.loss_scale = stage.out(run.step.loss_scale, 1);
      there.norm = stage.out(run.norm, 1);
      queue_clipped_adam(scratch(run.stream), there);
    });
  }
  void pack(const PackRun& run) override {
    queue("pack", run, [&](Stage& stage) { queue_pack(staged(stage, run)); });
  }
  void unpack(const UnpackRun& run) override {
    queue("unpack", run, [&](Stage& stage) { queue_unpack(staged(stage, run)); });
  }

  void stage(void* stream, void* job, void (*work)(void* job, Staging* staging)) override {
    queue("stack", OnStream{stream}, [&](Stage& stage) { work(job, &stage); });
  }
  void rows(const RowsRun& run) override {
    queue("rows", run, [&](Stage&) { queue_rows(run); });
  }
  void measured(const MeasuredRun& run) override {
    queue("measured", run, [&](Stage&) { queue_measured(run); });
  }
  void gaps(const GapsRun& run) override {
    queue("gaps", run, [&](Stage&) { queue_gaps(run); });
  }
  void gap_gradients(const GapGradientsRun& run) override {
    queue("gap_gradients", run, [&](Stage&) { queue_gap_gradients(run); });
  }
  std::size_t window_bytes(std::int64_t sequences) const override {
    return cuda::window_bytes(sequences);
  }
  void prepare_window(const WindowRows& window, void* stream) override {
    queue("window", OnStream{stream}, [&](Stage&) { queue_window(window, stream); });
  }

  std::unique_ptr<Prepared> prepare_side_by_side(int count) override {
    if (count < 2) return nullptr;
    const Device::Current current(device_);
    return std::make_unique<Branches>(device_.make_branches(std::min(count, most_branches)));
  }
  // One thread queues all of it, a piece after the other: what they share of the host's memory is never used by two at a
  // time. On the device they run beside each other, the first on the caller's stream.
  void side_by_side(Prepared* prepared, int count, std::int64_t, void* stream, void* job,
                    void (*work)(void* job, int index, void* stream)) override {
    if (count < 2 || prepared == nullptr) {
      for (int i = 0; i < count; ++i) work(job, i, stream);
      return;
    }
    queue("side_by_side", OnStream{stream}, [&](Stage&) {
      Fork fork(device_, static_cast<simt::Stream>(stream),
                *static_cast<Branches*>(prepared)->handle, count);
      for (int i = 0; i < count; ++i) work(job, i, fork.stream(i));
      fork.join();
    });
  }

 private:
  DeviceFacts facts_for(const lacuna_capacity& capacity) const {
    if (capacity.sequences > std::numeric_limits<std::int32_t>::max())
      throw std::length_error("more sequences than the device sorts");
    const Device::Current current(device_);
    DeviceFacts facts = facts_of(device_);
    facts.sort_bytes = device_.sort_bytes(capacity.sequences);
    facts.product_bytes = device_.product_bytes();
    return facts;
  }

  Scratch scratch(void* stream) const {
    return Scratch(device_, table_, static_cast<simt::Stream>(stream));
  }

  // A launch that fails names itself; what was asked for, and of which shape, is added here.
  template <class Run, class Work>
  void queue(const char* what, const Run& run, Work&& work) const {
    const auto failed = [&](lacuna_status status, const std::exception& error) {
      return BackendError(status, std::string(what) + ": " + error.what() +
                                      (status == LACUNA_DEVICE_ERROR ? shape_of(run) : ""));
    };
    const Device::Current current(device_);
    try {
      check_stream(device_, static_cast<simt::Stream>(run.stream));
      Stage stage(device_, table_, run.stream);
      work(stage);
      stage.bring_back();
    } catch (const simt::LaunchError& error) {
      throw failed(error.out_of_memory ? LACUNA_OUT_OF_MEMORY : LACUNA_DEVICE_ERROR, error);
    } catch (const BackendError& error) {
      throw failed(error.status, error);
    }
  }

  Device device_;
  lacuna_allocator table_;
  std::unique_ptr<memory::Memory> memory_;
};

}  // namespace

std::unique_ptr<Backend> make_backend(int device, const lacuna_allocator& table) {
  return std::make_unique<CudaBackend>(device, table);
}

}  // namespace lacuna::cuda
