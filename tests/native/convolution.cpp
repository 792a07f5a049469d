// Convolutions, transposed convolutions and the gradients of both: the definition, term by term.
#include <algorithm>

#include "kernels/layout/layout.h"
#include "testing.h"

namespace convlayers::test {
namespace {

struct Problem {
  int64_t batch, groups, in, out;  // channels of one group
  bool transposed;
  AxisGeometry axis[3];
  float constant;

  int64_t inputs() const { return groups * in; }
  int64_t outputs() const { return groups * out; }
  int64_t pixels(bool output) const {
    int64_t n = batch;
    for (const auto& a : axis) n *= output ? a.output : a.input;
    return n;
  }
  int64_t taps() const { return axis[0].kernel * axis[1].kernel * axis[2].kernel; }
};

std::string describe(const Problem& p) {
  std::string s = (p.transposed ? "transposed " : "") + std::string("n") + std::to_string(p.batch) + " g" +
                  std::to_string(p.groups) + " i" + std::to_string(p.in) + " o" + std::to_string(p.out);
  for (const auto& a : p.axis)
    s += " [" + std::to_string(a.input) + "->" + std::to_string(a.output) + " k" + std::to_string(a.kernel) + " s" +
         std::to_string(a.stride) + " d" + std::to_string(a.dilation) + " low" + std::to_string(a.low) + " border" +
         std::to_string(static_cast<int>(a.border)) + "]";
  return s;
}

// A problem whose borders reach no further than Python would let them.
Problem random_problem() {
  Problem p{};
  p.batch = pick(1, 3);
  const bool depthwise = pick(0, 2) == 0;
  const bool grouped = !depthwise && one_in(3);  // few channels a group
  p.groups = depthwise || grouped ? (one_in(3) ? 8 * pick(1, 6) : pick(1, 20)) : pick(1, 3);
  p.in = depthwise ? 1 : grouped ? pick(1, 9) : pick(1, 20);
  p.out = depthwise ? pick(1, 3) : grouped ? (one_in(2) ? p.in : pick(1, 9)) : pick(1, 70);
  p.transposed = pick(0, 1) != 0;
  p.constant = static_cast<float>(pick(-2, 2));
  const int64_t rank = pick(1, 3);
  const bool tiles = rank > 1 && one_in(3);  // of the form that Winograd's algorithm takes
  const bool lines = !tiles && one_in(4);
  const int64_t line = 3 + 2 * pick(0, 2), along = pick(3 - rank, 2);
  const bool points = !tiles && !lines && one_in(5);  // 1x1: very few channels, or several blocks of them
  if (tiles || lines || points) p.groups = 1;
  const bool apart = points && one_in(4);  // pixels 4 KB apart, some of them by a stride
  if (points) p.in = one_in(2) ? pick(1, 8) : pick(1, 40), p.out = one_in(2) ? pick(1, 8) : pick(1, 140);
  if (apart) p.in = 512 * pick(1, 2), p.out = pick(60, 90);
  for (int64_t a = 0; a < 3; ++a) {
    AxisGeometry& g = p.axis[a];
    g = {1, 1, 1, 1, 1, 0, Border::kConstant};
    if (a < 3 - rank) continue;
    do {
      g = {pick(1, 9), 0, pick(1, 4), pick(1, 3), pick(1, 3), pick(-1, 4), static_cast<Border>(pick(0, 3))};
      if (tiles && a > 0) {
        g.kernel = pick(2, 5), g.input = pick(1, 14);
        if (one_in(2)) g.stride = g.dilation = 1;
        if (g.stride > 1 && one_in(2)) g.kernel = pick(3, 8), g.dilation = 1;
      }
      if (lines) g.kernel = a == along ? line : one_in(3) ? pick(1, 3) : 1, g.stride = g.dilation = 1;
      if (!tiles && !lines && a == 2 && one_in(4)) g.kernel = one_in(2) ? 5 : 7, g.input = pick(1, 24);
      if (points) g.kernel = 1, g.stride = one_in(3) ? 2 : 1, g.input = pick(1, apart ? 4 : a == 2 ? 40 : 9);
      // Rows of several tiles, and lines of taps that are more than the row.
      if (depthwise && !points && a == 2 && one_in(4)) g.kernel = one_in(3) ? pick(8, 31) : pick(1, 5), g.input = pick(10, 70);
      const int64_t reach = (g.kernel - 1) * g.dilation, high = pick(-1, 4);
      const int64_t span = g.input + g.low + high - reach - 1;
      g.output = p.transposed ? (g.input - 1) * g.stride - g.low - high + reach + 1
                              : (span < 0 ? 0 : span / g.stride + 1);
    } while (g.output < 1);
  }
  return p;
}

// The coordinate that position u of the continued axis shows, or -1: by reflecting step by step, not by formula.
int64_t shown(int64_t u, int64_t size, Border border) {
  while (u < 0 || u >= size) {
    if (border == Border::kConstant) return -1;
    if (border == Border::kReplicate) return u < 0 ? 0 : size - 1;
    if (border == Border::kCircular) u += u < 0 ? size : -size;
    if (border == Border::kReflect) {
      if (size == 1) return 0;
      u = u < 0 ? -u : 2 * (size - 1) - u;
    }
  }
  return u;
}

// Calls f(input pixel or -1, output pixel, tap) for every term of the definition; pixels count over batch and axes.
template <class F>
void terms(const Problem& p, F f) {
  const auto& [d, h, w] = p.axis;
  const auto source = [&](const AxisGeometry& a, int64_t o, int64_t k, int64_t& i) {
    int64_t at = o * a.stride + k * a.dilation - a.low;
    if (p.transposed) {
      at = o + a.low - k * a.dilation;
      if (at % a.stride != 0) return false;
      at /= a.stride;
    }
    i = shown(at, a.input, a.border);
    return true;
  };
  for (int64_t n = 0; n < p.batch; ++n)
    for (int64_t od = 0; od < d.output; ++od)
      for (int64_t oh = 0; oh < h.output; ++oh)
        for (int64_t ow = 0; ow < w.output; ++ow)
          for (int64_t kd = 0; kd < d.kernel; ++kd)
            for (int64_t kh = 0; kh < h.kernel; ++kh)
              for (int64_t kw = 0; kw < w.kernel; ++kw) {
                int64_t id, ih, iw;
                if (!source(d, od, kd, id) || !source(h, oh, kh, ih) || !source(w, ow, kw, iw)) continue;
                const bool outside = id < 0 || ih < 0 || iw < 0;
                f(outside ? -1 : ((n * d.input + id) * h.input + ih) * w.input + iw,
                  ((n * d.output + od) * h.output + oh) * w.output + ow, (kd * h.kernel + kh) * w.kernel + kw);
              }
}

Strides dense(int64_t channels, const AxisGeometry (&axis)[3], bool output) {
  const int64_t w = output ? axis[2].output : axis[2].input, h = output ? axis[1].output : axis[1].input,
                d = output ? axis[0].output : axis[0].input;
  return {channels * d * h * w, {channels * h * w, channels * w, channels}};
}

// Rounded up to whole vectors.
int64_t whole(const Kernels& k, int64_t channels) { return (channels + k.lanes - 1) / k.lanes * k.lanes; }

// Sums of small integers are exact; a zero's sign depends on how a sum begins.
void check_sums(const char* what, const Kernels& k, const Problem& p, const std::vector<double>& wanted,
                const std::vector<float>& got) {
  compare(std::string(k.isa) + ", " + what + ": " + describe(p), wanted, got, [](double a, float b) { return a == b; });
}

// Winograd's algorithm rounds; a term too many or too few would be a whole number.
void check_near(const char* what, const Kernels& k, const Problem& p, const std::vector<double>& wanted,
                const std::vector<float>& got) {
  compare(std::string(k.isa) + ", " + what + ": " + describe(p), wanted, got,
          [](double a, float b) { return std::fabs(a - b) < 0.01; });
}

// Weights as a dense bank (group, row, column, tap): rows are outputs forward.
void check(const Kernels& k, const Problem& p) {
  const int64_t in = p.inputs(), out = p.outputs(), taps = p.taps();
  const auto x = integers(p.pixels(false) * in), gy = integers(p.pixels(true) * out), bias = integers(out);
  const auto weight = integers(p.groups * p.out * p.in * taps);
  const auto at = [&](int64_t g, int64_t o, int64_t i, int64_t t) {
    return static_cast<size_t>(((g * p.out + o) * p.in + i) * taps + t);
  };
  std::vector<double> y(gy.size()), gx(x.size()), gw(weight.size());
  for (size_t i = 0; i < y.size(); ++i) y[i] = bias[i % static_cast<size_t>(out)];
  terms(p, [&](int64_t from, int64_t to, int64_t t) {
    for (int64_t g = 0; g < p.groups; ++g)
      for (int64_t i = 0; i < p.in; ++i)
        for (int64_t o = 0; o < p.out; ++o) {
          const double source = from < 0 ? p.constant : x[static_cast<size_t>(from * in + g * p.in + i)];
          const auto target = static_cast<size_t>(to * out + g * p.out + o);
          y[target] += source * weight[at(g, o, i, t)];
          const double back = gy[target];
          gw[at(g, o, i, t)] += source * back;
          if (from >= 0) gx[static_cast<size_t>(from * in + g * p.in + i)] += back * weight[at(g, o, i, t)];
        }
  });
  for (auto& v : y) v = v < 0 ? 0 : v;

  const Strides sx = dense(in, p.axis, false), sy = dense(out, p.axis, true);
  const GatherPlan forward(p.batch, p.axis, p.transposed, false, sx, sy, p.constant == 0);
  const GatherPlan adjoint(p.batch, p.axis, p.transposed, true, sy, sx, true);
  const auto line = static_cast<size_t>(std::max(in, out) * p.axis[2].kernel);
  const std::vector<float> border(line, p.constant), zeros(line, 0.f);
  const int64_t kernel[3] = {p.axis[0].kernel, p.axis[1].kernel, p.axis[2].kernel};
  const Activation relu{ActivationCode::kRelu, 0, 0}, none{};

  for (int pass = 0; pass < 2; ++pass) {  // forward, then the gradient of the input
    const bool back = pass == 1;
    const FilterSizes sizes{p.groups, back ? p.in : p.out, back ? p.out : p.in, {kernel[0], kernel[1], kernel[2]}};
    const FilterStrides strides{p.out * p.in * taps, back ? taps : p.in * taps, back ? p.in * taps : taps,
                                {kernel[1] * kernel[2], kernel[2], 1}};
    auto result = poisoned(back ? p.pixels(false) * in : p.pixels(true) * out);
    DirectProblem d{};
    d.gather = back ? &adjoint.view() : &forward.view();
    d.source = back ? gy.data() : x.data();
    d.output = result.data();
    for (auto& o : d.outside) o = back ? zeros.data() : border.data();
    d.groups = p.groups;
    d.source_channels = sizes.columns;
    d.output_channels = sizes.rows;
    const bool turned = k.lanes_are_sources(d);
    const FilterSizes pack_sizes = turned ? sizes.turned() : sizes;
    auto packed = poisoned(p.groups * whole(k, pack_sizes.rows) * pack_sizes.columns * taps);
    run(k.pack, Pack{weight.data(), turned ? strides.turned() : strides, pack_sizes, packed.data()});
    d.weight = packed.data();
    d.bias = back ? nullptr : bias.data();
    d.activation = back ? none : relu;
    run(k.direct, d);
    check_sums(back ? "direct input gradient" : "direct", k, p, back ? gx : y, result);
    const Gather& all = *d.gather;
    if (!winograd_fits(all)) continue;
    result = poisoned(static_cast<int64_t>(result.size()));
    d.weight = nullptr;
    d.output = result.data();
    for (int64_t i = 0; i < all.regions; ++i) {
      const Gather region = only_region(all, i);
      d.gather = &region;
      WinogradForm form;
      winograd_form(region, form);
      const WinogradPlan plan(region, form, sizes.groups, sizes.columns, sizes.rows, k.lanes, k.block);
      auto filters = poisoned(p.groups * plan.group_floats()), sources = poisoned(plan.source_floats());
      const WinogradProblem w{d, &plan, weight.data(), strides, sizes, filters.data(), sources.data(), 0, 0};
      if (plan.slice == 0) run(k.winograd_filters, w);
      run_winograd(k, w, [](const auto& kernel, const auto& problem) { run(kernel, problem); });
    }
    check_near(back ? "winograd input gradient" : "winograd", k, p, back ? gx : y, result);
  }
  const int64_t width = whole(k, p.out), segments = pick(1, 3);
  auto sums = poisoned(segments * p.groups * taps * p.in * width), gradient = poisoned(static_cast<int64_t>(gw.size()));
  // The gradient of a bias, from each kernel of weight gradients, and by itself.
  std::vector<double> gb(static_cast<size_t>(out));
  for (size_t i = 0; i < gy.size(); ++i) gb[i % gb.size()] += gy[i];
  auto channel_sums = poisoned(segments * out);
  const auto check_channels = [&](const char* what) {
    std::vector<float> total(gb.size());
    for (size_t i = 0; i < channel_sums.size(); ++i) total[i % gb.size()] += channel_sums[i];
    check_sums(what, k, p, gb, total);
    channel_sums = poisoned(segments * out);
  };
  run(k.channel_sums, ChannelSumsProblem{&forward.view(), gy.data(), out, segments, channel_sums.data()});
  check_channels("channel sums");
  DirectWeightProblem d{&forward.view(), x.data(), gy.data(), {border.data(), border.data(), border.data()},
                        p.groups, p.in, p.out, segments, sums.data(), channel_sums.data()};
  run(k.direct_weight, d);
  check_channels("direct bias gradient");
  const Unpack job{sums.data(), segments, {p.groups, p.out, p.in, {kernel[0], kernel[1], kernel[2]}},
                   {p.out * p.in * taps, p.in * taps, taps, {kernel[1] * kernel[2], kernel[2], 1}}, gradient.data()};
  run(k.unpack, job);
  check_sums("direct weight gradient", k, p, gw, gradient);
  if (WinogradForm form; winograd_form(forward.view(), form) &&
      has_every_tap(forward.view(), *forward.view().region)) {
    const WinogradPlan plan(forward.view(), form, p.groups, p.in, p.out, k.lanes, k.block);
    auto banks = poisoned(segments * static_cast<int64_t>(gw.size()));
    d.result = banks.data();
    d.channel_sums = channel_sums.data();
    run(k.winograd_weight, WinogradWeightProblem{d, &plan, job.strides, job.sizes});
    check_channels("winograd bias gradient");
    gradient.assign(gw.size(), 0.f);
    for (size_t i = 0; i < banks.size(); ++i) gradient[i % gw.size()] += banks[i];
    check_near("winograd weight gradient", k, p, gw, gradient);
  }

  for (int pass = 0; pass < 2; ++pass) {
    const bool back = pass == 1;
    const FilterSizes sizes{p.groups, back ? p.in : p.out, back ? p.out : p.in, {kernel[0], kernel[1], kernel[2]}};
    const FilterStrides strides{p.out * p.in * taps, back ? taps : p.in * taps, back ? p.in * taps : taps,
                                {kernel[1] * kernel[2], kernel[2], 1}};
    auto packed = poisoned(vector_floats(sizes, k.lanes));
    const Pack bank{weight.data(), strides, sizes, packed.data()};
    for (int64_t i = 0; i < vector_parts(sizes, k.lanes); ++i) pack_vector(bank, k.lanes, i);
    auto result = poisoned(back ? p.pixels(false) * in : p.pixels(true) * out);
    DepthwiseProblem w{};
    w.gather = back ? &adjoint.view() : &forward.view();
    w.source = back ? gy.data() : x.data();
    w.output = result.data();
    for (auto& o : w.outside) o = back ? zeros.data() : border.data();
    w.groups = p.groups;
    w.source_channels = sizes.columns;
    w.output_channels = sizes.rows;
    w.weight = packed.data();
    w.bias = back ? nullptr : bias.data();
    w.activation = back ? none : relu;
    run(k.depthwise, w);
    check_sums(back ? "depthwise input gradient" : "depthwise", k, p, back ? gx : y, result);
  }
  auto vector_sums = poisoned(segments * vector_floats(job.sizes, k.lanes));
  gradient = poisoned(static_cast<int64_t>(gw.size()));
  DepthwiseWeightProblem w{&forward.view(), x.data(), gy.data(), {border.data(), border.data(), border.data()},
                           p.groups, p.in, p.out, segments, vector_sums.data(), channel_sums.data()};
  run(k.depthwise_weight, w);
  check_channels("depthwise bias gradient");
  const Unpack bank{vector_sums.data(), segments, job.sizes, job.strides, gradient.data()};
  for (int64_t i = 0; i < vector_parts(bank.sizes, k.lanes); ++i) unpack_vector(bank, k.lanes, i);
  check_sums("depthwise weight gradient", k, p, gw, gradient);
}

}  // namespace

void convolution() {
  const Problem p = random_problem();
  for (const Kernels* k : available()) check(*k, p);
}

}  // namespace convlayers::test
