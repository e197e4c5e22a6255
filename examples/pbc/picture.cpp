#include "examples/pbc/picture.h"

#include <algorithm>

namespace pbc {

using examples::Axis;
using examples::axis_around;
using examples::Box;
using examples::Panel;
using examples::Point;
using examples::Svg;
namespace palette = examples::palette;

static constexpr double width = 1180, height = 1010;
static constexpr double left = 74, right = 1140;
static const Svg::TextStyle small_print{.size = 12, .color = "#6B7280"};

// The lowest and highest y of several curves.
static Point range_of(const std::vector<Curve>& curves) {
  Point range{1e300, -1e300};
  for (const Curve& curve : curves)
    for (const Point& point : curve.points)
      range = {std::min(range.x, point.y), std::max(range.y, point.y)};
  return range;
}

static void draw_curves(Panel& panel, const std::vector<Curve>& curves) {
  for (const Curve& curve : curves) panel.line(curve.points, curve.style);
}

// One key for all panels: a model has the same colour everywhere.
static void draw_key(Svg& svg, const std::vector<Curve>& curves, double y) {
  double x = left;
  for (const Curve& curve : curves) {
    examples::LineStyle style = curve.style;
    style.width = 3;
    svg.line({x, y}, {x + 22, y}, style);
    svg.text({x + 29, y + 4}, curve.name, {.size = 12.5});
    x += 52 + 6.6 * static_cast<double>(curve.name.size());
  }
}

static void draw_learning(Svg& svg, const Picture& picture, const Box& loss_box,
                          const Box& auc_box) {
  double epochs = 1;
  for (const Curve& curve : picture.training_loss) epochs = std::max(epochs, curve.points.back().x);
  Axis epoch = axis_around(0, epochs, 5, "epoch");
  epoch.high = epochs;
  const Point loss = range_of(picture.training_loss), auc = range_of(picture.validation_auc);
  // The first epochs are not worth half the panel: they are drawn at its lower border.
  const double lowest_auc = std::max(auc.x, auc.y - 0.04);
  Panel losses(svg, loss_box, epoch, axis_around(loss.x, loss.y, 4));
  losses.title("Training loss", "mean cross-entropy per visit");
  draw_curves(losses, picture.training_loss);
  Panel aucs(svg, auc_box, epoch, axis_around(lowest_auc, auc.y, 4));
  aucs.title("Validation AUC", "patients outside the training folds");
  draw_curves(aucs, picture.validation_auc);
}

static void draw_roc(Svg& svg, const Picture& picture, const Box& box) {
  Panel panel(svg, box, {0, 1, 0.25, "false positive rate"}, {0, 1, 0.25, ""});
  panel.title("Test ROC", "true positive rate; all test folds together");
  panel.line({{0, 0}, {1, 1}}, {.color = "#C4C8CF", .width = 1, .dash = "3 3"});
  draw_curves(panel, picture.roc);
  double y = 0.09 * static_cast<double>(picture.roc.size());
  for (const Curve& curve : picture.roc) {
    panel.line({{0.62, y}, {0.7, y}}, curve.style);
    panel.text({0.72, y}, curve.remark, {.size = 11.5}, {0, 4});
    y -= 0.09;
  }
}

static void draw_strip(Svg& svg, const Strip& strip, const Axis& years, const Box& box,
                       double followed_years) {
  Point range = range_of(strip.imputed);
  for (const Point& point : strip.measured)
    range = {std::min(range.x, point.y), std::max(range.y, point.y)};
  Panel panel(svg, box, years, axis_around(std::min(range.x, strip.mean), range.y, 3));
  panel.title(strip.title);
  panel.line({{0, strip.mean}, {followed_years, strip.mean}},
             {.color = palette::grey, .width = 1, .dash = "2 4"});
  panel.text({followed_years, strip.mean}, "mean", {.size = 11, .color = palette::grey}, {6, 4});
  draw_curves(panel, strip.imputed);
  panel.dots(strip.measured, palette::ink, 4);
}

static void draw_risk(Svg& svg, const Picture& picture, const Axis& years, const Box& box) {
  Panel panel(svg, box, years, {0, 1, 0.25, ""});
  panel.title("Predicted risk of death or transplant within " + std::to_string(picture.horizon) +
              " years, asked on every day with what was known by then");
  // Where the true answer was yes.
  const double from = std::max(0.0, picture.followed_years - picture.horizon);
  panel.shade_below({{from, 1}, {picture.followed_years, 1}}, palette::orange, 0.07);
  panel.text({from, 1}, "true answer: yes", {.size = 11, .color = palette::orange}, {6, 15});
  draw_curves(panel, picture.risk);
  panel.line({{picture.followed_years, 0}, {picture.followed_years, 1}},
             {.color = palette::ink, .width = 1.5});
  panel.text({picture.followed_years, 1}, picture.outcome, {.size = 12, .bold = true}, {6, 12});
}

void Picture::save(const std::string& path) const {
  Svg svg(width, height);
  svg.rect(0, 0, width, height, "#FFFFFF");
  svg.text({left, 46}, title, {.size = 21, .bold = true});
  svg.text({left, 68}, details, {.size = 13, .color = "#6B7280"});
  draw_key(svg, roc, 98);

  constexpr double top = 172, tall = 220, wide = 290, pitch = (right - left - wide) / 2;
  draw_learning(svg, *this, {left, top, wide, tall}, {left + pitch, top, wide, tall});
  draw_roc(svg, *this, {left + 2 * pitch, top, wide, tall});

  svg.text({left, 496}, "One patient the models had not seen", {.size = 17, .bold = true});
  svg.text({left, 516}, patient, small_print);
  // Room on the right for words about the end of follow-up.
  const double strip_width = right - left - 70;
  Axis years = axis_around(0, followed_years, 8);
  years.high = followed_years;
  double y = 556;
  for (const Strip& strip : strips) {
    draw_strip(svg, strip, years, {left, y, strip_width, 84}, followed_years);
    y += 146;
  }
  years.label = "years since entry";
  draw_risk(svg, *this, years, {left, y, strip_width, 110});
  svg.save(path);
}

}  // namespace pbc
