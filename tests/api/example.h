// One small run through the C ABI with every array it can have, for tests that spoil one argument
// at a time: what must be refused, what must stay untouched, and what must come out again
// afterwards.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "lacuna/lacuna.h"
#include "support/backend.h"

namespace api_tests {

template <class Real>
constexpr lacuna_type type_of = sizeof(Real) == sizeof(double) ? LACUNA_F64 : LACUNA_F32;

// Everything a run reads and writes. A batch of lengths 3, 0, 1, 4: eight tokens in four sequences.
template <class Real>
class Example {
 public:
  explicit Example(lacuna_layer of, std::vector<std::int64_t> lengths = {3, 0, 1, 4},
                   unsigned seed = 1)
      : layer(of), random_(seed) {
    layer.type = type_of<Real>;
    for (const std::int64_t length : lengths) offsets.push_back(offsets.back() + length);
    const std::size_t B = lengths.size(), N = static_cast<std::size_t>(offsets.back());
    const auto D = static_cast<std::size_t>(layer.features),
               H = static_cast<std::size_t>(layer.hidden),
               R = static_cast<std::size_t>(output_width());

    std::int64_t count = 0;
    EXPECT_EQ(lacuna_layer_parameter_count(&layer, &count), LACUNA_OK) << lacuna_last_error();
    parameter_values.resize(static_cast<std::size_t>(count));
    EXPECT_EQ(lacuna_layer_initialize(&layer, seed, parameter_values.data()), LACUNA_OK);
    d_parameter_values.assign(parameter_values.size(), 0);

    values = numbers(N * D, -1, 1);
    mask.resize(N * D);
    for (std::size_t i = 0; i < mask.size(); ++i) {
      mask[i] = random_() % 3 > 0;
      if (!mask[i]) values[i] = std::numeric_limits<Real>::quiet_NaN();
    }
    if (layer.impute == LACUNA_IMPUTE_NONE) values = numbers(N * D, -1, 1);
    for (std::size_t s = 0; s < N; ++s) fires.push_back(s % 3 > 0);
    delta_t = numbers(N, 0, 2);
    delta = numbers(N * D, 0, 2);
    for (std::size_t b = 0; b < B; ++b) {
      double time = 1.7e9;
      for (std::int64_t s = offsets[b]; s < offsets[b + 1]; ++s) times.push_back(time += 0.5);
      last_time.push_back(1.7e9);
    }
    initial_hidden = numbers(B * R, -1, 1);
    initial_cell = numbers(B * H, -1, 1);
    last_values = numbers(B * D, -1, 1);
    since = numbers(B * D, 0, 2);
    first_gap = numbers(B, 0, 2);

    hidden.resize(N * R), cell.resize(N * H), evolved_hidden.resize(N * R), imputed.resize(N * D);
    final_hidden.resize(B * R), final_cell.resize(B * H);
    out_last_values.resize(B * D), out_since.resize(B * D), out_last_time.resize(B),
        out_first_gap.resize(B);
    d_hidden = numbers(N * R, -1, 1), d_cell = numbers(N * H, -1, 1);
    d_final_hidden = numbers(B * R, -1, 1), d_final_cell = numbers(B * H, -1, 1);
    d_values.resize(N * D), d_delta_t.resize(N), d_initial_hidden.resize(B * R),
        d_initial_cell.resize(B * H);
    poison();
  }

  bool is_lstm() const { return layer.cell == LACUNA_LSTM; }
  std::int64_t output_width() const {
    return layer.projection > 0 ? layer.projection : layer.hidden;
  }
  bool has_mask() const { return layer.impute != LACUNA_IMPUTE_NONE; }

  lacuna_parameters parameters() const {
    lacuna_parameters all{};
    each_tensor([&](int kind, std::int64_t offset) {
      all.tensor[kind] = parameter_values.data() + offset;
    });
    return all;
  }
  lacuna_parameter_gradients d_parameters() {
    lacuna_parameter_gradients all{};
    each_tensor([&](int kind, std::int64_t offset) {
      all.tensor[kind] = d_parameter_values.data() + offset;
    });
    return all;
  }
  // With delta_t; not with delta.
  lacuna_batch batch() {
    lacuna_batch all{};
    all.sequences = static_cast<std::int64_t>(offsets.size()) - 1;
    all.tokens = offsets.back();
    all.offsets = offsets.data();
    all.values = values.data();
    all.mask = has_mask() ? mask.data() : nullptr;
    if (!has_mask() && layer.empty_rows == LACUNA_EMPTY_ROWS_EVOLVE_ONLY) all.fires = fires.data();
    all.delta_t = delta_t.data();
    all.initial_hidden = initial_hidden.data();
    all.initial_cell = is_lstm() ? initial_cell.data() : nullptr;
    if (has_mask()) all.carry_in = {last_values.data(), since.data(), nullptr, nullptr};
    return all;
  }
  lacuna_outputs outputs() {
    lacuna_outputs all{};
    all.hidden = hidden.data();
    all.evolved_hidden = evolved_hidden.data();
    all.imputed = imputed.data();
    all.final_hidden = final_hidden.data();
    if (is_lstm()) all.cell = cell.data(), all.final_cell = final_cell.data();
    if (has_mask()) all.carry_out = {out_last_values.data(), out_since.data(), nullptr, nullptr};
    return all;
  }
  lacuna_output_gradients d_outputs() const {
    return {d_hidden.data(), is_lstm() ? d_cell.data() : nullptr, d_final_hidden.data(),
            is_lstm() ? d_final_cell.data() : nullptr};
  }
  lacuna_input_gradients d_inputs() {
    return {d_values.data(), d_delta_t.data(), d_initial_hidden.data(),
            is_lstm() ? d_initial_cell.data() : nullptr};
  }

