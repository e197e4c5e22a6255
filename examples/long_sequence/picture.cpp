#include "examples/long_sequence/picture.h"

#include <algorithm>
#include <cmath>

namespace long_sequence {

using examples::Axis;
using examples::Panel;
using examples::Point;
using examples::Svg;

static constexpr double width = 1060, left = 80, top = 190, wide = 430, tall = 300, pitch = 520;

// A page of two panels side by side, with one key for both.
static Svg page(const std::string& title, const std::string& details,
                const std::vector<Contestant>& contestants) {
  constexpr double height = top + tall + 60;
  Svg svg(width, height);
  svg.rect(0, 0, width, height, "#FFFFFF");
  svg.text({left, 40}, title, {.size = 20, .bold = true});
  svg.text({left, 62}, details, {.size = 13, .color = "#6B7280"});
  for (std::size_t i = 0; i < contestants.size(); ++i) {
    const double x = left + static_cast<double>(i % 3) * 320;
    const double y = 92 + static_cast<double>(i / 3) * 22;
    examples::LineStyle style = contestants[i].style;
    style.width = 3;
    svg.line({x, y}, {x + 26, y}, style);
    svg.text({x + 34, y + 4}, contestants[i].name, {.size = 12.5});
  }
  return svg;
}

// The curve of log10(norm), to where it leaves the axis or is 0.
static std::vector<Point> logarithms(const std::vector<double>& norms, const Axis& axis) {
  std::vector<Point> points;
  for (std::size_t distance = 0; distance < norms.size(); ++distance) {
    const double power = std::log10(norms[distance]);
    if (!(power >= axis.low)) break;
    points.push_back({static_cast<double>(distance), power});
  }
  return points;
}

void draw_gradient_flow(const std::string& path, const Task& task,
                        const std::vector<Contestant>& contestants,
                        const std::vector<Outcome>& outcomes) {
  // Gradients that are cut have no flow to show, and the network itself is another's.
  std::vector<Contestant> shown;
  std::vector<const Outcome*> theirs;
  constexpr double lowest = -24, highest = 60;
  double high = 0;
  for (std::size_t i = 0; i < contestants.size(); ++i) {
    if (contestants[i].truncation.every > 0) continue;
    shown.push_back(contestants[i]);
    theirs.push_back(&outcomes[i]);
    for (const auto* flow : {&outcomes[i].flow_before, &outcomes[i].flow_after})
      for (const double norm : *flow)
        if (norm > 0) high = std::max(high, std::min(std::log10(norm), highest));
  }
  Axis powers = examples::axis_around(lowest, high, 8);
  powers.format = "1e%g";
  const auto reach = static_cast<double>(outcomes.front().flow_before.size());
  Axis distances = examples::axis_around(0, reach, 6, "tokens before the end");
  distances.high = reach;

  Svg svg =
      page("Vanishing and exploding gradients over " + std::to_string(task.length) + " tokens",
           "Norm of dL/dh by distance from the token that is asked, geometric mean over "
           "sequences, in double precision; below the axis: vanished",
           shown);
  Panel before(svg, {left, top, wide, tall}, distances, powers);
  before.title("Before training");
  Panel after(svg, {left + pitch, top, wide, tall}, distances, powers);
  after.title("After training");
  for (std::size_t i = 0; i < shown.size(); ++i) {
    before.line(logarithms(theirs[i]->flow_before, powers), shown[i].style);
    after.line(logarithms(theirs[i]->flow_after, powers), shown[i].style);
  }
  svg.save(path);
}

// Means over `bin` steps at a time: single batches are small.
static std::vector<Point> smoothed(const std::vector<double>& series, std::size_t bin) {
  std::vector<Point> points;
  for (std::size_t begin = 0; begin < series.size(); begin += bin) {
    const std::size_t end = std::min(begin + bin, series.size());
    double sum = 0;
    for (std::size_t i = begin; i < end; ++i) sum += series[i];
    points.push_back(
        {static_cast<double>(begin + end) / 2, sum / static_cast<double>(end - begin)});
  }
  return points;
}

void draw_learning(const std::string& path, const Task& task,
                   const std::vector<Contestant>& contestants,
                   const std::vector<Outcome>& outcomes) {
  constexpr std::size_t bin = 10;
  double most = 0;
  for (const Outcome& outcome : outcomes)
    for (const Point& point : smoothed(outcome.losses, bin)) most = std::max(most, point.y);
  const auto steps = static_cast<double>(outcomes.front().losses.size());
  Axis step = examples::axis_around(0, steps, 5, "step of training");
  step.high = steps;

  Svg svg = page("The first tokens of a sequence, asked for after " + std::to_string(task.length),
                 "Every step has new sequences, so these curves are of sequences not seen before; "
                 "means over 10 steps",
                 contestants);
  Panel loss(svg, {left, top, wide, tall}, step, examples::axis_around(0, most, 5));
  loss.title("Cross-entropy", "dotted: guessing");
  Panel right(svg, {left + pitch, top, wide, tall}, step, {0, 1, 0.25, ""});
  right.title("Share of right answers", "dotted: guessing");
  const examples::LineStyle guess{.color = examples::palette::ink, .width = 1, .dash = "1 4"};
  const double blind = std::log(task.classes());
  loss.line({{0, blind}, {steps, blind}}, guess);
  right.line({{0, task.chance()}, {steps, task.chance()}}, guess);
  for (std::size_t i = 0; i < contestants.size(); ++i) {
    loss.line(smoothed(outcomes[i].losses, bin), contestants[i].style);
    right.line(smoothed(outcomes[i].accuracies, bin), contestants[i].style);
  }
  svg.save(path);
}

}  // namespace long_sequence
