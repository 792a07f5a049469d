#include "kernels/gather/gather.h"

#include <algorithm>
#include <map>

namespace convlayers {
namespace {

int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a ^ b) < 0); }
int64_t floor_mod(int64_t a, int64_t b) { return a - floor_div(a, b) * b; }

// The input coordinate that position u of the continued input shows.
int64_t continued(int64_t u, int64_t size, Border border) {
  if (u >= 0 && u < size) return u;
  switch (border) {
    case Border::kReflect: {
      // Python refuses reflections wider than the input; the modulus only keeps the index inside whatever comes.
      if (size == 1) return 0;
      const int64_t period = 2 * (size - 1), v = floor_mod(u, period);
      return v < size ? v : period - v;
    }
    case Border::kReplicate:
      return u < 0 ? 0 : size - 1;
    case Border::kCircular:
      return floor_mod(u, size);
    default:
      return kOutside;
  }
}

// A class whose source is f(base + shift) for bases and shifts on one line of integers. The table is over that line, or,
// where it would be far longer than the pairs that are read (a vast stride or dilation), over the pairs.
template <class F>
void add_class(Axis& axis, AxisClass c, F f) {
  if (c.output.empty()) return;
  const size_t outputs = c.base.size(), taps = c.shift.size();
  if (taps == 0) {
    c.base.assign(outputs, 0);
    axis.classes.push_back(std::move(c));
    return;
  }
  const auto [base_low, base_high] = std::minmax_element(c.base.begin(), c.base.end());
  const auto [shift_low, shift_high] = std::minmax_element(c.shift.begin(), c.shift.end());
  const int64_t first = *base_low + *shift_low, last = *base_high + *shift_high;
  const auto start = static_cast<int64_t>(axis.lookup.size());
  const auto pairs = static_cast<int64_t>(outputs * taps);
  if (last - first <= 4 * pairs + 1024) {
    for (int64_t u = first; u <= last; ++u) axis.lookup.push_back(f(u));
    for (auto& b : c.base) b += start - first;
  } else {
    for (size_t j = 0; j < outputs; ++j)
      for (size_t t = 0; t < taps; ++t) axis.lookup.push_back(f(c.base[j] + c.shift[t]));
    for (size_t j = 0; j < outputs; ++j) c.base[j] = start + static_cast<int64_t>(j * taps);
    for (size_t t = 0; t < taps; ++t) c.shift[t] = static_cast<int64_t>(t);
  }
  axis.classes.push_back(std::move(c));
}

// A class of one output with a list of (tap, source).
void add_single(Axis& axis, int64_t output, const std::vector<std::pair<int64_t, int64_t>>& taps) {
  AxisClass c;
  c.output = {output};
  c.base = {static_cast<int64_t>(axis.lookup.size())};
  for (const auto& [tap, source] : taps) {
    c.tap.push_back(tap);
    c.shift.push_back(static_cast<int64_t>(c.shift.size()));
    axis.lookup.push_back(source);
  }
  axis.classes.push_back(std::move(c));
}

// position = coordinate * stride + tap * dilation: every output has every tap.
template <class F>
void add_strided(Axis& axis, const AxisGeometry& g, const std::vector<int64_t>& outputs, F source_at) {
  AxisClass c;
  c.output = outputs;
  for (int64_t o : outputs) c.base.push_back(o * g.stride);
  for (int64_t k = 0; k < g.kernel; ++k) {
    c.tap.push_back(k);
    c.shift.push_back(k * g.dilation);
  }
  add_class(axis, std::move(c), source_at);
}

// position = (coordinate + low - tap * dilation) / stride where that is whole: a class for each phase of the stride.
template <class F>
void add_phases(Axis& axis, const AxisGeometry& g, const std::vector<int64_t>& outputs, F source_at) {
  std::map<int64_t, AxisClass> phases;
  for (int64_t q : outputs) {
    AxisClass& c = phases[floor_mod(q + g.low, g.stride)];
    c.output.push_back(q);
    c.base.push_back(floor_div(q + g.low, g.stride));
  }
  for (int64_t k = 0; k < g.kernel; ++k) {
    const auto phase = phases.find((k * g.dilation) % g.stride);
    if (phase == phases.end()) continue;
    phase->second.tap.push_back(k);
    phase->second.shift.push_back(-(k * g.dilation / g.stride));
  }
  for (auto& [_, c] : phases) add_class(axis, std::move(c), source_at);
}

