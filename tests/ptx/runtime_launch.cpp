// Launches: refused as a GPU would refuse them, else queued with a copy of their arguments.
#include <cstdio>
#include <cstring>

#include "ptx/runtime.h"
#include "ptx/runtime_counts.h"
#include "ptx/runtime_kernels.h"

using namespace lacuna::ptx;

namespace {

std::string words(dim3 d) {
  return std::to_string(d.x) + "x" + std::to_string(d.y) + "x" + std::to_string(d.z);
}

void refuse(bool wrong, cudaError_t code, const std::string& text) {
  if (wrong) throw Refusal{code, text};
}

void check_launch(const HostKernel& kernel, const Shape& shape) {
  const Chip& chip = Runtime::chip();
  const KernelFacts& facts = lacuna::ptx::facts(*kernel.kernel);
  const std::size_t threads = shape.block.count(), grid = shape.grid.count();
  const auto in = [&](const std::string& what) { return what + ": kernel " + kernel.name; };
  refuse(threads == 0 || threads > limits::threads || shape.block.z > 64,
         cudaErrorInvalidConfiguration, in("block of " + std::to_string(threads) + " threads"));
  refuse(threads > facts.most_threads, cudaErrorInvalidValue,
         in("block of " + std::to_string(threads) + " threads, compiled for at most " +
            std::to_string(facts.most_threads)));
  refuse(grid == 0 || shape.grid.x > 2147483647u || shape.grid.y > 65535 || shape.grid.z > 65535,
         cudaErrorInvalidConfiguration, in("grid of " + std::to_string(grid) + " blocks"));
  const std::size_t shared = facts.static_shared + shape.dynamic_shared;
  refuse(shape.dynamic_shared > kernel.dynamic_shared ||
             (shared > limits::shared_bytes && kernel.dynamic_shared <= limits::shared_bytes) ||
             shared > static_cast<std::size_t>(chip.shared_bytes_opt_in),
         cudaErrorInvalidValue,
         in(std::to_string(shared) + " bytes of shared memory, " +
            std::to_string(kernel.dynamic_shared) + " dynamic ones were allowed"));
  refuse(shape.cluster > static_cast<unsigned>(chip.largest_cluster) ||
             shape.grid.x % shape.cluster != 0 ||
             (shape.cluster > limits::portable_cluster && !kernel.any_cluster),
         cudaErrorInvalidClusterSize,
         in("clusters of " + std::to_string(shape.cluster) + " in a grid of " +
            std::to_string(shape.grid.x)));
  const auto resident =
      static_cast<std::size_t>(chip.multiprocessors) *
      static_cast<std::size_t>(limits::blocks_per_multiprocessor(chip, threads, shared));
  refuse(shape.cooperative && grid > resident, cudaErrorCooperativeLaunchTooLarge,
         in(std::to_string(grid) + " blocks, room for " + std::to_string(resident)));
}

// A launch's arguments, for as long as it waits.
class Arguments {
 public:
  Arguments(const KernelFacts& facts, void** given) {
    std::size_t bytes = 0;
    for (const Parameter& parameter : facts.parameters) bytes += aligned(parameter.bytes);
    bytes_.resize(bytes);
    std::size_t at = 0;
    for (std::size_t i = 0; i < facts.parameters.size(); ++i) {
      std::memcpy(bytes_.data() + at, given[i], facts.parameters[i].bytes);
      offsets_.push_back(at);
      at += aligned(facts.parameters[i].bytes);
    }
  }
  std::vector<const void*> pointers() const {
    std::vector<const void*> all;
    for (const std::size_t offset : offsets_) all.push_back(bytes_.data() + offset);
    return all;
  }

 private:
  static std::size_t aligned(std::size_t bytes) { return (bytes + 15) / 16 * 16; }
  std::vector<unsigned char> bytes_;
  std::vector<std::size_t> offsets_;
};

void launch(const void* stub, const Shape& shape, void** given, cudaStream_t stream) {
  const HostKernel& kernel = host_kernel(stub);
  check_launch(kernel, shape);
  if (const cudaError_t asked = Runtime::get().refused_launches; asked != cudaSuccess)
    throw Refusal{asked};
  if (Runtime::get().verbose)
    std::fprintf(stderr, "launch: %s, grid %ux%ux%u, block %ux%ux%u, %zu bytes, cluster %u\n",
                 kernel.name.c_str(), shape.grid.x, shape.grid.y, shape.grid.z, shape.block.x,
                 shape.block.y, shape.block.z, shape.dynamic_shared, shape.cluster);
  const Kernel* code = kernel.kernel;
  const Arguments arguments(facts(*code), given);
  Settings chosen;
  chosen.seed = Runtime::get().seed;
  chosen.part_lanes = Runtime::get().part_lanes;
  queue(stream_of(stream), [=, device = Runtime::device()] {
    settings() = chosen;
    run(*code, shape, arguments.pointers().data(), DeviceMemory(Runtime::get().memory, device),
        counts_of(facts(*code).name));
  });
}

Dim3 dimensions(dim3 d) { return {d.x, d.y, d.z}; }

}  // namespace

