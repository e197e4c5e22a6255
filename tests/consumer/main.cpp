// Lacuna as somebody else's project uses it: the installed package and nothing of the source tree.
#include <lacuna/lacuna.hpp>

#include <cmath>
#include <iostream>
#include <vector>

int main() {
  const auto layer = lacuna::lstm(/*features*/ 2, /*hidden*/ 3);
  const auto context = lacuna::Context::best();
  const lacuna::Parameters<float> parameters(layer, /*seed*/ 1);
  lacuna::Plan plan(context, layer, {.tokens = 3, .sequences = 2});

  const std::vector<std::int64_t> offsets{0, 1, 3};
  const std::vector<float> values{0.1F, 0.2F, 0.3F, 0.4F, 0.5F, 0.6F};
  std::vector<float> states(2 * 3, NAN);
  plan.forward(parameters, {.offsets = offsets, .values = values}, {.final_hidden = states});

  for (const float state : states)
    if (!std::isfinite(state) || state == 0) return 1;
  const bool on_gpu = context.info().backend == lacuna::Backend::cuda;
  std::cout << "C++: lacuna " << lacuna::version() << " on the " << (on_gpu ? "GPU" : "CPU")
            << ", h[0] = " << states[0] << '\n';
  return 0;
}