  lacuna_capacity capacity() const {
    return {offsets.back(), static_cast<std::int64_t>(offsets.size()) - 1};
  }

  lacuna_status forward(lacuna_plan* plan, lacuna_tape* tape) {
    const auto all_parameters = parameters();
    const auto all_batch = batch();
    const auto all_outputs = outputs();
    return lacuna_forward(plan, &all_parameters, &all_batch, &all_outputs, tape, nullptr);
  }
  lacuna_status backward(lacuna_plan* plan, const lacuna_tape* tape) {
    const auto all_parameters = parameters();
    const auto all_batch = batch();
    const auto all_d_outputs = d_outputs();
    const auto all_d_parameters = d_parameters();
    const auto all_d_inputs = d_inputs();
    return lacuna_backward(plan, &all_parameters, &all_batch, &all_d_outputs, tape,
                           &all_d_parameters, &all_d_inputs, nullptr);
  }

  // Fills what a run writes with a pattern that no run leaves behind.
  void poison() {
    for (auto* array : written()) fill(array->data(), array->size() * sizeof(Real));
    fill(out_last_time.data(), out_last_time.size() * sizeof(double));
  }
  bool is_untouched() {
    for (auto* array : written())
      if (!is_poison(array->data(), array->size() * sizeof(Real))) return false;
    return is_poison(out_last_time.data(), out_last_time.size() * sizeof(double));
  }
  // The bytes of everything a run writes, for comparing runs bit by bit.
  std::string bytes() {
    std::string all;
    for (auto* array : written())
      all.append(reinterpret_cast<const char*>(array->data()), array->size() * sizeof(Real));
    return all;
  }

  std::vector<Real> numbers(std::size_t count, double low, double high) {
    std::vector<Real> all(count);
    // The distribution is spelt out: the library's own differs between standard libraries.
    for (Real& number : all)
      number =
          static_cast<Real>(low + (high - low) * static_cast<double>(random_()) / 4294967296.0);
    return all;
  }

  lacuna_layer layer;
  std::vector<std::int64_t> offsets{0};
  std::vector<Real> parameter_values, d_parameter_values;
  std::vector<Real> values, delta_t, delta, initial_hidden, initial_cell, last_values, since,
      first_gap;
  std::vector<std::uint8_t> mask, fires;
  std::vector<double> times, last_time;
  std::vector<Real> hidden, cell, evolved_hidden, imputed, final_hidden, final_cell;
  std::vector<Real> out_last_values, out_since, out_first_gap;
  std::vector<double> out_last_time;
  std::vector<Real> d_hidden, d_cell, d_final_hidden, d_final_cell;
  std::vector<Real> d_values, d_delta_t, d_initial_hidden, d_initial_cell;

 private:
  static constexpr unsigned char poison_byte = 0xcd;

  // memset may not be given the null of an empty array, not even for 0 bytes.
  static void fill(void* data, std::size_t bytes) {
    if (bytes > 0) std::memset(data, poison_byte, bytes);
  }
  static bool is_poison(const void* data, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i)
      if (static_cast<const unsigned char*>(data)[i] != poison_byte) return false;
    return true;
  }

  template <class Work>
  void each_tensor(Work work) const {
    for (int kind = 0; kind < LACUNA_PARAMETERS; ++kind) {
      lacuna_parameter_info info{};
      EXPECT_EQ(lacuna_layer_parameter(&layer, static_cast<lacuna_parameter>(kind), &info),
                LACUNA_OK);
      if (info.rows > 0) work(kind, info.offset);
    }
  }

  std::vector<std::vector<Real>*> written() {
    return {&hidden,          &cell,           &evolved_hidden,
            &imputed,         &final_hidden,   &final_cell,
            &out_since,       &out_first_gap,  &d_values,
            &out_last_values, &d_initial_cell, &d_initial_hidden,
            &d_delta_t};
  }

  std::mt19937 random_;
};

// ---- Layers that between them have everything ----

