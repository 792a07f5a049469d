// The gradient of a depthwise convolution's weights.
#pragma once

#include "kernels/depthwise/depthwise_body.h"
#include "kernels/direct/channel_sums_body.h"

namespace {

using convlayers::DepthwiseWeightProblem;

constexpr int64_t kWeightTaps = 12;  // taps whose gradients are summed side by side in registers

// One vector's sums of some steps, the first `step`. Those of tap t are at result + t * stride, a vector a step.
template <Share Shared, bool Whole = false>
struct Sums {
  Reader<Shared, Whole> read;
  typename Reader<Shared, Whole>::Index index;  // of the first step
  int64_t output, stride;
  Lanes lanes;
  float* result;

  Sums(const DepthwiseWeightProblem& p, const Places& places, int64_t v, int64_t step, float* segment)
      : read(places[v]), index(read.index(places, step)), output(places[v].output),
        stride(p.source_channels * kLanes), lanes(places[v].width),
        result(segment + (v * p.gather->filter_taps * p.source_channels + step) * kLanes) {}
};

// Taps first ... first + Taps, over some pixels; source is [tap][pixel].
template <Share Shared, int Taps>
void sum_taps(const DepthwiseWeightProblem& p, const Region& r, int64_t count, const Pixels& pixels,
              const float* const* source, int64_t first, const Sums<Shared>& s) {
  Vec sum[Taps] = {};
  for (int64_t i = 0; i < count; ++i) {
    const Vec gradient = load(p.gradient + pixels.output[i] + s.output, s.lanes);
#pragma GCC unroll 12
    for (int k = 0; k < Taps; ++k)
      sum[k] += gradient * s.read.spread(s.read(source[(first + k) * count + i] + s.read.channel), s.index);
  }
  for (int k = 0; k < Taps; ++k) {
    float* to = s.result + r.tap[first + k] * s.stride;
    store(to, load(to) + sum[k]);
  }
}

template <Share Shared>
using SumTaps = void (*)(const DepthwiseWeightProblem&, const Region&, int64_t, const Pixels&, const float* const*,
                         int64_t, const Sums<Shared>&);
template <Share Shared, int... Taps>
constexpr std::array<SumTaps<Shared>, sizeof...(Taps)> sums_of_taps(std::integer_sequence<int, Taps...>) {
  return {sum_taps<Shared, Taps + 1>...};
}
template <Share Shared>
constexpr auto kSumTaps = sums_of_taps<Shared>(std::make_integer_sequence<int, kWeightTaps>{});

template <Share Shared>
void sum_all_taps(const DepthwiseWeightProblem& p, const Region& r, int64_t count, const Pixels& pixels,
                  const float* const* source, const Sums<Shared>& s) {
  const int64_t passes = (r.taps + kWeightTaps - 1) / kWeightTaps;
  for (int64_t i = 0; i < passes; ++i) {
    const int64_t first = r.taps * i / passes, taps = r.taps * (i + 1) / passes - first;
    kSumTaps<Shared>[static_cast<size_t>(taps - 1)](p, r, count, pixels, source, first, s);
  }
}

// How many outputs' gradients are held in registers while sources slide past: as many as fit, or what is left of a row.
template <int... Counts>
struct OutputCounts {
  static int64_t most(int64_t left) {
    int64_t count = 0;
    ((count = count == 0 && Counts <= left ? Counts : count), ...);
    return count;
  }
  // Calls f with the constant that `count` is.
  template <class F>
  static inline __attribute__((always_inline)) void call(int64_t count, const F& f) {
    (void)((count == Counts && (f(std::integral_constant<int, Counts>()), true)) || ...);
  }
};
using Counts = std::conditional_t<kVectors == 4, OutputCounts<7, 3, 1>, OutputCounts<4, 3, 2, 1>>;
struct Outputs {
  int64_t first;  // output, the others each `every` on
  int64_t count;
};

// Some taps of some lines, summed over some outputs of some rows.
struct RowSum {
  const float* const* line;      // [row][line of the filter]: null outside
  const float* const* gradient;  // of each row
  int64_t rows, lines;
  int64_t left;  // the last row that there are lines and a gradient of
  bool first;    // of the filter's taps: the gradient below is still to be fetched
  bool far;      // whether to fetch ahead
  const Outputs* outputs;
  const Window* window;  // of each of the outputs
  int64_t count;
  const int64_t* offset;  // of a row's outputs
  int64_t every, unit;    // outputs apart, floats from tap to tap
  const int64_t* tap;     // the filter's, `line_taps` from line to line
  int64_t line_taps, direction;
};

// Several by Taps sums: each source is read once for all the taps of its line. Where no lanes share a channel,
// of several lines; else of one line and several steps.
template <Share Shared, bool Whole, int Several, int Taps, int Stride>
void sum_rows(const RowSum& s, const Sums<Shared, Whole>& sums) {
  constexpr int kLines = Shared == Share::kNone ? Several : 1, kSteps = Shared == Share::kNone ? 1 : Several;
  Vec sum[kLines][kSteps][Taps] = {};
  const Lanes lanes = sums.lanes;
  const Reader<Shared, Whole> read = sums.read;
  typename Reader<Shared, Whole>::Index index[kSteps];
#pragma GCC unroll 4
  for (int q = 0; q < kSteps; ++q) index[q] = sums.index + q;
  bool any = false;  // whether there is something to add: large kernels see little of a small picture
  for (int64_t row = 0; row < s.rows; ++row) {
    const float* const* line = s.line + row * s.lines;
    const float* gradient = s.gradient[row] + sums.output;
    // What the row below will be the first to read is fetched meanwhile, as in the other direction: with a stride, two of its
    // lines are new.
    const int64_t below = std::min(row + s.rows, s.left);
    const float* const* under = s.line + below * s.lines;
    const float* next_gradient = s.far && s.first ? s.gradient[below] + sums.output : nullptr;
    const float* next[2] = {};
    if (s.far) {
      next[0] = std::max({under[0], under[kLines - 1], line[kLines - 1]});
      if (Stride > 1 && kLines > 1 && under[kLines - 2] > line[kLines - 1]) next[1] = under[kLines - 2];
    }
    for (int64_t k = 0; k < s.count; ++k) {
      const int64_t* offset = s.offset + s.outputs[k].first;
      const Window& window = s.window[k];
      const auto slide = [&]<int Count>(std::integral_constant<int, Count>) __attribute__((always_inline)) {
        Vec g[Count];
        if (next_gradient)
#pragma GCC unroll 8
          for (int i = 0; i < Count; ++i) __builtin_prefetch(next_gradient + offset[i * s.every], 0, 2);
        for (const float* from : next)
          if (from)
#pragma GCC unroll 16
            for (int i = 0; i < Count * Stride; ++i)
              __builtin_prefetch(from + window.at + read.channel + i * s.unit, 0, 2);
#pragma GCC unroll 8
        for (int i = 0; i < Count; ++i) {
          const float* of = gradient + offset[i * s.every];
          g[i] = Whole ? load(of) : load(of, lanes);
        }
#pragma GCC unroll 4
        for (int l = 0; l < kLines; ++l) {
          if (!line[l] || window.seen == 0) continue;
          any = true;
          const float* at = line[l] + window.at + read.channel;
          for_seen<(Count - 1) * Stride + Taps, Taps / 2>(window.seen, at, s.unit, [&](int i, const float* from)
                                                          __attribute__((always_inline)) {
            const auto source = read(from);
#pragma GCC unroll 4
            for (int q = 0; q < kSteps; ++q) {
              const Vec x = read.spread(source, index[q]);
#pragma GCC unroll 8
              for (int t = 0; t < Taps; ++t)
                if (i >= t && (i - t) % Stride == 0 && (i - t) / Stride < Count)
                  sum[l][q][t] += g[(i - t) / Stride] * x;
            }
          });
        }
      };
      Counts::call(s.outputs[k].count, slide);
    }
  }
  if (!any) return;
#pragma GCC unroll 4
  for (int l = 0; l < kLines; ++l)
#pragma GCC unroll 8
    for (int t = 0; t < Taps; ++t)
#pragma GCC unroll 4
      for (int q = 0; q < kSteps; ++q) {
        float* to = sums.result + s.tap[l * s.line_taps + t * s.direction] * sums.stride + q * kLanes;
        store(to, load(to) + sum[l][q][t]);
      }
}

template <Share Shared, bool Whole>
using RowSumFunction = void (*)(const RowSum&, const Sums<Shared, Whole>&);
// As many lines, or steps, as registers hold sums of, beside the gradients and a source.
constexpr int most_lines(int taps) { return taps <= 3 || kVectors == 4 ? 3 : taps == 5 ? 2 : 1; }
constexpr int most_steps(Share shared, int taps) {
  if (shared == Share::kAll && kVectors == 2) return taps <= 2 ? 4 : taps == 3 ? 3 : taps == 5 ? 2 : 1;
  return taps <= 3 ? kVectors : kVectors / 2;
}
constexpr int several(Share shared, int taps) {
  return shared == Share::kNone ? most_lines(taps) : most_steps(shared, taps);
}
template <Share Shared, bool Whole, int Taps, int Stride, int... Several>
constexpr std::array<RowSumFunction<Shared, Whole>, sizeof...(Several)> row_sums(std::integer_sequence<int, Several...>) {
  return {sum_rows<Shared, Whole, Several + 1, Taps, Stride>...};
}
template <Share Shared, bool Whole, int Taps, int Stride>
constexpr auto kRowSum = row_sums<Shared, Whole, Taps, Stride>(std::make_integer_sequence<int, several(Shared, Taps)>{});
template <Share Shared, bool Whole>
inline RowSumFunction<Shared, Whole> row_sum(int64_t taps, int64_t stride, int64_t count) {
  const auto some = static_cast<size_t>(count - 1);
  switch (taps) {
    case 2: return kRowSum<Shared, Whole, 2, 1>[some];
    case 3: return stride == 1 ? kRowSum<Shared, Whole, 3, 1>[some] : kRowSum<Shared, Whole, 3, 2>[some];
    case 5: return stride == 1 ? kRowSum<Shared, Whole, 5, 1>[some] : kRowSum<Shared, Whole, 5, 2>[some];
    case 7: return kRowSum<Shared, Whole, 7, 1>[some];
    default: return kRowSum<Shared, Whole, 1, 1>[some];
  }
}

// A region's straight outputs, as they are summed.
class SlidingOutputs {
 public:
  SlidingOutputs(const Region& r, const Slide& s)
      : outputs_(std::max<int64_t>(s.last - s.first, 0)), windows_(outputs_size(s) * (s.groups + s.singles)) {
    for (int64_t phase = 0; phase < s.every; ++phase) {
      int64_t left = (s.last - s.first - phase + s.every - 1) / s.every;
      for (int64_t j = s.first + phase; left > 0; ) {
        const int64_t some = Counts::most(left);
        outputs_.get()[count_++] = {j, some};
        left -= some;
        j += some * s.every;
      }
    }
    Window* window = windows_.get();
    for (int64_t k = 0; k < s.groups + s.singles; ++k)
      for (int64_t i = 0; i < count_; ++i) {
        const Outputs& o = outputs_.get()[i];
        const int64_t first = r.axis[2].base[o.first] + s.least;
        *window++ = k < s.groups
                        ? find_window(s.straight, first + k * s.taps * s.unit, (o.count - 1) * s.stride + s.taps, s.unit)
                        : find_window(s.straight, first + (s.groups * s.taps + k - s.groups) * s.unit, o.count, s.jump);
      }
  }
  int64_t count() const { return count_; }
  const Outputs* outputs() const { return outputs_.get(); }
  const Window* windows(int64_t group) const { return windows_.get() + group * count_; }

