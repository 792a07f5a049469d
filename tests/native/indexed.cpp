// Pooling by index, in whatever layout, and fractional max pooling: plane by plane, as their contracts define them.
#include <functional>

#include "kernels/pool/indexed.h"
#include "testing.h"

namespace convlayers::test {
namespace {

// Planes in a layout of their own: channels first or last, with gaps, in a buffer that is known beyond them, too.
template <class T>
struct Planes {
  PlaneStrides strides{};
  std::vector<T> data;

  Planes(int64_t batch, int64_t channels, int64_t pixels, T fill) {
    const int64_t gap = one_in(2) ? 0 : pick(1, 3);
    if (one_in(2)) {
      strides = {(channels + gap) * pixels, 1, channels + gap};
    } else {
      strides = {channels * (pixels + gap), pixels + gap, 1};
    }
    data = filled(batch * strides.batch + gap, fill);
  }
  T& at(int64_t n, int64_t c, int64_t i) {
    return data[static_cast<size_t>(n * strides.batch + c * strides.channel + i * strides.pixel)];
  }
};

using Function = bool (*)(const IndexedProblem&, int64_t);

// Whether scatter, unpool and gather do as defined where some indices are -1 and, `outside`, some beyond the plane.
void check_indexed(const char* name, Function function, bool outside) {
  const bool gathers = function == gather, adds = function == scatter;
  const int64_t batch = pick(1, 3), channels = pick(1, 40), indices = pick(0, 12), plane = pick(0, 12);
  const int64_t sources = gathers ? plane : indices, results = gathers ? indices : plane;
  Planes<int64_t> index(batch, channels, indices, kNoIndex);
  Planes<float> from(batch, channels, sources, NAN), to(batch, channels, results, kPoison), wanted = to;
  bool inside = true;
  for (int64_t n = 0; n < batch; ++n)
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t i = 0; i < sources; ++i) from.at(n, c, i) = static_cast<float>(pick(-3, 3));
      for (int64_t i = 0; i < results; ++i) wanted.at(n, c, i) = 0;
      for (int64_t k = 0; k < indices; ++k) {
        int64_t i = plane > 0 ? pick(0, plane - 1) : -1;
        if (one_in(6)) i = -1;
        if (outside && one_in(9)) i = one_in(2) ? plane + pick(0, 2) : one_in(2) ? INT64_MIN : INT64_MAX;
        index.at(n, c, k) = i;
        const bool within = i >= 0 && i < plane;
        // -1 stands for an empty window, which unpooling cannot have come from.
        inside = inside && (within || (i == -1 && function != unpool));
        if (!within) continue;
        if (gathers) {
          wanted.at(n, c, k) = from.at(n, c, i);
        } else {
          wanted.at(n, c, i) = from.at(n, c, k) + (adds ? wanted.at(n, c, i) : 0);
        }
      }
    }
  const IndexedProblem p{batch, channels, indices, plane, index.data.data(), index.strides,
                         from.data.data(), from.strides, to.data.data(), to.strides};
  bool all = true;
  for (int64_t t = indexed_tasks(p); t-- > 0;) all = function(p, t) && all;
  const std::string what = std::string(name) + ": n" + std::to_string(batch) + " c" + std::to_string(channels) + " " +
                           std::to_string(indices) + " indices into " + std::to_string(plane);
  compare(what, wanted.data, to.data, [](float a, float b) { return a == b; });
  report(what + ", whether all lie inside", all == inside, all ? "says that they do" : "says that they do not");
}

// One axis of a fractional pooling whose window starts are the same in float and in double.
void draw_axis(FractionalProblem& p, int a) {
  do {
    p.input[a] = pick(1, 12);
    p.kernel[a] = pick(1, p.input[a]);
    p.output[a] = pick(1, p.input[a] - p.kernel[a] + 1);
  } while (p.output[a] > 1 && 4 * (p.input[a] - p.kernel[a]) % (p.output[a] - 1) != 0);
}

