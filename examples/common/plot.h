// Draws small charts into one self-contained SVG file, so that an example can end with a picture and
// needs no plotting library.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace examples {

struct Point {
  double x, y;
};

// Told apart by people who see no red or green (Okabe and Ito 2008).
namespace palette {
inline constexpr const char* blue = "#0072B2";
inline constexpr const char* orange = "#D55E00";
inline constexpr const char* green = "#009E73";
inline constexpr const char* pink = "#CC79A7";
inline constexpr const char* grey = "#8A8F98";
inline constexpr const char* ink = "#1F2430";
}  // namespace palette

struct LineStyle {
  const char* color = palette::ink;
  double width = 2;
  const char* dash = "";  // as in SVG: "4 3"
  double opacity = 1;
};

class Svg {
 public:
  Svg(double width, double height) : width_(width), height_(height) {}

  void rect(double x, double y, double w, double h, const char* fill, double radius = 0,
            double opacity = 1) {
    add(R"(<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="%.1f" fill="%s" opacity="%g"/>)",
        x, y, w, h, radius, fill, opacity);
  }

  void line(Point a, Point b, const LineStyle& style = {}) { polyline({a, b}, style); }

  void polyline(const std::vector<Point>& points, const LineStyle& style) {
    add(R"(<polyline fill="none" stroke="%s" stroke-width="%g" stroke-dasharray="%s" opacity="%g" )",
        style.color, style.width, style.dash, style.opacity);
    text_ += "stroke-linejoin=\"round\" points=\"" + coordinates(points) + "\"/>\n";
  }

  void polygon(const std::vector<Point>& points, const char* fill, double opacity) {
    add(R"(<polygon fill="%s" opacity="%g" )", fill, opacity);
    text_ += "points=\"" + coordinates(points) + "\"/>\n";
  }

  void dot(Point at, double radius, const char* fill, const char* stroke = "#FFFFFF") {
    add(R"(<circle cx="%.1f" cy="%.1f" r="%g" fill="%s" stroke="%s" stroke-width="1.2"/>)", at.x,
        at.y, radius, fill, stroke);
  }

  struct TextStyle {
    double size = 12;
    const char* color = palette::ink;
    const char* anchor = "start";  // start, middle, end
    bool bold = false;
    double turned = 0;  // degrees
  };

  void text(Point at, std::string_view words, const TextStyle& style) {
    add(R"(<text x="%.1f" y="%.1f" font-size="%g" fill="%s" text-anchor="%s" font-weight="%s")",
        at.x, at.y, style.size, style.color, style.anchor, style.bold ? "600" : "400");
    if (style.turned != 0) add(" transform=\"rotate(%g %.1f %.1f)\"", style.turned, at.x, at.y);
    text_ += ">" + escaped(words) + "</text>\n";
  }

  // Makes the folder if need be.
  void save(const std::string& path) const {
    const auto folder = std::filesystem::path(path).parent_path();
    if (!folder.empty()) std::filesystem::create_directories(folder);
    std::ofstream file(path);
    char head[320];
    std::snprintf(head, sizeof head,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %g %g\" width=\"%g\" "
                  "height=\"%g\" font-family=\"Inter, 'Segoe UI', 'Helvetica Neue', 'DejaVu Sans', "
                  "sans-serif\">\n",
                  width_, height_, width_, height_);
    file << head << text_ << "</svg>\n";
    file.close();
    if (!file) throw std::runtime_error("cannot write " + path);
  }

 private:
  template <class... Values>
  void add(const char* format, Values... values) {
    char buffer[512];
    std::snprintf(buffer, sizeof buffer, format, values...);
    text_ += buffer;
    if (text_.back() == '>') text_ += '\n';
  }

  // To a tenth of a pixel, and without points in the middle of straight runs: a ROC curve of thousands
  // of points is mostly these.
  static std::string coordinates(const std::vector<Point>& points) {
    std::vector<Point> kept;  // in tenths
    for (const Point& p : points) {
      const Point next{std::round(10 * p.x), std::round(10 * p.y)};
      while (kept.size() >= 2 && is_between(kept[kept.size() - 2], kept.back(), next))
        kept.pop_back();
      kept.push_back(next);
    }
    std::string list;
    char pair[48];
    for (const Point& p : kept) {
      std::snprintf(pair, sizeof pair, "%g,%g ", p.x / 10, p.y / 10);
      list += pair;
    }
    return list;
  }

  static bool is_between(const Point& a, const Point& b, const Point& c) {
    const Point ab{b.x - a.x, b.y - a.y}, bc{c.x - b.x, c.y - b.y};
    return ab.x * bc.y == ab.y * bc.x && ab.x * bc.x + ab.y * bc.y >= 0;
  }

  static std::string escaped(std::string_view words) {
    std::string result;
    for (const char c : words) {
      if (c == '&')
        result += "&amp;";
      else if (c == '<')
        result += "&lt;";
      else if (c == '>')
        result += "&gt;";
      else
        result += c;
    }
    return result;
  }