extern "C" {

cudaError_t cudaLaunchKernel(const void* stub, dim3 grid, dim3 block, void** arguments,
                             std::size_t shared_bytes, cudaStream_t stream) {
  return api_call("cudaLaunchKernel", [&] {
    launch(stub, {dimensions(grid), dimensions(block), shared_bytes}, arguments, stream);
  });
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* stub,
                                void** arguments) {
  return api_call("cudaLaunchKernelExC", [&] {
    Shape shape{dimensions(config->gridDim), dimensions(config->blockDim),
                config->dynamicSmemBytes};
    for (unsigned i = 0; i < config->numAttrs; ++i) {
      const cudaLaunchAttribute& attribute = config->attrs[i];
      switch (attribute.id) {
        case cudaLaunchAttributeIgnore: break;
        case cudaLaunchAttributeCooperative:
          shape.cooperative = attribute.val.cooperative != 0;
          break;
        case cudaLaunchAttributeClusterDimension: {
          const auto& cluster = attribute.val.clusterDim;
          if (cluster.y != 1 || cluster.z != 1)
            not_supported("a cluster of " + words({cluster.x, cluster.y, cluster.z}));
          refuse(cluster.x == 0, cudaErrorInvalidClusterSize, "clusters of no block");
          shape.cluster = cluster.x;
          break;
        }
        default: not_supported("launch attribute " + std::to_string(attribute.id));
      }
    }
    launch(stub, shape, arguments, config->stream);
  });
}

cudaError_t cudaFuncSetAttribute(const void* stub, cudaFuncAttribute attribute, int value) {
  return api_call("cudaFuncSetAttribute", [&] {
    HostKernel& kernel = host_kernel(stub);
    const std::size_t fixed = facts(*kernel.kernel).static_shared;
    switch (attribute) {
      case cudaFuncAttributeMaxDynamicSharedMemorySize:
        refuse(value < 0 || static_cast<std::size_t>(value) + fixed >
                                static_cast<std::size_t>(Runtime::chip().shared_bytes_opt_in),
               cudaErrorInvalidValue,
               std::to_string(value) + " bytes of dynamic shared memory beside " +
                   std::to_string(fixed) + " static ones: kernel " + kernel.name);
        kernel.dynamic_shared = static_cast<std::size_t>(value);
        return;
      case cudaFuncAttributeNonPortableClusterSizeAllowed:
        refuse(Runtime::chip().largest_cluster < 2, cudaErrorNotSupported,
               "clusters on a GPU that has none");
        kernel.any_cluster = value != 0;
        return;
      default: not_supported("kernel attribute " + std::to_string(attribute));
    }
  });
}

cudaError_t cudaFuncGetName(const char** name, const void* stub) {
  return api_call("cudaFuncGetName", [&] { *name = host_kernel(stub).name.c_str(); });
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* stub) {
  return api_call("cudaFuncGetAttributes", [&] {
    const HostKernel& kernel = host_kernel(stub);
    const KernelFacts& facts = lacuna::ptx::facts(*kernel.kernel);
    *attributes = {};
    attributes->sharedSizeBytes = facts.static_shared;
    attributes->localSizeBytes = facts.local;
    attributes->maxThreadsPerBlock = static_cast<int>(facts.most_threads);
    attributes->maxDynamicSharedSizeBytes = static_cast<int>(kernel.dynamic_shared);
    attributes->ptxVersion = attributes->binaryVersion = Runtime::chip().capability;
  });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* stub,
                                                                   int threads,
                                                                   std::size_t dynamic_shared,
                                                                   unsigned) {
  return api_call("cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags", [&] {
    refuse(threads <= 0 || threads > limits::threads, cudaErrorInvalidValue,
           "block of " + std::to_string(threads) + " threads");
    *blocks = limits::blocks_per_multiprocessor(
        Runtime::chip(), static_cast<std::size_t>(threads),
        facts(*host_kernel(stub).kernel).static_shared + dynamic_shared);
  });
}

cudaError_t cudaOccupancyMaxActiveClusters(int* clusters, const void*,
                                           const cudaLaunchConfig_t* launch) {
  return api_call("cudaOccupancyMaxActiveClusters", [&] {
    const Chip& chip = Runtime::chip();
    unsigned blocks = 0;
    for (unsigned i = 0; i < launch->numAttrs; ++i)
      if (launch->attrs[i].id == cudaLaunchAttributeClusterDimension)
        blocks = launch->attrs[i].val.clusterDim.x;
    refuse(chip.largest_cluster < 2, cudaErrorNotSupported, "clusters on a GPU that has none");
    refuse(blocks == 0 || blocks > static_cast<unsigned>(chip.largest_cluster),
           cudaErrorInvalidClusterSize, "cluster of " + std::to_string(blocks) + " blocks");
    *clusters = chip.multiprocessors / static_cast<int>(blocks);
  });
}

}  // extern "C"
