#include "host/cpu/run.h"

#include <algorithm>
#include <cmath>

#include "host/cpu/engine/engine.h"
#include "host/cpu/engine/job.h"
#include "host/cpu/targets.h"
#include "host/plan/shape.h"
#include "kernels/cells/activations.h"

namespace lacuna::cpu {
namespace {

template <class T>
const Engine<T>& engine(lacuna_isa isa);

template <>
const Engine<float>& engine(lacuna_isa isa) {
#if defined(__x86_64__) && !LACUNA_BASELINE_ONLY
  if (isa == LACUNA_ISA_AVX512) return engine_f32_avx512();
  if (isa == LACUNA_ISA_AVX2) return engine_f32_avx2();
#endif
  (void)isa;
  return engine_f32_baseline();
}

template <>
const Engine<double>& engine(lacuna_isa isa) {
#if defined(__x86_64__) && !LACUNA_BASELINE_ONLY
  if (isa == LACUNA_ISA_AVX512) return engine_f64_avx512();
  if (isa == LACUNA_ISA_AVX2) return engine_f64_avx2();
#endif
  (void)isa;
  return engine_f64_baseline();
}

template <class T>
T* at(std::byte* block, std::size_t offset) {
  return reinterpret_cast<T*>(block + offset);
}

template <class T>
Job<T> describe(const Recipe& recipe, const lacuna_parameters& parameters,
                const lacuna_batch& batch, std::int64_t first_position, std::byte* tape,
                std::byte* workspace) {
  const Layout& lay = recipe.layout;
  Job<T> job;
  job.layer = recipe.layer;
  job.layout = &lay;
  job.sequences = batch.sequences;
  job.tokens = batch.tokens;
  job.offsets = batch.offsets;
  job.values = static_cast<const T*>(batch.values);
  job.mask = batch.mask;
  job.fires = batch.fires;
  job.delta_t = static_cast<const T*>(batch.delta_t);
  job.times = batch.times;
  job.delta = static_cast<const T*>(batch.delta);
  job.initial_hidden = static_cast<const T*>(batch.initial_hidden);
  job.initial_cell = static_cast<const T*>(batch.initial_cell);
  job.carry_in = {static_cast<const T*>(batch.carry_in.last_values),
                  static_cast<const T*>(batch.carry_in.since), batch.carry_in.last_time,
                  static_cast<const T*>(batch.carry_in.first_gap)};
  job.noise.seed = batch.noise.seed;
  job.names = {batch.noise.sequence, batch.noise.position};
  job.first_position = first_position;
  for (int k = 0; k < LACUNA_PARAMETERS; ++k)
    job.parameter[k] = static_cast<const T*>(parameters.tensor[k]);
  if (tape != nullptr) {
    job.operands = at<T>(tape, lay.tape.operands);
    job.gates = at<T>(tape, lay.tape.gates);
    job.cells = at<T>(tape, lay.tape.cells);
    job.decay = at<T>(tape, lay.tape.decay);
    job.norm_factors = at<T>(tape, lay.tape.norm_factors);
  }
  job.relax_rate = at<T>(workspace, lay.workspace.prepared);
  job.relax_target = job.relax_rate + lay.relaxed;
  job.impute_weight = job.relax_target + lay.relaxed;
  job.impute_bias = job.impute_weight + lay.channels;
  job.mean = job.impute_bias + lay.channels;
  job.norm.gain_x = job.mean + lay.channels;
  job.norm.gain_h = job.norm.gain_x + lay.norm_gates * lay.units;
  job.norm.bias = job.norm.gain_h + lay.norm_gates * lay.units;
  job.norm.bias_hn = job.norm.bias + lay.norm_gates * lay.units;
  job.norm.gain_c = job.norm.bias_hn + lay.units;
  job.norm.bias_c = job.norm.gain_c + lay.units;
  job.norm.present = job.norm.bias_c + lay.units;
  job.lanes =
      place_lanes(workspace + lay.workspace.lanes, batch.sequences, lay.groups, lay.max_lanes);
  job.workers = at<T>(workspace, lay.workspace.workers);
  job.worker_elements = lay.workspace.worker_bytes / sizeof(T);
  return job;
}

// A vector parameter, padded; null reads as zeros.
template <class T>
void copy_padded(const T* from, std::int64_t count, std::int64_t padded, T* to) {
  std::fill_n(to, padded, T(0));
  if (from != nullptr) std::copy_n(from, count, to);
}

template <class T>
void prepare_vectors(const Job<T>& job) {
  const Layout& lay = *job.layout;
  const bool relaxes = job.layer.evolve == LACUNA_EVOLVE_RELAX;
  const auto prepare_relax = [&](bool present, std::int64_t first, std::int64_t count,
                                 std::int64_t at, std::int64_t padded) {
    const T* lambda = present ? job.parameter[LACUNA_EVOLVE_WEIGHT] + first : nullptr;
    const T* target = present ? job.parameter[LACUNA_EVOLVE_TARGET] + first : nullptr;
    copy_padded(target, count, padded, job.relax_target + at);
    copy_padded(lambda, count, padded, job.relax_rate + at);
    if (present)
      std::transform(lambda, lambda + count, job.relax_rate + at, [](T x) { return softplus(x); });
  };
  prepare_relax(relaxes, 0, lay.outputs, 0, lay.output_units);
  prepare_relax(relaxes && job.layer.cell == LACUNA_LSTM, lay.outputs, lay.hidden, lay.output_units,
                lay.units);
  copy_padded(job.parameter[LACUNA_IMPUTE_WEIGHT], lay.features, lay.channels, job.impute_weight);
  copy_padded(job.parameter[LACUNA_IMPUTE_BIAS], lay.features, lay.channels, job.impute_bias);
  copy_padded(job.parameter[LACUNA_X_MEAN], lay.features, lay.channels, job.mean);
  if (job.layer.impute == LACUNA_IMPUTE_RELAX)
    std::transform(job.impute_weight, job.impute_weight + lay.features, job.impute_weight,
                   [](T x) { return softplus(x); });
}

template <class T>
void prepare_norm(const Job<T>& job) {
  const Layout& lay = *job.layout;
  const auto copy = [&](lacuna_parameter kind, std::int64_t count, T* to) {
    const T* const from = job.parameter[kind];
    for (std::int64_t g = 0; g < count; ++g)
      copy_padded(from != nullptr ? from + g * lay.hidden : nullptr, lay.hidden, lay.units,
                  to + g * lay.units);
  };
  copy(LACUNA_NORM_GAIN_X, lay.norm_gates, job.norm.gain_x);
  copy(LACUNA_NORM_GAIN_H, lay.norm_gates, job.norm.gain_h);
  copy(LACUNA_BIAS, lay.norm_gates, job.norm.bias);
  copy(LACUNA_BIAS_HN, 1, job.norm.bias_hn);
  copy(LACUNA_NORM_GAIN_C, 1, job.norm.gain_c);
  copy(LACUNA_NORM_BIAS_C, 1, job.norm.bias_c);
  std::fill_n(job.norm.present, lay.units, T(0));
  std::fill_n(job.norm.present, lay.hidden, T(1));
}

template <class T>
void prepare(Job<T>& job) {
  prepare_vectors(job);
  if (job.layer.layer_norm != 0) prepare_norm(job);
  deal(job.lanes,
       {job.offsets, static_cast<std::size_t>(job.sequences > 0 ? job.sequences + 1 : 0)});
}

template <class T>
T* worker_memory(const Job<T>& job, int worker) {
  return job.workers + static_cast<std::size_t>(worker) * job.worker_elements;
}

// Sequences of no tokens: their initial state is their final one, and their context passes through.
template <class T>
void forward_empty(const Job<T>& job) {
  const std::int64_t r = job.layout->outputs, h = job.layout->hidden, d = job.layout->features;
  const auto pass = [](const auto* from, std::int64_t b, std::int64_t width, auto* to,
                       auto absent) {
    if (to == nullptr) return;
    if (from != nullptr) {
      std::copy_n(from + b * width, width, to + b * width);
    } else {
      std::fill_n(to + b * width, width, absent);
    }
  };
  for (std::int64_t i = job.lanes.empty_first; i < job.sequences; ++i) {
    const std::int64_t b = job.lanes.order[i];
    pass(job.initial_hidden, b, r, job.final_hidden, T(0));
    pass(job.initial_cell, b, h, job.final_cell, T(0));
    pass(job.carry_in.last_values, b, d, job.carry_out.last_values, static_cast<T>(NAN));
    pass(job.carry_in.since, b, d, job.carry_out.since, T(0));
    pass(job.carry_in.first_gap, b, 1, job.carry_out.first_gap, T(0));
    pass(job.carry_in.last_time, b, 1, job.carry_out.last_time, static_cast<double>(NAN));
  }
}

template <class T>
void backward_empty(const Job<T>& job) {
  const std::int64_t r = job.layout->outputs, h = job.layout->hidden, d = job.layout->features;
  const auto pass = [](const T* from, std::int64_t b, std::int64_t width, T* to) {
    if (to == nullptr) return;
    std::fill_n(to + b * width, width, T(0));
    if (from != nullptr) std::copy_n(from + b * width, width, to + b * width);
  };
  for (std::int64_t i = job.lanes.empty_first; i < job.sequences; ++i) {
    const std::int64_t b = job.lanes.order[i];
    pass(job.d_final_hidden, b, r, job.d_initial_hidden);
    pass(job.d_final_cell, b, h, job.d_initial_cell);
    pass(job.d_carry_out.last_values, b, d, job.d_carry_in.last_values);
    pass(job.d_carry_out.since, b, d, job.d_carry_in.since);
  }
}

template <class T>
void forward_typed(Team& team, const ForwardRun& call) {
  const Layout& lay = call.recipe.layout;
  const lacuna_outputs& outputs = call.outputs;
  std::byte* const workspace = call.workspace;
  Job<T> job = describe<T>(call.recipe, call.parameters, call.batch, call.first_position, call.tape,
                           workspace);
  job.drawn = call.drawn;
  job.hidden = static_cast<T*>(outputs.hidden);
  job.cell = static_cast<T*>(outputs.cell);
  job.evolved_hidden = static_cast<T*>(outputs.evolved_hidden);
  job.imputed = static_cast<T*>(outputs.imputed);
  job.final_hidden = static_cast<T*>(outputs.final_hidden);
  job.final_cell = static_cast<T*>(outputs.final_cell);
  job.carry_out = {static_cast<T*>(outputs.carry_out.last_values),
                   static_cast<T*>(outputs.carry_out.since), outputs.carry_out.last_time,
                   static_cast<T*>(outputs.carry_out.first_gap)};
  job.panel_x = at<T>(workspace, lay.workspace.panels);
  job.panel_h = job.panel_x + lay.panel_x;
  job.panel_candidate = job.panel_h + lay.panel_h;
  job.panel_decay = job.panel_candidate + lay.panel_candidate;
  job.panel_projection = job.panel_decay + lay.panel_decay;

  prepare(job);
  const Engine<T>& run = engine<T>(call.recipe.isa);
  if (job.tokens > 0)
    team.run(run.pack_forward_tasks(job),
             [&](std::int64_t task, int) { run.pack_forward(job, task); });
  team.run(lay.groups, [&](std::int64_t group, int worker) {
    run.forward_group(job, group, worker_memory(job, worker));
  });
  forward_empty(job);
}

// Sums over groups of what is one number per unit or feature.
template <class T>
void add_unit_sums(const Job<T>& job) {
  const Layout& lay = *job.layout;
  const auto total = [&](std::int64_t at) {
    T sum = T(0);
    for (std::int64_t g = 0; g < lay.groups; ++g) sum += job.unit_sums[g * lay.unit_sums + at];
    return sum;
  };
  // A rate is softplus of its parameter, whose slope is the logistic function.
  const auto add = [&](lacuna_parameter kind, std::int64_t first, std::int64_t count,
                       std::int64_t at, bool rate) {
    T* const out = job.d_parameter[kind];
    if (out == nullptr) return;
    for (std::int64_t i = first; i < first + count; ++i)
      out[i] += total(at + i - first) * (rate ? sigmoid(job.parameter[kind][i]) : T(1));
  };
  if (job.layer.evolve == LACUNA_EVOLVE_RELAX) {
    const auto add_relax = [&](std::int64_t first, std::int64_t count, std::int64_t at) {
      add(LACUNA_EVOLVE_WEIGHT, first, count, at, true);
      add(LACUNA_EVOLVE_TARGET, first, count, lay.relaxed + at, false);
    };
    add_relax(0, lay.outputs, 0);
    if (job.layer.cell == LACUNA_LSTM) add_relax(lay.outputs, lay.hidden, lay.output_units);
  }
  if (job.layer.layer_norm != 0) {
    std::int64_t at = lay.norm_sums;
    const auto add_gates = [&](lacuna_parameter kind, std::int64_t count) {
      for (std::int64_t g = 0; g < count; ++g, at += lay.units)
        add(kind, g * lay.hidden, lay.hidden, at, false);
    };
    add_gates(LACUNA_NORM_GAIN_X, lay.norm_gates);
    add_gates(LACUNA_NORM_GAIN_H, lay.norm_gates);
    add_gates(LACUNA_BIAS, lay.norm_gates);
    add_gates(LACUNA_BIAS_HN, 1);
    add_gates(LACUNA_NORM_GAIN_C, 1);
    add_gates(LACUNA_NORM_BIAS_C, 1);
  } else {
    const bool gru = job.layer.cell == LACUNA_GRU;  // whose row begins with W_hn h + b_hn
    if (gru) add(LACUNA_BIAS_HN, 0, lay.hidden, lay.bias_sums, false);
    for (std::int64_t g = 0; g < gates(job.layer.cell); ++g)
      add(LACUNA_BIAS, g * lay.hidden, lay.hidden, lay.bias_sums + (g + gru) * lay.units, false);
  }
  if (lay.elapsed_width > 0)
    add(LACUNA_EVOLVE_BIAS, 0, lay.outputs, lay.bias_sums + lay.d_exponent - lay.first_bias, false);
  if (job.wants_input) {
    const std::int64_t impute = 2 * lay.relaxed;
    add(LACUNA_IMPUTE_WEIGHT, 0, lay.features, impute, job.layer.impute == LACUNA_IMPUTE_RELAX);
    add(LACUNA_IMPUTE_BIAS, 0, lay.features, impute + lay.channels, false);
    add(LACUNA_X_MEAN, 0, lay.features, impute + 2 * lay.channels, false);
  }
}

template <class T>
void backward_typed(Team& team, const BackwardRun& call) {
  const Layout& lay = call.recipe.layout;
  const lacuna_output_gradients& d_outputs = call.d_outputs;
  const lacuna_input_gradients& d_inputs = call.d_inputs;
  std::byte* const workspace = call.workspace;
  // The engine's arrays are shared with the forward run, which writes them; the backward run does not.
  Job<T> job = describe<T>(call.recipe, call.parameters, call.batch, call.first_position,
                           const_cast<std::byte*>(call.tape), workspace);
  job.d_hidden = static_cast<const T*>(d_outputs.d_hidden);
  job.d_cell = static_cast<const T*>(d_outputs.d_cell);
  job.d_final_hidden = static_cast<const T*>(d_outputs.d_final_hidden);
  job.d_final_cell = static_cast<const T*>(d_outputs.d_final_cell);
  for (int k = 0; k < LACUNA_PARAMETERS; ++k)
    job.d_parameter[k] = static_cast<T*>(call.d_parameters.tensor[k]);
  job.d_carry_out = {static_cast<const T*>(call.d_carry_out.last_values),
                     static_cast<const T*>(call.d_carry_out.since)};
  job.d_carry_in = {static_cast<T*>(call.d_carry_in.last_values),
                    static_cast<T*>(call.d_carry_in.since)};
  job.d_values = static_cast<T*>(d_inputs.d_values);
  job.d_delta_t = static_cast<T*>(d_inputs.d_delta_t);
  job.d_initial_hidden = static_cast<T*>(d_inputs.d_initial_hidden);
  job.d_initial_cell = static_cast<T*>(d_inputs.d_initial_cell);
  job.d_hidden_norms = static_cast<T*>(call.d_hidden_norms);
  const auto wanted = [&](lacuna_parameter kind) { return job.d_parameter[kind] != nullptr; };
  job.wants_weights =
      wanted(LACUNA_WEIGHTS_X) || wanted(LACUNA_WEIGHTS_H) || wanted(LACUNA_BIAS) ||
      wanted(LACUNA_BIAS_HN) || wanted(LACUNA_PROJECTION) ||
      (lay.elapsed_width > 0 && (wanted(LACUNA_EVOLVE_WEIGHT) || wanted(LACUNA_EVOLVE_BIAS)));
  job.wants_delta = job.d_delta_t != nullptr;
  job.wants_input = job.d_values != nullptr || wanted(LACUNA_X_MEAN) ||
                    wanted(LACUNA_IMPUTE_WEIGHT) || wanted(LACUNA_IMPUTE_BIAS) || job.wants_delta;

  job.panel_h = at<T>(workspace, lay.workspace.panels);
  job.panel_candidate = job.panel_h + lay.panel_h_back;
  job.panel_x = job.panel_candidate + lay.panel_candidate_back;
  job.panel_decay = job.panel_x + lay.panel_x_back;
  job.panel_projection = job.panel_decay + lay.panel_decay_back;
  job.gradient_rows = at<T>(workspace, lay.workspace.gradient_rows);
  job.weight_sums = at<T>(workspace, lay.workspace.weight_sums);
  job.unit_sums = at<T>(workspace, lay.workspace.unit_sums);

  prepare(job);
  const Engine<T>& run = engine<T>(call.recipe.isa);
  if (job.tokens > 0)
    team.run(run.pack_backward_tasks(job),
             [&](std::int64_t task, int) { run.pack_backward(job, task); });
  team.run(lay.groups, [&](std::int64_t group, int worker) {
    run.backward_group(job, group, worker_memory(job, worker));
  });
  backward_empty(job);
  if (job.wants_weights) {
    if (!lay.windowed)
      team.run(run.weight_tasks(lay), [&](std::int64_t task, int worker) {
        run.weight_task(job, task, worker_memory(job, worker));
      });
    const WeightTargets<T> targets{job};
    team.run(lay.hidden, [&](std::int64_t unit, int) { targets.add_unit(unit); });
  }
  add_unit_sums(job);
}

}  // namespace

void forward(Team& team, const ForwardRun& run) {
  if (run.recipe.layer.type == LACUNA_F64)
    forward_typed<double>(team, run);
  else
    forward_typed<float>(team, run);
}

void backward(Team& team, const BackwardRun& run) {
  if (run.recipe.layer.type == LACUNA_F64)
    backward_typed<double>(team, run);
  else
    backward_typed<float>(team, run);
}

}  // namespace lacuna::cpu