std::vector<int64_t> starts(const FractionalProblem& p, int a, double u) {
  std::vector<int64_t> start;
  for (int64_t o = 0; o + 1 < p.output[a]; ++o) {
    const double step = static_cast<double>(p.input[a] - p.kernel[a]) / static_cast<double>(p.output[a] - 1);
    start.push_back(static_cast<int64_t>(std::trunc((static_cast<double>(o) + u) * step) - std::trunc(u * step)));
  }
  start.push_back(p.input[a] - p.kernel[a]);
  return start;
}

}  // namespace

void by_index() {
  const bool outside = one_in(2);
  check_indexed("scatter", scatter, outside);
  check_indexed("unpool", unpool, outside);
  check_indexed("gather", gather, outside);
}

void fractional() {
  FractionalProblem p{};
  p.batch = pick(1, 3);
  p.channels = pick(1, 9);
  p.axes = pick(2, 3);
  int64_t plane = 1, outputs = 1;
  for (int a = 0; a < 3; ++a) {
    const int64_t i = a - (3 - p.axes);
    p.input[a] = p.output[a] = p.kernel[a] = 1;
    p.axis_of_sample[a] = i < 0 ? -1 : p.axes == 2 ? 1 - i : i;
    if (i >= 0) draw_axis(p, a);
    plane *= p.input[a];
    outputs *= p.output[a];
  }
  std::vector<float> sample;
  for (int64_t i = 0; i < p.batch * p.channels * p.axes; ++i)
    sample.push_back(one_in(20) ? 3e38f : static_cast<float>(pick(-24, 24)) / 8);
  const bool refused = one_in(4);
  const int64_t wrong = pick(0, p.batch * p.channels - 1);
  constexpr float outside[] = {-INFINITY, NAN, INFINITY};
  if (refused) sample[static_cast<size_t>(wrong * p.axes + pick(0, p.axes - 1))] = outside[pick(0, 2)];

  Planes<float> from(p.batch, p.channels, plane, NAN), to(p.batch, p.channels, outputs, kPoison), wanted = to;
  Planes<int64_t> index(p.batch, p.channels, outputs, kNoIndex), where = index;
  for (int64_t n = 0; n < p.batch; ++n)
    for (int64_t c = 0; c < p.channels; ++c) {
      for (int64_t i = 0; i < plane; ++i) from.at(n, c, i) = one_in(20) ? NAN : static_cast<float>(pick(-3, 3));
      if (refused && n * p.channels + c == wrong) continue;
      std::vector<int64_t> start[3];
      for (int a = 0; a < 3; ++a) {
        const int64_t s = p.axis_of_sample[a];
        start[a] = starts(p, a, s < 0 ? 0 : sample[static_cast<size_t>((n * p.channels + c) * p.axes + s)]);
      }
      int64_t o = 0;
      for (const int64_t d0 : start[0])
        for (const int64_t h0 : start[1])
          for (const int64_t w0 : start[2]) {
            int64_t at = (d0 * p.input[1] + h0) * p.input[2] + w0;
            for (int64_t d = d0; d < d0 + p.kernel[0]; ++d)
              for (int64_t h = h0; h < h0 + p.kernel[1]; ++h)
                for (int64_t w = w0; w < w0 + p.kernel[2]; ++w) {
                  const int64_t i = (d * p.input[1] + h) * p.input[2] + w;
                  const float x = from.at(n, c, i), best = from.at(n, c, at);
                  if (std::isnan(x) || (!std::isnan(best) && x > best)) at = i;
                }
            wanted.at(n, c, o) = from.at(n, c, at);
            where.at(n, c, o++) = at;
          }
    }
  p.sample = sample.data();
  p.from = from.data.data();
  p.from_strides = from.strides;
  p.to = to.data.data();
  p.to_strides = to.strides;
  p.index = index.data.data();
  p.index_strides = index.strides;
  bool all = true;
  for (int64_t t = p.batch * p.channels; t-- > 0;) all = fractional_max_pool(p, t) && all;
  const std::string what = "fractional_max_pool: n" + std::to_string(p.batch) + " c" + std::to_string(p.channels) +
                           " plane " + std::to_string(plane) + "->" + std::to_string(outputs);
  compare(what, wanted.data, to.data, same);
  compare(what + ", indices", where.data, index.data, std::equal_to<>());
  report(what + ", whether all samples are finite", all != refused,
         all ? "says that they do" : "says that they do not");
}

}  // namespace convlayers::test
