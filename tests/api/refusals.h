// Spoils one argument of a run at a time and checks that the refusal is complete: the message,
// nothing written, and the same bits from the next correct run.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "api/example.h"

namespace api_tests {

// The arguments of both calls, to be spoiled.
struct Call {
  lacuna_parameters parameters;
  lacuna_batch batch;
  lacuna_outputs outputs;
  lacuna_output_gradients d_outputs;
  lacuna_parameter_gradients d_parameters;
  lacuna_input_gradients d_inputs;
  lacuna_plan* plan;
  lacuna_tape* tape;
  void* stream = nullptr;
  // Instead of the address of the struct above.
  bool null_parameters = false, null_batch = false, null_outputs = false, null_d_outputs = false;
};

class Refusals {
 public:
  explicit Refusals(const lacuna_layer& layer)
      : example(layer),
        context(api_tests::with_threads(2)),
        plan(context, example.layer, example.capacity()),
        tape(plan) {
    expected_ = run_correctly();
  }

  // `spoil` changes one thing, in the call or in the example's arrays, and is undone by `mend`.
  using Spoil = std::function<void(Call&)>;
  using Mend = std::function<void()>;

  void forward(const std::string& message, const Spoil& spoil, const Mend& mend = {},
               lacuna_status status = LACUNA_INVALID_ARGUMENT) {
    check(message, spoil, mend, status, [](const Call& call) {
      return lacuna_forward(call.plan, call.null_parameters ? nullptr : &call.parameters,
                            call.null_batch ? nullptr : &call.batch,
                            call.null_outputs ? nullptr : &call.outputs, call.tape, call.stream);
    });
  }
  void backward(const std::string& message, const Spoil& spoil, const Mend& mend = {},
                lacuna_status status = LACUNA_INVALID_ARGUMENT) {
    check(message, spoil, mend, status, [](const Call& call) {
      return lacuna_backward(call.plan, call.null_parameters ? nullptr : &call.parameters,
                             call.null_batch ? nullptr : &call.batch,
                             call.null_d_outputs ? nullptr : &call.d_outputs, call.tape,
                             &call.d_parameters, &call.d_inputs, call.stream);
    });
  }
  // What both calls check alike.
  void both(const std::string& message, const Spoil& spoil, const Mend& mend = {},
            lacuna_status status = LACUNA_INVALID_ARGUMENT) {
    forward(message, spoil, mend, status);
    backward(message, spoil, mend, status);
  }
  // One element of an input, spoiled and put back.
  template <class Element>
  void both_with(const std::string& message, std::vector<Element>& array, std::size_t index,
                 double value, const Spoil& spoil = {}) {
    const Element kept = array[index];
    both(
        message,
        [&](Call& call) {
          array[index] = static_cast<Element>(value);
          if (spoil) spoil(call);
        },
        [&] { array[index] = kept; });
  }

  Example<float> example;
  Context context;
  Plan plan;
  Tape tape;

 private:
  template <class Run>
  void check(const std::string& message, const Spoil& spoil, const Mend& mend, lacuna_status status,
             const Run& run) {
    SCOPED_TRACE(message);
    Call call{.parameters = example.parameters(),
              .batch = example.batch(),
              .outputs = example.outputs(),
              .d_outputs = example.d_outputs(),
              .d_parameters = example.d_parameters(),
              .d_inputs = example.d_inputs(),
              .plan = plan,
              .tape = tape};
    spoil(call);
    example.poison();
    const std::vector<float> gradients = example.d_parameter_values;
    EXPECT_TRUE(refused(run(call), status, {message}));
    EXPECT_TRUE(example.is_untouched()) << "an output was written";
    EXPECT_EQ(example.d_parameter_values, gradients) << "a parameter's gradient was written";
    if (mend) mend();
    EXPECT_EQ(run_correctly(), expected_) << "the plan gives other results than before";
  }

  std::string run_correctly() {
    example.poison();
    EXPECT_EQ(example.forward(plan, tape), LACUNA_OK) << lacuna_last_error();
    EXPECT_EQ(example.backward(plan, tape), LACUNA_OK) << lacuna_last_error();
    return example.bytes();
  }

  std::string expected_;
};

}  // namespace api_tests
