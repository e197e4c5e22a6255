#include "examples/physionet2012/picture.h"

#include <algorithm>
#include <cstdio>
#include <numeric>

#include "examples/common/metrics.h"
#include "examples/common/plot.h"

namespace physionet2012 {

using examples::Axis;
using examples::axis_around;
using examples::Box;
using examples::Panel;
using examples::Point;
using examples::Svg;
namespace palette = examples::palette;

static constexpr double width = 1180, height = 480;
static constexpr double left = 74, top = 160, side = 280;
// GRU-D in Che et al. 2018.
static constexpr examples::MeanSd paper{.mean = 0.8424, .sd = 0.012};

static std::string three_digits(const char* words, double value) {
  char text[64];
  std::snprintf(text, sizeof text, "%s %.3f", words, value);
  return text;
}

// One key for all panels: a model has the same colour everywhere.
static void draw_key(Svg& svg, const std::vector<Result>& results, double y) {
  double x = left;
  for (const Result& result : results) {
    svg.line({x, y}, {x + 22, y}, {.color = result.color, .width = 3});
    svg.text({x + 29, y + 4}, result.name, {.size = 12.5});
    x += 60 + 6.6 * static_cast<double>(result.name.size());
  }
}

static void draw_diagonal(Panel& panel, double end) {
  panel.line({{0, 0}, {end, end}}, {.color = "#C4C8CF", .width = 1, .dash = "3 3"});
}

static void draw_roc(Svg& svg, const std::vector<Result>& results, const Box& box) {
  Panel panel(svg, box, {0, 1, 0.25, "false positive rate"}, {0, 1, 0.25, "true positive rate"});
  panel.title("Test ROC", "all test folds together");
  draw_diagonal(panel, 1);
  double y = 0.08 * static_cast<double>(results.size());
  for (const Result& result : results) {
    std::vector<Point> curve;
    for (const auto& p : examples::roc_curve(result.all.probabilities, result.all.labels))
      curve.push_back({p.false_positive_rate, p.true_positive_rate});
    panel.line(curve, {.color = result.color});
    panel.line({{0.58, y}, {0.65, y}}, {.color = result.color});
    panel.text({0.68, y}, three_digits("AUC", result.all.auc()), {.size = 12}, {0, 4});
    y -= 0.08;
  }
}

static void draw_folds(Svg& svg, const std::vector<Result>& results, const Box& box) {
  double lowest = paper.mean - paper.sd, highest = paper.mean + paper.sd;
  for (const Result& result : results) {
    const auto [low, high] = std::minmax_element(result.auc.begin(), result.auc.end());
    lowest = std::min(lowest, *low), highest = std::max(highest, *high);
  }
  const auto columns = static_cast<double>(results.size());
  Axis auc = axis_around(lowest, highest, 6);
  auc.format = "%.2f";
  Panel panel(svg, box, {0, columns, 0}, auc);
  panel.title("Test AUC", "a dot per fold, joined from model to model; bars: means");

  const Point corner = panel.at({0, paper.mean + paper.sd});
  svg.rect(corner.x, corner.y, box.width, panel.at({0, paper.mean - paper.sd}).y - corner.y,
           palette::grey, 0, 0.16);
  const Svg::TextStyle remark{.size = 11, .color = palette::grey};
  panel.text({columns, paper.mean}, "paper's", remark, {6, -3});
  panel.text({columns, paper.mean}, "GRU-D", remark, {6, 11});

  for (std::size_t f = 0; f < results.front().auc.size(); ++f) {
    std::vector<Point> fold;
    for (std::size_t i = 0; i < results.size(); ++i)
      fold.push_back({static_cast<double>(i) + 0.5, results[i].auc[f]});
    panel.line(fold, {.color = palette::grey, .width = 1, .opacity = 0.6});
  }
  double x = 0.5;
  for (const Result& result : results) {
    const double mean = examples::mean_sd(result.auc).mean;
    panel.line({{x - 0.28, mean}, {x + 0.28, mean}}, {.color = result.color, .width = 3});
    for (const double fold : result.auc) panel.dots({{x, fold}}, result.color, 4.5);
    panel.text({x, auc.low}, result.name, {.size = 12, .anchor = "middle"}, {0, 18});
    panel.text({x, auc.low}, three_digits("mean", mean),
               {.size = 11.5, .color = "#6B7280", .anchor = "middle"}, {0, 35});
    x += 1;
  }
}

// Patients in order of their predicted risk, in ten groups of one size: what was predicted on average,
// and the share that died.
static std::vector<Point> reliability(const examples::Verdicts& verdicts) {
  constexpr std::size_t groups = 10;
  std::vector<std::size_t> order(verdicts.labels.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return verdicts.probabilities[a] < verdicts.probabilities[b];
  });
  std::vector<Point> points;
  for (std::size_t g = 0; g < groups; ++g) {
    const std::size_t begin = g * order.size() / groups, end = (g + 1) * order.size() / groups;
    Point sum{0, 0};
    for (std::size_t i = begin; i < end; ++i)
      sum = {sum.x + verdicts.probabilities[order[i]], sum.y + verdicts.labels[order[i]]};
    const auto size = static_cast<double>(end - begin);
    points.push_back({sum.x / size, sum.y / size});
  }
  return points;
}

static void draw_reliability(Svg& svg, const std::vector<Result>& results, const Box& box) {
  double highest = 0;
  for (const Result& result : results)
    for (const Point& p : reliability(result.all)) highest = std::max({highest, p.x, p.y});
  Axis x = axis_around(0, highest, 5, "predicted risk of death"), y = x;
  y.label = "share that died";
  Panel panel(svg, box, x, y);
  panel.title("Is the risk what it says?", "tenths of the patients, by predicted risk");
  draw_diagonal(panel, x.high);
  // The first in the list ends on top.
  for (auto result = results.rbegin(); result != results.rend(); ++result) {
    const auto points = reliability(result->all);
    panel.line(points, {.color = result->color});
    panel.dots(points, result->color, 4);
  }
}

void save_picture(const std::vector<Result>& results, const std::string& details,
                  const std::string& path) {
  Svg svg(width, height);
  svg.rect(0, 0, width, height, "#FFFFFF");
  svg.text({left, 45}, "Intensive care: death in hospital, predicted from the first 48 hours",
           {.size = 20, .bold = true});
  svg.text({left, 68}, details, {.size = 12.5, .color = "#6B7280"});
  draw_key(svg, results, 97);
  const double pitch = (1140 - left - side) / 2;
  draw_roc(svg, results, {left, top, side, side - 20});
  draw_folds(svg, results, {left + pitch, top, side, side - 20});
  draw_reliability(svg, results, {left + 2 * pitch, top, side, side - 20});
  svg.save(path);
}

}  // namespace physionet2012