  double width_, height_;
  std::string text_;
};

// The values of a panel's axis, and where its ticks stand.
struct Axis {
  double low, high;
  double tick;                // distance of ticks
  std::string label{};        // "" draws none
  const char* format = "%g";  // of the numbers at the ticks
};

// An axis that holds low .. high, with about `ticks` ticks at 1, 2 or 5 times a power of ten.
inline Axis axis_around(double low, double high, int ticks, std::string label = "") {
  const double span = std::max(high - low, 1e-12);
  const double power = std::pow(10, std::floor(std::log10(span / ticks)));
  double tick = power * 10;
  for (const double step : {5.0, 2.0, 1.0})
    if (span / (power * step) >= ticks - 0.5) {
      tick = power * step;
      break;
    }
  return {.low = tick * std::floor(low / tick + 1e-9),
          .high = tick * std::ceil(high / tick - 1e-9),
          .tick = tick,
          .label = std::move(label)};
}

struct Box {
  double x, y, width, height;
};

// One chart with axes. Everything drawn is given in the axes' own units.
class Panel {
 public:
  Panel(Svg& svg, const Box& box, const Axis& x, const Axis& y)
      : svg_(svg), box_(box), x_(x), y_(y) {
    const LineStyle grid{.color = "#E6E8EC", .width = 1};
    const Svg::TextStyle numbers{.size = 11, .color = "#6B7280", .anchor = "middle"};
    for_each_tick(x_, [&](double value, const std::string& words) {
      svg_.line(at({value, y_.low}), at({value, y_.high}), grid);
      svg_.text({at({value, 0}).x, box_.y + box_.height + 16}, words, numbers);
    });
    for_each_tick(y_, [&](double value, const std::string& words) {
      svg_.line(at({x_.low, value}), at({x_.high, value}), grid);
      Svg::TextStyle style = numbers;
      style.anchor = "end";
      svg_.text({box_.x - 7, at({0, value}).y + 4}, words, style);
    });
    svg_.line({box_.x, box_.y + box_.height}, {box_.x + box_.width, box_.y + box_.height},
              {.color = "#9CA3AF", .width = 1});
    const Svg::TextStyle label{.size = 12, .color = "#374151", .anchor = "middle"};
    if (!x_.label.empty())
      svg_.text({box_.x + box_.width / 2, box_.y + box_.height + 35}, x_.label, label);
    Svg::TextStyle upright = label;
    upright.turned = -90;
    if (!y_.label.empty()) svg_.text({box_.x - 42, box_.y + box_.height / 2}, y_.label, upright);
  }

  // Where a value lies on the page; values beyond the axes are drawn at their border.
  Point at(Point value) const {
    const double u = (std::clamp(value.x, x_.low, x_.high) - x_.low) / (x_.high - x_.low);
    const double v = (std::clamp(value.y, y_.low, y_.high) - y_.low) / (y_.high - y_.low);
    return {box_.x + u * box_.width, box_.y + (1 - v) * box_.height};
  }

  void title(std::string_view words, std::string_view below = "") {
    const double y = box_.y - (below.empty() ? 12 : 29);
    svg_.text({box_.x, y}, words, {.size = 14, .bold = true});
    if (!below.empty()) svg_.text({box_.x, box_.y - 12}, below, {.size = 11.5, .color = "#6B7280"});
  }

  void line(const std::vector<Point>& values, const LineStyle& style) {
    svg_.polyline(placed(values), style);
  }

  void dots(const std::vector<Point>& values, const char* color, double radius = 4) {
    for (const Point& value : values) svg_.dot(at(value), radius, color);
  }

  // Between a curve and the bottom of the panel.
  void shade_below(std::vector<Point> values, const char* color, double opacity) {
    if (values.empty()) return;
    values.push_back({values.back().x, y_.low});
    values.push_back({values.front().x, y_.low});
    svg_.polygon(placed(values), color, opacity);
  }

  void text(Point value, std::string_view words, const Svg::TextStyle& style,
            Point shift = {0, 0}) {
    const Point where = at(value);
    svg_.text({where.x + shift.x, where.y + shift.y}, words, style);
  }

 private:
  template <class Draw>
  static void for_each_tick(const Axis& axis, Draw draw) {
    if (!(axis.tick > 0)) return;
    // By whole multiples, so that a tick meant to be 0 is not 1e-17.
    const auto first = std::ceil(axis.low / axis.tick - 1e-9);
    const auto last = std::floor(axis.high / axis.tick + 1e-9);
    for (double i = first; i <= last; ++i) {
      char words[32];
      std::snprintf(words, sizeof words, axis.format, i * axis.tick + 0.0);
      draw(i * axis.tick, words);
    }
  }

  std::vector<Point> placed(const std::vector<Point>& values) const {
    std::vector<Point> points;
    points.reserve(values.size());
    for (const Point& value : values) points.push_back(at(value));
    return points;
  }

  Svg& svg_;
  Box box_;
  Axis x_, y_;
};

}  // namespace examples
