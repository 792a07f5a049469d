// Pooling over sliding and adaptive windows: maxima with their indices, averages, and the averages' adjoint.
#include <functional>

#include "kernels/pool/pool.h"
#include "testing.h"

namespace convlayers::test {
namespace {

struct Windows {
  int64_t batch, channels, divisor;
  WindowAxis axis[3];
  int64_t gap[2];  // floats between pixels of the input and of the output, beyond the channels
  bool planes[2];  // whether they are contiguous planes instead

  int64_t pixels(bool output) const {
    int64_t n = batch;
    for (const auto& a : axis) n *= output ? a.output : a.input;
    return n;
  }
};

std::string describe(const Windows& p) {
  const auto layout = [&](int i) { return p.planes[i] ? "planes" : "+" + std::to_string(p.gap[i]); };
  std::string s = "n" + std::to_string(p.batch) + " c" + std::to_string(p.channels) + " " + layout(0) + "->" + layout(1) + " div" + std::to_string(p.divisor);
  for (const auto& a : p.axis)
    s += " [" + std::to_string(a.input) + "->" + std::to_string(a.output) + " k" + std::to_string(a.kernel) + " s" +
         std::to_string(a.stride) + " d" + std::to_string(a.dilation) + " pad" + std::to_string(a.low) + "," +
         std::to_string(a.high) + (a.count_padding ? " counted]" : "]");
  return s;
}

// One axis: the padding may be so wide, or the dilation so large, that windows see nothing.
WindowAxis random_axis(bool adaptive, bool count_padding, int64_t longest) {
  const int64_t input = pick(1, longest);
  if (adaptive) return WindowAxis(input, one_in(40) ? 0 : pick(1, 12), 0, 1, 0, 0, 1, false);
  for (;;) {
    const int64_t kernel = pick(1, 5), stride = pick(1, 4), dilation = pick(1, 6), reach = (kernel - 1) * dilation + 1;
    const int64_t low = pick(0, reach), high = pick(0, reach), span = input + low + high - reach;
    if (span < 0) continue;
    int64_t output = span / stride + 1;
    if (one_in(2)) {  // ceil mode: one more, where it begins inside the input or below it
      output = (span + stride - 1) / stride + 1;
      if ((output - 1) * stride >= input + low) --output;
    }
    return WindowAxis(input, output, kernel, stride, low, high, dilation, count_padding);
  }
}

Windows random_windows() {
  Windows p{};
  p.batch = pick(1, 3);
  p.channels = one_in(8) ? pick(1, 300) : pick(1, 40);  // some have several blocks of vectors
  p.divisor = one_in(3) ? (one_in(2) ? pick(1, 9) : -pick(1, 9)) : 0;
  for (auto& g : p.gap) g = one_in(2) ? 0 : pick(1, 9);
  for (auto& planes : p.planes) planes = one_in(2);
  const int64_t rank = pick(1, 3);
  const bool adaptive = one_in(3), count_padding = one_in(2), wide = p.channels < 8 && one_in(3);
  for (int64_t a = 3 - rank; a < 3; ++a)
    p.axis[a] = random_axis(adaptive, count_padding, wide && a == 2 ? 300 : 9);  // a task has 128 pixels of a row
  if (one_in(6))  // one window over all there is
    for (int64_t a = 3 - rank; a < 3; ++a) p.axis[a] = WindowAxis(pick(1, 9), 1, 0, 1, 0, 0, 1, false);
  return p;
}

Strides strides(const Windows& p, bool output) {
  const auto size = [&](int a) { return output ? p.axis[a].output : p.axis[a].input; };
  const int64_t plane = size(0) * size(1) * size(2);
  if (p.planes[output]) return {p.channels * plane, {size(1) * size(2), size(2), 1}};
  const int64_t pixel = p.channels + p.gap[output];
  return {pixel * plane, {pixel * size(1) * size(2), pixel * size(2), pixel}};
}

// The inputs of an axis that output o sees, and how many elements of its window count in an average.
std::vector<int64_t> seen(const WindowAxis& a, int64_t o, int64_t& counted) {
  std::vector<int64_t> inputs;
  if (a.kernel == 0) {
    for (int64_t i = 0; i < a.input; ++i)
      if ((i + 1) * a.output > o * a.input && i * a.output < (o + 1) * a.input) inputs.push_back(i);
    counted = static_cast<int64_t>(inputs.size());
    return inputs;
  }
  int64_t before_end = 0;
  for (int64_t k = 0; k < a.kernel; ++k) {
    const int64_t i = o * a.stride - a.low + k * a.dilation;
    if (i >= 0 && i < a.input) inputs.push_back(i);
    before_end += i < a.input + a.high;
  }
  counted = a.count_padding ? before_end : static_cast<int64_t>(inputs.size());
  counted = counted < 1 ? 1 : counted;
  return inputs;
}

// Calls f(output pixel, its divisor, the pixels of its plane that it sees); pixels count over batch and axes.
template <class F>
void each_window(const Windows& p, const F& f) {
  const auto& [d, h, w] = p.axis;
  for (int64_t n = 0, o = 0; n < p.batch; ++n)
    for (int64_t od = 0; od < d.output; ++od)
      for (int64_t oh = 0; oh < h.output; ++oh)
        for (int64_t ow = 0; ow < w.output; ++ow, ++o) {
          int64_t counted[3];
          const auto depths = seen(d, od, counted[0]), rows = seen(h, oh, counted[1]),
                     columns = seen(w, ow, counted[2]);
          std::vector<int64_t> plane;
          for (const int64_t id : depths)
            for (const int64_t ih : rows)
              for (const int64_t iw : columns) plane.push_back((id * h.input + ih) * w.input + iw);
          const int64_t divisor = p.divisor ? p.divisor : counted[0] * counted[1] * counted[2];
          f(n, o, divisor, plane);
        }
}

// Pixels of `channels` floats, `gap` apart, in a buffer that ends with the last of them.
template <class T>
std::vector<T> spread(const std::vector<T>& dense, int64_t channels, int64_t gap, T between) {
  std::vector<T> v;
  for (size_t i = 0; i < dense.size(); ++i) {
    if (i != 0 && i % static_cast<size_t>(channels) == 0) v.insert(v.end(), static_cast<size_t>(gap), between);
    v.push_back(dense[i]);
  }
  return v;
}

// What is dense and channels last, as the problem has it: planes, or pixels with gaps.
template <class T>
std::vector<T> laid(const Windows& p, bool output, const std::vector<T>& dense, T between) {
  if (!p.planes[output]) return spread(dense, p.channels, p.gap[output], between);
  const auto c = static_cast<size_t>(p.channels), plane = static_cast<size_t>(p.pixels(output) / p.batch);
  std::vector<T> v(dense.size());
  for (size_t i = 0; i < dense.size(); ++i) v[(i / c / plane * c + i % c) * plane + i / c % plane] = dense[i];
  return v;
}

// Integers and now and then what compares strangely.
std::vector<float> awkward(int64_t count) {
  auto v = integers(count);
  constexpr float strange[] = {NAN, INFINITY, -INFINITY, -0.f};
  const int64_t rare = pick(1, 30);
  for (auto& x : v)
    if (one_in(rare)) x = strange[pick(0, 3)];
  return v;
}

PoolProblem problem(const Windows& p, bool adjoint, const std::vector<float>& source, std::vector<float>& output) {
  PoolProblem q{};
  q.batch = p.batch;
  q.channels = p.channels;
  for (int a = 0; a < 3; ++a) q.axis[a] = p.axis[a];
  q.source = source.data();
  q.source_end = source.data() + source.size();
  q.source_strides = strides(p, adjoint);
  q.output = output.data();
  q.output_strides = strides(p, !adjoint);
  const auto plane = [&](bool output) { return p.planes[output] ? p.pixels(output) / p.batch : 0; };
  q.source_plane = plane(adjoint);
  q.output_plane = plane(!adjoint);
  q.divisor = p.divisor;
  return q;
}

void check_max(const Kernels& k, const Windows& p) {
  const std::string what = std::string(k.isa) + ", max_pool: " + describe(p);
  const auto c = p.channels, plane = p.pixels(false) / p.batch, outputs = p.pixels(true) / p.batch;
  const auto x = awkward(p.pixels(false) * c);
  std::vector<float> best;
  std::vector<int64_t> where;  // channels last
  each_window(p, [&](int64_t n, int64_t, int64_t, const std::vector<int64_t>& window) {
    for (int64_t channel = 0; channel < c; ++channel) {
      const auto value = [&](int64_t i) { return x[static_cast<size_t>((n * plane + i) * c + channel)]; };
      // The last NaN, else the first of the largest, else that there is nothing.
      int64_t at = window.empty() ? -1 : window[0];
      for (const int64_t i : window)
        if (std::isnan(value(i)) || (!std::isnan(value(at)) && value(i) > value(at))) at = i;
      best.push_back(at < 0 ? -INFINITY : value(at));
      where.push_back(at);
    }
  });
  const auto source = laid<float>(p, false, x, NAN);
  const auto wanted = laid(p, true, best, kPoison);
  auto got = poisoned(static_cast<int64_t>(wanted.size()));
  PoolProblem q = problem(p, false, source, got);
  run(k.max_pool, q);
  compare(what, wanted, got, same);

  const bool last = one_in(2);  // The indices lie with their channels last, or first.
  got = poisoned(static_cast<int64_t>(wanted.size()));
  auto index = filled<int64_t>(p.pixels(true) * c, kNoIndex);
  q = problem(p, false, source, got);
  q.index = index.data();
  q.index_strides = last ? PlaneStrides{outputs * c, 1, c} : PlaneStrides{outputs * c, outputs, 1};
  run(k.max_pool, q);
  compare(what + ", with indices", wanted, got, same);
  std::vector<int64_t> indices;
  const PlaneStrides& s = q.index_strides;
  for (int64_t o = 0; o < p.pixels(true); ++o)
    for (int64_t channel = 0; channel < c; ++channel)
      indices.push_back(
          index[static_cast<size_t>(o / outputs * s.batch + channel * s.channel + o % outputs * s.pixel)]);
  compare(what + ", indices", where, indices, std::equal_to<>());

  const auto& [d, h, w] = p.axis;
  if (d.kernel * h.kernel * w.kernel == 0) return;
  // The same places as taps of their windows, channels last; a gradient of integers is exact.
  std::vector<uint8_t> taps;
  const auto gy = integers(p.pixels(true) * c);
  std::vector<float> gx(x.size());
  for (size_t i = 0; i < where.size(); ++i) {
    const int64_t pixel = static_cast<int64_t>(i) / c, o = pixel % outputs, at = where[i];
    const auto tap = [](const WindowAxis& a, int64_t out, int64_t in) { return (in + a.low - out * a.stride) / a.dilation; };
    const int64_t kd = tap(d, o / w.output / h.output, at / w.input / h.input);
    const int64_t kh = tap(h, o / w.output % h.output, at / w.input % h.input), kw = tap(w, o % w.output, at % w.input);
    taps.push_back(static_cast<uint8_t>(at < 0 ? kNoTap : (kd * h.kernel + kh) * w.kernel + kw));
    if (at >= 0) gx[static_cast<size_t>((pixel / outputs * plane + at) * c) + i % static_cast<size_t>(c)] += gy[i];
  }
  got = poisoned(static_cast<int64_t>(wanted.size()));
  auto kept = filled<uint8_t>(p.pixels(true) * c, 254);
  q = problem(p, false, source, got);
  q.tap = kept.data();
  q.tap_strides = {outputs * c, {h.output * w.output * c, w.output * c, c}};
  run(k.max_pool, q);
  compare(what + ", with taps", wanted, got, same);
  compare(what + ", taps", taps, kept, std::equal_to<>());

  const auto grad = laid<float>(p, true, gy, NAN), wanted_back = laid(p, false, gx, kPoison);
  auto back = poisoned(static_cast<int64_t>(wanted_back.size()));
  q = problem(p, true, grad, back);
  q.tap = kept.data();
  q.tap_strides = {outputs * c, {h.output * w.output * c, w.output * c, c}};
  run(k.max_pool_adjoint, q);
  compare(std::string(k.isa) + ", max_pool_adjoint: " + describe(p), wanted_back, back,
          [](float a, float b) { return a == b; });
}

// A sum of small integers is exact, and so is its quotient once rounded to float; the adjoint rounds every share.
void check_averages(const Kernels& k, const Windows& p) {
  const int64_t c = p.channels, plane = p.pixels(false) / p.batch;
  const auto x = integers(p.pixels(false) * c), gy = integers(p.pixels(true) * c);
  std::vector<float> y(gy.size());
  std::vector<double> gx(x.size()), scale(x.size()), terms(x.size());
  each_window(p, [&](int64_t n, int64_t o, int64_t divisor, const std::vector<int64_t>& window) {
    for (int64_t channel = 0; channel < c; ++channel) {
      const auto to = static_cast<size_t>(o * c + channel);
      double sum = 0;
      for (const int64_t i : window) {
        const auto from = static_cast<size_t>((n * plane + i) * c + channel);
        sum += x[from];
        gx[from] += gy[to] / static_cast<double>(divisor);
        scale[from] += std::abs(gy[to] / static_cast<double>(divisor));
        ++terms[from];
      }
      y[to] = static_cast<float>(sum / static_cast<double>(divisor));
    }
  });
  const std::string tail = ": " + describe(p);
  const auto source = laid<float>(p, false, x, NAN), grad = laid<float>(p, true, gy, NAN);
  auto wanted = laid(p, true, y, kPoison), got = poisoned(static_cast<int64_t>(grad.size()));
  run(k.avg_pool, problem(p, false, source, got));
  compare(std::string(k.isa) + ", avg_pool" + tail, wanted, got, [](float a, float b) { return a == b; });

  auto back = poisoned(static_cast<int64_t>(source.size()));
  run(k.avg_pool_adjoint, problem(p, true, grad, back));
  const auto sums = laid(p, false, gx, static_cast<double>(kPoison));
  std::vector<double> errors, bounds;
  for (size_t i = 0; i < sums.size(); ++i) errors.push_back(std::abs(back[i] - sums[i]));
  // The reciprocal of the divisor is rounded, then each product, then each addition.
  for (size_t i = 0; i < x.size(); ++i) bounds.push_back((terms[i] + 2) * 0x1p-24 * scale[i]);
  compare(std::string(k.isa) + ", avg_pool_adjoint's error" + tail, laid(p, false, bounds, 0.), errors,
          [](double bound, double error) { return error <= bound * 1.001; });
}

}  // namespace

void windows() {
  const Windows p = random_windows();
  for (const Kernels* k : available()) {
    check_max(*k, p);
    check_averages(*k, p);
  }
}

}  // namespace convlayers::test
