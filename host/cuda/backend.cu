#include "host/cuda/backend.h"

#include "host/cuda/device.h"
#include "host/cuda/engine.h"
#include "host/cuda/layout.h"
#include "host/cuda/training.h"
#include "host/memory/caller_memory.h"

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

class CudaBackend final : public Backend {
 public:
  CudaBackend(int device, const lacuna_allocator& table) : device_(device), table_(table) {
    if (table.allocate)
      memory_ = std::make_unique<memory::CallerMemory>(table);
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
  bool reads_on_host() const override { return false; }
  std::string refuse_address(const void* address) const override {
    return device_.refuse_address(address);
  }

  Recipe plan(const lacuna_layer& layer, const lacuna_capacity& capacity,
              bool inference) const override {
    return make_recipe(layer, capacity, inference, facts_for(capacity));
  }
  std::string explain(const Recipe& recipe) const override {
    return cuda::explain(recipe, facts_for(recipe.capacity));
  }
  std::unique_ptr<Prepared> prepare(const Recipe& recipe) override {
    return std::make_unique<PreparedPlan>(device_.make_choices(), recipe.capacity.sequences);
  }

  void forward(const ForwardRun& run) override {
    queue("forward", [&] {
      with_type(run.recipe.layer.type, [&]<class T> { Engine<T>::forward(device_, run); });
    });
  }
  void backward(const BackwardRun& run) override {
    queue("backward", [&] {
      with_type(run.recipe.layer.type, [&]<class T> { Engine<T>::backward(device_, run); });
    });
  }

  void linear_forward(const LinearForwardRun& run) override {
    queue("linear_forward", [&] { with_type(run.type, [&]<class T> { queue_linear<T>(run); }); });
  }
  void linear_backward(const LinearBackwardRun& run) override {
    queue("linear_backward", [&] {
      with_type(run.type, [&]<class T> { queue_linear_backward<T>(scratch(run.stream), run); });
    });
  }
  void loss(const LossRun& run) override {
    queue("loss",
          [&] { with_type(run.type, [&]<class T> { queue_loss<T>(scratch(run.stream), run); }); });
  }
  void clip_gradient_norm(const ClipRun& run) override {
    queue("clip_gradient_norm", [&] { queue_clip(scratch(run.stream), run); });
  }
  void adam_step(const AdamRun& run) override {
    queue("adam_step", [&] { queue_adam(run); });
  }
  void pack(const PackRun& run) override {
    queue("pack", [&] { queue_pack(run); });
  }
  void unpack(const UnpackRun& run) override {
    queue("unpack", [&] { queue_unpack(run); });
  }

 private:
  DeviceFacts facts_for(const lacuna_capacity& capacity) const {
    if (capacity.sequences > std::numeric_limits<std::int32_t>::max())
      throw std::length_error("more sequences than the device sorts");
    const Device::Current current(device_);
    return {.sort_bytes = device_.sort_bytes(capacity.sequences),
            .product_bytes = device_.product_bytes(),
            .name = device_.name()};
  }

  Scratch scratch(void* stream) const {
    return Scratch(device_, table_, static_cast<simt::Stream>(stream));
  }

  // A launch that fails names itself; what was asked for is added here.
  template <class Work>
  void queue(const char* what, Work&& work) const {
    const Device::Current current(device_);
    try {
      work();
    } catch (const simt::LaunchError& error) {
      throw BackendError(LACUNA_DEVICE_ERROR, std::string(what) + ": " + error.what());
    } catch (const BackendError& error) {
      throw BackendError(error.status, std::string(what) + ": " + error.what());
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