inline lacuna_layer layer_of(lacuna_cell cell, lacuna_impute impute, lacuna_evolve evolve) {
  lacuna_layer layer{};
  layer.cell = cell;
  layer.impute = impute;
  layer.evolve = evolve;
  layer.features = 5;
  layer.hidden = 7;
  layer.mask_input = impute != LACUNA_IMPUTE_NONE;
  return layer;
}
inline lacuna_layer gru_d() {
  return layer_of(LACUNA_GRU_RESET_BEFORE, LACUNA_IMPUTE_DECAY, LACUNA_EVOLVE_DECAY);
}
inline lacuna_layer relaxing_lstm() {
  return layer_of(LACUNA_LSTM, LACUNA_IMPUTE_RELAX, LACUNA_EVOLVE_RELAX);
}
inline lacuna_layer projected_lstm() {
  lacuna_layer layer = layer_of(LACUNA_LSTM, LACUNA_IMPUTE_DECAY, LACUNA_EVOLVE_RELAX);
  layer.projection = 3;
  return layer;
}
inline lacuna_layer plain_gru() {
  return layer_of(LACUNA_GRU, LACUNA_IMPUTE_NONE, LACUNA_EVOLVE_NONE);
}

// How a layer reads in test names and failures.
inline std::string words(const lacuna_layer& layer) {
  const char* const cells[] = {"rnn_tanh", "rnn_relu", "rnn_euler",
                               "lstm",     "gru",      "gru_reset_before"};
  const char* const imputes[] = {"none", "mean", "forward", "decay", "relax"};
  const char* const evolves[] = {"none", "decay", "decay_step", "relax"};
  return std::string(cells[layer.cell]) + "_" + imputes[layer.impute] + "_" +
         evolves[layer.evolve] + (layer.gap_input ? "_gap" : "") +
         (layer.projection > 0 ? "_projected" : "") + (layer.reverse ? "_reverse" : "");
}
inline std::string test_name(const testing::TestParamInfo<lacuna_layer>& info) {
  return words(info.param);
}

// ---- Handles that clean up ----

struct Context {
  explicit Context(lacuna_context_options options = {}) {
    EXPECT_EQ(lacuna_context_create(&options, &handle), LACUNA_OK) << lacuna_last_error();
  }
  ~Context() { lacuna_context_destroy(handle); }
  Context(const Context&) = delete;
  operator lacuna_context*() const { return handle; }
  lacuna_context_info info() const {
    lacuna_context_info info{};
    EXPECT_EQ(lacuna_context_query(handle, &info), LACUNA_OK);
    return info;
  }
  lacuna_context* handle = nullptr;
};

inline lacuna_context_options with_threads(int threads) {
  lacuna_context_options options{};
  options.threads = threads;
  return options;
}

struct Plan {
  Plan(lacuna_context* context, const lacuna_layer& layer, lacuna_capacity capacity,
       lacuna_plan_options options = {}) {
    EXPECT_EQ(lacuna_plan_create(context, &layer, &capacity, &options, &handle), LACUNA_OK)
        << lacuna_last_error();
  }
  ~Plan() { lacuna_plan_destroy(handle); }
  Plan(const Plan&) = delete;
  operator lacuna_plan*() const { return handle; }
  lacuna_plan_info info() const {
    lacuna_plan_info info{};
    EXPECT_EQ(lacuna_plan_query(handle, &info), LACUNA_OK);
    return info;
  }
  lacuna_plan* handle = nullptr;
};

struct Tape {
  explicit Tape(lacuna_plan* plan) {
    EXPECT_EQ(lacuna_tape_create(plan, nullptr, 0, &handle), LACUNA_OK) << lacuna_last_error();
  }
  ~Tape() { lacuna_tape_destroy(handle); }
  Tape(const Tape&) = delete;
  operator lacuna_tape*() const { return handle; }
  lacuna_tape* handle = nullptr;
};

// The status, and every fragment in the message.
inline testing::AssertionResult refused(lacuna_status status, lacuna_status expected,
                                        const std::vector<std::string>& fragments) {
  const std::string message = lacuna_last_error();
  if (status != expected)
    return testing::AssertionFailure()
           << lacuna_status_name(status) << ", expected " << lacuna_status_name(expected)
           << "; last error: " << message;
  for (const std::string& fragment : fragments)
    if (message.find(fragment) == std::string::npos)
      return testing::AssertionFailure()
             << "the message '" << message << "' does not say '" << fragment << "'";
  return testing::AssertionSuccess();
}

// An address that no array of `Real` may have.
template <class Pointer>
Pointer* misaligned(Pointer* pointer) {
  return reinterpret_cast<Pointer*>(reinterpret_cast<std::uintptr_t>(pointer) + 1);
}

}  // namespace api_tests

// GoogleTest looks for it beside the type.
inline void PrintTo(const lacuna_layer& layer, std::ostream* out) {
  *out << api_tests::words(layer);
}
