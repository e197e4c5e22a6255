// lacuna_bench. On its own it is a Google Benchmark program: every case, for Lacuna and for each
// peer in this process, on one thread and on two; a benchmark is called CASE/WHO/THREADS and starts
// only after its result has been compared with Lacuna's. With --worker it serves bench/cpu.py,
// which alternates it with the peers that live in Python.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "bench/contestant.h"
#include "bench/worker.h"

namespace {

// Benchmarks run in the order they were registered, so the latest case is the one to keep.
struct Latest {
  std::string name;
  std::unique_ptr<bench::Inputs> inputs;
  bench::Tensors reference;  // Lacuna's results, on one thread
};

const Latest& latest(const std::string& name) {
  static Latest kept;
  if (kept.name != name) {
    kept = {};
    kept.inputs = std::make_unique<bench::Inputs>(bench::make_inputs(bench::parse_case(name)));
    kept.reference = bench::make_lacuna(*kept.inputs, 1)->results();
    bench::prove_comparer(kept.reference, kept.inputs->tolerance());
    kept.name = name;
  }
  return kept;
}

void run(benchmark::State& state, const std::string& name, const std::string& who, int threads) {
  try {
    const Latest& now = latest(name);
    const auto contestant = bench::make_contestant(who, *now.inputs, threads);
    const bench::Difference difference =
        bench::compare(now.reference, contestant->results(), now.inputs->tolerance());
    if (!difference.ok) throw std::runtime_error("wrong " + difference.tensor);
    for (auto _ : state) contestant->step();
    using Counter = benchmark::Counter;
    state.counters["flops"] = Counter(now.inputs->operations(), Counter::kIsIterationInvariantRate);
    state.counters["tokens"] =
        Counter(static_cast<double>(now.inputs->tokens()), Counter::kIsIterationInvariantRate);
  } catch (const std::exception& error) {
    state.SkipWithError(error.what());
  }
}

void run_sgemm(benchmark::State& state, int threads) {
  try {
    const auto contestant = bench::make_sgemm(threads);
    for (auto _ : state) contestant->step();
    state.counters["flops"] = benchmark::Counter(bench::k_sgemm_operations,
                                                 benchmark::Counter::kIsIterationInvariantRate);
  } catch (const std::exception& error) {
    state.SkipWithError(error.what());
  }
}

void register_all(const std::vector<std::string>& cases) {
  std::vector<int> thread_counts{1};
  if (std::thread::hardware_concurrency() > 1) thread_counts.push_back(2);
  for (const int threads : thread_counts) {
    benchmark::RegisterBenchmark(("sgemm_1024/" + std::to_string(threads)).c_str(), run_sgemm,
                                 threads)
        ->UseRealTime();
  }
  for (const std::string& name : cases) {
    for (const int threads : thread_counts) {
      for (const char* who : {"lacuna", "onednn"}) {
        const bench::Case what = bench::parse_case(name);
        const bool has_peer = !what.ragged() && what.cell != bench::Cell::gru_d;
        if (!std::strcmp(who, "onednn") && !(has_peer && !bench::about_onednn().version.empty()))
          continue;
        benchmark::RegisterBenchmark((name + "/" + who + "/" + std::to_string(threads)).c_str(),
                                     run, name, who, threads)
            ->UseRealTime()
            ->Unit(benchmark::kMillisecond);
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    std::vector<std::string> cases = bench::standard_cases();
    for (int i = 1; i < argc; ++i) {
      const std::string argument = argv[i];
      if (argument == "--worker" && i + 1 < argc)
        return bench::serve(std::max(1, std::atoi(argv[i + 1])));
      if (argument.rfind("--case=", 0) == 0) {  // any other case string
        cases = {bench::case_name(bench::parse_case(argument.substr(7)))};
        std::rotate(argv + i, argv + i + 1, argv + argc);
        --argc, --i;
      }
    }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    register_all(cases);
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "lacuna_bench: %s\n", error.what());
    return 1;
  }
  return 0;
}