 private:
  static int64_t outputs_size(const Slide& s) { return std::max<int64_t>(s.last - s.first, 0); }
  Scratch<Outputs> outputs_;
  Scratch<Window> windows_;  // [group of taps][outputs]
  int64_t count_ = 0;
};

// Calls f(first, how many) for runs of steps of near equal length.
template <class F>
void for_step_runs(int64_t steps, int64_t most, const F& f) {
  const int64_t runs = (steps + most - 1) / most;
  for (int64_t i = 0; i < runs; ++i) f(steps * i / runs, steps * (i + 1) / runs - steps * i / runs);
}

// Some rows of a band: as many at a time as make a few outputs, and of those all taps, so that what they share stays near.
template <Share Shared>
void sum_band(const DepthwiseWeightProblem& p, const Places& places, const Region& r, const Slide& s,
              const SlidingOutputs& all, RowSum sum, int64_t rows, int64_t left, int64_t from, int64_t to, float* result) {
  constexpr int64_t kWidth = 56;
  const int64_t most = Shared == Share::kNone ? most_lines(static_cast<int>(s.taps)) : 1;
  const int64_t portions = (sum.lines + most - 1) / most;
  const int64_t together = std::max<int64_t>(1, kWidth / (s.last - s.first));
  const float* const* line = sum.line;
  const float* const* gradient = sum.gradient;
  for (int64_t row = 0; row < rows; row += together)
    for (int64_t first = 0, last = 0; first < all.count(); first = last) {
      for (int64_t width = 0; last < all.count() && (width += all.outputs()[last].count) <= kWidth;) ++last;
      sum.rows = std::min(together, rows - row);
      sum.left = left - row;
      sum.gradient = gradient + row;
      sum.outputs = all.outputs() + first;
      sum.count = last - first;
      for (int64_t v = from; v < to; ++v)
        for (int64_t portion = 0; portion < portions; ++portion) {
          const int64_t l = sum.lines * portion / portions, some = sum.lines * (portion + 1) / portions - l;
          sum.line = line + row * sum.lines + l;
          for (int64_t k = 0; k < s.groups + s.singles; ++k) {
            const bool single = k >= s.groups;
            sum.first = portion == 0 && k == 0;
            const int64_t tap = single ? s.groups * s.taps + k - s.groups : k * s.taps;
            sum.window = all.windows(k) + first;
            sum.unit = (single ? s.jump : s.unit) * s.straight.step;
            sum.tap = s.first_tap(r, l) + tap * s.direction;
            const int64_t taps = single ? 1 : s.taps;
            if constexpr (Shared != Share::kNone)
              for_step_runs(p.source_channels, most_steps(Shared, static_cast<int>(taps)), [&](int64_t j, int64_t steps) {
                row_sum<Shared, false>(taps, s.stride, steps)(sum, Sums<Shared>(p, places, v, j, result));
              });
            else if (kMasksCost && places[v].width >= kLanes)
              row_sum<Shared, kMasksCost>(taps, s.stride, some)(sum, Sums<Shared, kMasksCost>(p, places, v, 0, result));
            else
              row_sum<Shared, false>(taps, s.stride, some)(sum, Sums<Shared>(p, places, v, 0, result));
          }
        }
    }
}

// Tasks: of segments of the bands, each with sums of its own.
constexpr int64_t kSumStrip = 128;
int64_t depthwise_weight_tasks(const DepthwiseWeightProblem& p) {
  return p.segments * depthwise_parts(p.segments, vector_count(p), kSumStrip);
}

template <Share Shared>
void run_depthwise_weight(const DepthwiseWeightProblem& p, int64_t begin, int64_t end) {
  const Gather& g = *p.gather;
  const Bands bands(g);
  const Places places(p.groups, p.source_channels, p.output_channels);
  const int64_t vectors = places.count(), parts = depthwise_parts(p.segments, vectors, kSumStrip);
  const int64_t vector_floats = g.filter_taps * p.source_channels * kLanes;
  int64_t most_taps = 0;
  for (int64_t i = 0; i < g.regions; ++i) most_taps = std::max(most_taps, g.region[i].taps);
  const Scratch<const float*> table(most_taps * kChunk), line(most_taps * (bands.rows() + 1)), gradient(bands.rows() + 1);
  Pixels pixels;
  const auto range = [&](int64_t part) { return vectors * part / parts; };  // of a task's vectors
  const auto sums = [&](int64_t task) { return p.result + task / parts * vectors * vector_floats; };
  const int64_t channels = p.groups * p.output_channels;
  const auto channel = [&](int64_t v) { return v < vectors ? places[v].output : channels; };
  const auto add_gradients = [&](int64_t task, const Region& r, const Band& band) {
    if (!p.channel_sums) return;
    const int64_t from = channel(range(task % parts)), to = channel(range(task % parts + 1));
    float* sum = p.channel_sums + task / parts * channels + from;
    for (int64_t h = band.first; h < band.last; ++h)
      add_channels(p.gradient + Row(g, r, band.batch, band.depth, h).output + from, r.axis[2].output, r.axis[2].outputs,
                   to - from, sum);
  };
  for (int64_t task = begin; task < end; ++task) {
    const int64_t from = range(task % parts), to = range(task % parts + 1);
    clear(sums(task) + from * vector_floats, (to - from) * vector_floats);
    if (p.channel_sums) clear(p.channel_sums + task / parts * channels + channel(from), channel(to) - channel(from));
  }
  // The bands of a task's segment.
  const auto for_bands = [&](int64_t task, const Region& r, const auto& f) {
    const int64_t segment = task / parts, last = bands.count() * (segment + 1) / p.segments;
    for (int64_t index = bands.count() * segment / p.segments; index < last; ++index) f(bands.find(r, index));
  };
  for (int64_t i = 0; i < g.regions; ++i) {
    const Region& r = g.region[i];
    if (r.taps == 0) {  // a phase of a stride
      for (int64_t task = begin; task < end; ++task)
        for_bands(task, r, [&](const Band& band) { add_gradients(task, r, band); });
      continue;
    }
    const Slide s(g, r, p.outside);
    const SlidingOutputs outputs(r, s);
    RowSum sum{};
    sum.line = line.get();
    sum.gradient = gradient.get();
    sum.lines = r.taps / r.axis[2].taps;
    sum.offset = r.axis[2].output;
    sum.every = s.every;
    sum.line_taps = r.axis[2].taps;
    sum.direction = s.direction;
    sum.far = far_sources(g);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t from = range(task % parts), to = range(task % parts + 1);
      float* result = sums(task);
      const auto others = [&](int64_t count) {
        fill_sources(g, r, pixels, 0, count, p.source, p.outside, table.get(), count, [](int64_t k) { return k; });
        for (int64_t v = from; v < to; ++v)
          for (int64_t j = 0; j < p.source_channels; ++j)
            sum_all_taps<Shared>(p, r, count, pixels, table.get(), Sums<Shared>(p, places, v, j, result));
      };
      for_bands(task, r, [&](const Band& band) {
        // Lines of a row; false where some are outside, and the border is not of zeros.
        int64_t rows = 0;
        const auto find_row = [&](const Row& row) {
          bool zeros = s.first < s.last;
          for (int64_t l = 0; zeros && l < sum.lines; ++l) {
            const Line found = find_line(g, r, row, s.straight, l, p.source, p.outside);
            line.get()[rows * sum.lines + l] = found.outside ? nullptr : found.at;
            zeros = !found.outside || *found.at == 0;
          }
          if (zeros) gradient.get()[rows] = p.gradient + row.output;
          return zeros;
        };
        for (int64_t h = band.first; h < band.last; ++h) {
          const Row row(g, r, band.batch, band.depth, h);
          const bool zeros = find_row(row);
          rows += zeros;
          for_others(r, row, zeros ? s.first : 0, zeros ? s.last : 0, kChunk, pixels, others);
        }
        // The row below the band is the next to be read.
        const bool below = band.last < r.axis[1].outputs && find_row(Row(g, r, band.batch, band.depth, band.last));
        if (rows > 0) sum_band<Shared>(p, places, r, s, outputs, sum, rows, rows - 1 + below, from, to, result);
        add_gradients(task, r, band);
      });
    }
  }
}

void depthwise_weight(const DepthwiseWeightProblem& p, int64_t begin, int64_t end) {
  switch (share(p)) {
    case Share::kNone: return run_depthwise_weight<Share::kNone>(p, begin, end);
    case Share::kGroup: return run_depthwise_weight<Share::kGroup>(p, begin, end);
    case Share::kAll: return run_depthwise_weight<Share::kAll>(p, begin, end);
  }
}

}  // namespace
