// See observe.h.
#include "reference/observe.h"

#include <cmath>
#include <limits>

namespace reference {
namespace {

template <class Real>
std::uint8_t is_measured(const Layer& layer, const BasicBatch<Real>& batch, std::size_t cell) {
  if (layer.impute == Impute::none) return 1;
  if (!batch.mask.empty()) return batch.mask[cell] != 0;
  return !std::isnan(batch.values[cell]);
}

// The gap before the token read at `step`.
template <class Real>
Real gap_before(const BasicBatch<Real>& batch, std::int64_t sequence, const Reading& read,
                std::int64_t step) {
  const auto b = static_cast<std::size_t>(sequence);
  const auto s = static_cast<std::size_t>(read.token(step));
  const auto& context = batch.context;
  if (!batch.times.empty()) {
    double before = std::numeric_limits<double>::quiet_NaN();
    if (step > 0) {
      before = batch.times[static_cast<std::size_t>(read.token(step - 1))];
    } else if (!context.last_time.empty()) {
      before = context.last_time[b];
    }
    if (std::isnan(before)) return 0;
    return static_cast<Real>(read.reverse ? before - batch.times[s] : batch.times[s] - before);
  }
  if (batch.delta_t.empty()) return 0;
  if (!read.reverse) return batch.delta_t[s];
  if (step > 0) return batch.delta_t[s + 1];
  return context.first_gap.empty() ? Real(0) : context.first_gap[b];
}

template <class Real>
BasicContext<Real> carried_in(const Layer& layer, const BasicBatch<Real>& batch) {
  const auto B = static_cast<std::size_t>(batch.sequences());
  const auto D = static_cast<std::size_t>(layer.features);
  BasicContext<Real> context = batch.context;
  if (context.last_value.empty()) {
    context.last_value.assign(B * D, std::numeric_limits<Real>::quiet_NaN());
  }
  if (context.since.empty()) context.since.assign(B * D, Real(0));
  if (context.last_time.empty()) {
    context.last_time.assign(B, std::numeric_limits<double>::quiet_NaN());
  }
  if (context.first_gap.empty()) context.first_gap.assign(B, Real(0));
  return context;
}

}  // namespace

template <class Real>
bool BasicObserved<Real>::row_is_empty(std::int64_t token, int features) const {
  for (int d = 0; d < features; ++d) {
    if (measured[static_cast<std::size_t>(token * features + d)]) return false;
  }
  return true;
}

template <class Real>
BasicObserved<Real> observe(const Layer& layer, const BasicBatch<Real>& batch) {
  const auto N = static_cast<std::size_t>(batch.tokens());
  const auto D = static_cast<std::size_t>(layer.features);
  BasicObserved<Real> seen;
  seen.measured.resize(N * D);
  seen.delta_t.resize(N);
  seen.delta.resize(N * D);
  seen.last_value.resize(N * D);
  seen.last_token.resize(N * D);
  seen.context = carried_in(layer, batch);  // walks along with the reading

  for (std::int64_t b = 0; b < batch.sequences(); ++b) {
    const Reading read = reading(layer, batch, b);
    const auto first = static_cast<std::size_t>(b) * D;
    Real* last_value = seen.context.last_value.data() + first;
    Real* since = seen.context.since.data() + first;
    std::vector<std::int64_t> last_token(D);
    for (std::size_t d = 0; d < D; ++d) {
      last_token[d] = std::isnan(last_value[d]) ? never_measured : measured_in_an_earlier_piece;
    }

    for (std::int64_t step = 0; step < read.length(); ++step) {
      const auto s = static_cast<std::size_t>(read.token(step));
      seen.delta_t[s] = gap_before(batch, b, read, step);
      for (std::size_t d = 0; d < D; ++d) {
        const std::size_t at = s * D + d;
        seen.measured[at] = is_measured(layer, batch, at);
        seen.delta[at] = batch.delta.empty() ? seen.delta_t[s] + since[d] : batch.delta[at];
        seen.last_value[at] = last_value[d];
        seen.last_token[at] = last_token[d];

        since[d] = seen.measured[at] ? Real(0) : seen.delta[at];
        if (seen.measured[at]) {
          last_value[d] = batch.values[at];
          last_token[d] = static_cast<std::int64_t>(s);
        }
      }
    }
    if (read.length() == 0) continue;
    const auto last_read = static_cast<std::size_t>(read.token(read.length() - 1));
    seen.context.last_time[static_cast<std::size_t>(b)] =
        batch.times.empty() ? std::numeric_limits<double>::quiet_NaN() : batch.times[last_read];
    seen.context.first_gap[static_cast<std::size_t>(b)] =
        layer.reverse && !batch.delta_t.empty() ? batch.delta_t[last_read] : Real(0);
  }
  return seen;
}

template <class Real>
std::vector<Real> observe_backward(const Layer& layer, const BasicBatch<Real>& batch,
                                   const BasicObserved<Real>& observed, std::vector<Real> d_gap,
                                   std::vector<Real> d_delta) {
  const auto D = static_cast<std::size_t>(layer.features);
  std::vector<Real> d_delta_t(d_gap.size(), Real(0));
  for (std::int64_t b = 0; b < batch.sequences(); ++b) {
    const Reading read = reading(layer, batch, b);
    for (std::int64_t step = read.length() - 1; step >= 0; --step) {
      const auto s = static_cast<std::size_t>(read.token(step));
      if (batch.delta.empty()) {
        for (std::size_t d = 0; d < D; ++d) {
          d_gap[s] += d_delta[s * D + d];
          if (step == 0) continue;
          const std::size_t before = static_cast<std::size_t>(read.token(step - 1)) * D + d;
          if (!observed.measured[before]) d_delta[before] += d_delta[s * D + d];
        }
      }
      if (!read.reverse) {
        d_delta_t[s] = d_gap[s];
      } else if (step > 0) {
        d_delta_t[s + 1] = d_gap[s];
      }
    }
  }
  return d_delta_t;
}

template struct BasicObserved<float>;
template struct BasicObserved<double>;
template BasicObserved<float> observe(const Layer&, const BasicBatch<float>&);
template BasicObserved<double> observe(const Layer&, const BasicBatch<double>&);
template std::vector<float> observe_backward(const Layer&, const BasicBatch<float>&,
                                             const BasicObserved<float>&, std::vector<float>,
                                             std::vector<float>);
template std::vector<double> observe_backward(const Layer&, const BasicBatch<double>&,
                                              const BasicObserved<double>&, std::vector<double>,
                                              std::vector<double>);

}  // namespace reference