// Where a border folds the continued input back: for each coordinate, the positions outside that show it.
std::map<int64_t, std::vector<int64_t>> folded(int64_t first, int64_t last, int64_t size, Border border) {
  std::map<int64_t, std::vector<int64_t>> result;
  if (border == Border::kConstant) return result;
  for (int64_t u = first; u < std::min<int64_t>(0, last + 1); ++u) result[continued(u, size, border)].push_back(u);
  for (int64_t u = std::max(size, first); u <= last; ++u) result[continued(u, size, border)].push_back(u);
  return result;
}

std::vector<int64_t> all_but(int64_t size, const std::map<int64_t, std::vector<int64_t>>& excluded) {
  std::vector<int64_t> result;
  for (int64_t i = 0; i < size; ++i)
    if (!excluded.count(i)) result.push_back(i);
  return result;
}

// Finds the kinds of an axis' outputs, numbered over its classes, and returns how many there are.
int64_t find_kinds(Axis& axis) {
  std::vector<int64_t> outside{0};  // entries of the lookup before each
  for (int64_t entry : axis.lookup) outside.push_back(outside.back() + (entry == kOutside));
  int64_t count = 1;
  for (AxisClass& c : axis.classes) {
    c.kind.assign(c.output.size(), 0);
    if (c.tap.empty()) continue;
    const auto [low, high] = std::minmax_element(c.shift.begin(), c.shift.end());
    std::map<std::vector<bool>, int64_t> kinds;
    for (size_t j = 0; j < c.output.size(); ++j) {
      const int64_t base = c.base[j];
      if (outside[static_cast<size_t>(base + *low)] == outside[static_cast<size_t>(base + *high + 1)]) continue;
      std::vector<bool> inside;
      for (int64_t s : c.shift) inside.push_back(axis.lookup[static_cast<size_t>(base + s)] != kOutside);
      if (std::find(inside.begin(), inside.end(), false) == inside.end()) continue;
      const auto [at, fresh] = kinds.emplace(std::move(inside), count);
      count += fresh;
      c.kind[j] = at->second;
      c.outside = true;
    }
  }
  return count;
}

}  // namespace

Axis forward_axis(const AxisGeometry& g, bool transposed) {
  Axis axis;
  const auto outputs = all_but(g.output, {});
  if (transposed)
    add_phases(axis, g, outputs, [&](int64_t e) { return continued(e, g.input, g.border); });
  else
    add_strided(axis, g, outputs, [&](int64_t p) { return continued(p - g.low, g.input, g.border); });
  return axis;
}

Axis adjoint_axis(const AxisGeometry& g, bool transposed) {
  Axis axis;
  const auto inside = [&](int64_t o) { return o >= 0 && o < g.output ? o : kOutside; };
  const int64_t reach = (g.kernel - 1) * g.dilation;
  if (transposed) {
    // Input e (or a position that shows it) went to outputs e * stride + k * dilation - low.
    const auto source_at = [&](int64_t p) { return inside(p - g.low); };
    const auto seen_again = folded(floor_div(g.low - reach, g.stride), floor_div(g.output - 1 + g.low, g.stride),
                                   g.input, g.border);
    add_strided(axis, g, all_but(g.input, seen_again), source_at);
    for (auto [i, positions] : seen_again) {
      positions.insert(positions.begin(), i);
      std::vector<std::pair<int64_t, int64_t>> taps;
      for (int64_t e : positions)
        for (int64_t k = 0; k < g.kernel; ++k)
          if (const int64_t q = source_at(e * g.stride + k * g.dilation); q != kOutside) taps.emplace_back(k, q);
      add_single(axis, i, taps);
    }
    return axis;
  }
  // Position u of the continued input was read by outputs (u + low - k * dilation) / stride.
  const auto seen_again = folded(-g.low, (g.output - 1) * g.stride + reach - g.low, g.input, g.border);
  add_phases(axis, g, all_but(g.input, seen_again), inside);
  for (auto [i, positions] : seen_again) {
    positions.insert(positions.begin(), i);
    std::vector<std::pair<int64_t, int64_t>> taps;
    for (int64_t u : positions)
      for (int64_t k = 0; k < g.kernel; ++k) {
        const int64_t p = u + g.low - k * g.dilation;
        if (floor_mod(p, g.stride) != 0) continue;
        if (const int64_t o = inside(floor_div(p, g.stride)); o != kOutside) taps.emplace_back(k, o);
      }
    add_single(axis, i, taps);
  }
  return axis;
}

Gather only_region(const Gather& g, int64_t region) {
  Gather one = g;
  one.region += region;
  one.regions = 1;
  return one;
}

bool has_every_tap(const Gather& g, const Region& r) {
  if (r.taps != g.filter_taps) return false;
  for (int64_t t = 0; t < r.taps; ++t)
    if (r.tap[t] != t) return false;
  return true;
}

GatherPlan::GatherPlan(int64_t batch, const AxisGeometry (&geometry)[3], bool transposed, bool adjoint, Strides source,
                       Strides output, bool zeros) {
  const int64_t filter_stride[2] = {geometry[1].kernel * geometry[2].kernel, geometry[2].kernel};
  int64_t kinds = 1;
  for (int a = 2; a >= 0; --a) {
    axis_[a] = adjoint ? adjoint_axis(geometry[a], transposed) : forward_axis(geometry[a], transposed);
    const int64_t here = find_kinds(axis_[a]);
    for (auto& c : axis_[a].classes)
      for (auto& k : c.kind) k *= kinds;
    kinds *= here;
    for (auto& entry : axis_[a].lookup)
      if (entry != kOutside) entry *= source.axis[a];
    for (auto& c : axis_[a].classes) {
      for (auto& o : c.output) o *= output.axis[a];
    }
    view_.lookup[a] = axis_[a].lookup.data();
  }
  for (const auto& d : axis_[0].classes)
    for (const auto& h : axis_[1].classes)
      for (const auto& w : axis_[2].classes) {
        Region r{};
        const AxisClass* classes[3] = {&d, &h, &w};
        r.pixels = batch;
        r.taps = 1;
        for (int a = 0; a < 3; ++a) {
          const AxisClass& c = *classes[a];
          r.axis[a] = {c.output.data(), c.base.data(), c.shift.data(), c.tap.data(), c.kind.data(),
                       static_cast<int64_t>(c.output.size()), static_cast<int64_t>(c.tap.size())};
          r.leaves_out = r.leaves_out || (zeros && c.outside);
          r.pixels *= r.axis[a].outputs;
          r.taps *= r.axis[a].taps;
        }
        if (r.pixels == 0) continue;
        std::vector<int64_t> tap;
        tap.reserve(static_cast<size_t>(r.taps));
        for (int64_t kd : d.tap)
          for (int64_t kh : h.tap)
            for (int64_t kw : w.tap) tap.push_back(kd * filter_stride[0] + kh * filter_stride[1] + kw);
        r.tap = tap.data();
        taps_.push_back(std::move(tap));  // moving a vector keeps its elements where they are
        regions_.push_back(r);
      }
  view_.source_strides = source;
  view_.output_strides = output;
  view_.spreads = transposed != adjoint && (adjoint || zeros);
  for (int a = 0; a < 3; ++a) {
    view_.spread[a] = geometry[a];
    if (!transposed) std::swap(view_.spread[a].input, view_.spread[a].output);
    if (geometry[a].border != Border::kConstant) view_.spreads = false;
  }
  view_.region = regions_.data();
  view_.regions = static_cast<int64_t>(regions_.size());
  view_.filter_taps = geometry[0].kernel * geometry[1].kernel * geometry[2].kernel;
}

int64_t GatherPlan::bytes() const {
  size_t words = 0;
  for (const Axis& axis : axis_) {
    words += axis.lookup.size();
    for (const AxisClass& c : axis.classes)
      words += c.output.size() + c.base.size() + c.kind.size() + c.shift.size() + c.tap.size();
  }
  for (const auto& taps : taps_) words += taps.size();
  return static_cast<int64_t>(sizeof(GatherPlan) + words * sizeof(int64_t) + regions_.size() * sizeof(Region));
}

}  // namespace convlayers
