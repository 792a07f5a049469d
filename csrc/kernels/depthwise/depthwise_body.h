#pragma once

#include <array>
#include <utility>

#include "kernels/base/activation_body.h"
#include "kernels/depthwise/depthwise.h"
#include "kernels/direct/direct_body.h"
#include "kernels/gather/lines_body.h"

namespace {

using convlayers::DepthwiseProblem;
using convlayers::DepthwiseWeightProblem;

constexpr int64_t kDepthwiseRows = 6;
constexpr int64_t kWeightTaps = 12;  // taps whose gradients are summed side by side in registers

// Lanes `channel`... of a source pixel, as this kernel's channels read it.
template <bool Own>
inline Vec load_channels(const float* pixel, const int32_t* from, int64_t channel, int64_t width) {
  if constexpr (Own) return load_first(pixel + channel, width);
  Vec v{};
  for (int64_t i = 0; i < std::min<int64_t>(width, kLanes); ++i) v[i] = pixel[from[channel + i]];
  return v;
}

// Channels c ... c + Vectors * kLanes of a tile of pixels. Several vectors share the loading of a pointer.
template <bool Own, int Rows, int Vectors>
void run_depthwise_tile(const DepthwiseProblem& p, const Region& r, const float* const* source, float* const* output,
                        int64_t c, int64_t width) {
  const int64_t stride = rounded(p.channels);
  Vec sum[Rows][Vectors];
  for (int v = 0; v < Vectors; ++v) {
    const Vec bias = p.bias ? load_first(p.bias + c + v * kLanes, width - v * kLanes) : Vec{};
    for (int i = 0; i < Rows; ++i) sum[i][v] = bias;
  }
  const auto accumulate = [&](int64_t lanes) __attribute__((always_inline)) {
    for (int64_t k = 0; k < r.taps; ++k)
      for (int64_t j = 0; j < p.steps; ++j) {
        const float* weight = p.weight + (r.tap[k] * p.steps + j) * stride + c;
        const int32_t* from = Own ? nullptr : p.from + j * p.channels;
        Vec w[Vectors];
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v) w[v] = load(weight + v * kLanes);
#pragma GCC unroll 8
        for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 4
          for (int v = 0; v < Vectors; ++v)
            sum[i][v] += w[v] * load_channels<Own>(source[k * kDepthwiseRows + i], from, c + v * kLanes, lanes);
      }
  };
  if (width >= Vectors * kLanes)
    accumulate(kLanes);
  else
    accumulate(width);  // one vector, cut
  for (int i = 0; i < Rows; ++i)
    for (int v = 0; v < Vectors; ++v)
      store_first(output[i] + c + v * kLanes, activate(sum[i][v], p.activation), width - v * kLanes);
}

// Channels from ... to (whole vectors, but for the last channels of all).
template <bool Own, int Rows>
void run_depthwise_channels(const DepthwiseProblem& p, const Region& r, const float* const* source,
                            float* const* output, int64_t from, int64_t to) {
  int64_t c = from;
  for (; c + 2 * kLanes <= std::min(to, p.channels); c += 2 * kLanes)
    run_depthwise_tile<Own, Rows, 2>(p, r, source, output, c, 2 * kLanes);
  for (; c < to; c += kLanes) run_depthwise_tile<Own, Rows, 1>(p, r, source, output, c, p.channels - c);
}

template <bool Own>
void run_depthwise_rows(const DepthwiseProblem& p, const Region& r, const float* const* source, float* const* output,
                        int64_t rows, int64_t from, int64_t to) {
  switch (rows) {
    case 1: return run_depthwise_channels<Own, 1>(p, r, source, output, from, to);
    case 2: return run_depthwise_channels<Own, 2>(p, r, source, output, from, to);
    case 3: return run_depthwise_channels<Own, 3>(p, r, source, output, from, to);
    case 4: return run_depthwise_channels<Own, 4>(p, r, source, output, from, to);
    case 5: return run_depthwise_channels<Own, 5>(p, r, source, output, from, to);
    default: return run_depthwise_channels<Own, 6>(p, r, source, output, from, to);
  }
}

// What the row below will be the first to read, and how far on it writes.
struct Below {
  Line line;
  int64_t output;
};

// Outputs first ... first + Rows of a row's straight part, channels c ... c + kLanes. Sliding: so many taps to a line, as far
// apart as the outputs' sources; each source is then read once for all of them. 0: any taps.
template <int Rows, int Sliding>
void run_straight_tile(const DepthwiseProblem& p, const Region& r, const Line* line, int64_t first,
                       float* const* output, int64_t c, const Below& below) {
  const int64_t stride = rounded(p.channels), taps = r.axis[2].taps, lines = r.taps / taps;
  const int64_t width = p.channels - c;
  Vec sum[Rows];
  const Vec bias = p.bias ? load_first(p.bias + c, width) : Vec{};
  for (int i = 0; i < Rows; ++i) sum[i] = bias;
  for (int i = 0; i < Rows; ++i) {
    __builtin_prefetch(below.line.at + (first + i) * below.line.pixel + c);
    __builtin_prefetch(output[i] + below.output + c, 1);
  }
  const auto accumulate = [&](int64_t lanes) __attribute__((always_inline)) {
    const int64_t* tap = r.tap;
    for (int64_t l = 0; l < lines; ++l) {
      const int64_t pixel = line[l].pixel;
      const float* at = line[l].at + first * pixel + c;
      if constexpr (Sliding > 0) {
        Vec w[Sliding];
#pragma GCC unroll 8
        for (int t = 0; t < Sliding; ++t) w[t] = load(p.weight + *tap++ * stride + c);
#pragma GCC unroll 32
        for (int i = 0; i < Rows + Sliding - 1; ++i, at += pixel) {
          const Vec x = load_first(at, lanes);
#pragma GCC unroll 8
          for (int t = 0; t < Sliding; ++t)
            if (i - t >= 0 && i - t < Rows) sum[i - t] += w[t] * x;
        }
        continue;
      }
      for (int64_t t = 0; t < taps; ++t, ++tap, at += line[l].tap) {
        const Vec w = load(p.weight + *tap * stride + c);
#pragma GCC unroll 16
        for (int i = 0; i < Rows; ++i) sum[i] += w * load_first(at + i * pixel, lanes);
      }
    }
  };
  if (width >= kLanes)
    accumulate(kLanes);
  else
    accumulate(width);
  for (int i = 0; i < Rows; ++i) store_first(output[i] + c, activate(sum[i], p.activation), width);
}

using StraightTile = void (*)(const DepthwiseProblem&, const Region&, const Line*, int64_t, float* const*, int64_t,
                             const Below&);
template <int Sliding, int... Rows>
constexpr std::array<StraightTile, sizeof...(Rows)> straight_tiles(std::integer_sequence<int, Rows...>) {
  return {run_straight_tile<Rows + 1, Sliding>...};
}
// As many sums as registers hold beside a weight and a source.
constexpr int kStraightRows = kVectors == 4 ? 14 : 8;
template <int Sliding>
constexpr auto kStraightTile = straight_tiles<Sliding>(std::make_integer_sequence<int, kStraightRows>{});
inline StraightTile straight_tile(const Straight& s, int64_t taps, int64_t rows) {
  const auto row = static_cast<size_t>(rows - 1);
  if (s.pixel == s.tap && taps == 3) return kStraightTile<3>[row];
  if (s.pixel == s.tap && taps == 5) return kStraightTile<5>[row];
  if (s.pixel == s.tap && taps == 7) return kStraightTile<7>[row];
  return kStraightTile<0>[row];
}

// Channels of a tile that are handled before the row below: with a tile's width, few enough for the first-level cache.
constexpr int64_t kStrip = 4 * kLanes;

// Tasks: bands of rows, and where these are few, parts of the channels.
inline int64_t depthwise_parts(int64_t tasks, int64_t channels) {
  const int64_t n = std::max<int64_t>(tasks, 1);
  return std::clamp<int64_t>((kTasks + n - 1) / n, 1, (channels + kStrip - 1) / kStrip);
}
int64_t depthwise_tasks(const DepthwiseProblem& p) {
  const int64_t n = bands(*p.gather);
  return n * depthwise_parts(n, p.channels);
}

// The lines of a band's rows: [row][line].
inline void fill_band(const Gather& g, const Region& r, const Band& band, const Straight& straight, const float* source,
                      const float* const (&outside)[3], Line* lines) {
  for (int64_t h = band.first; h < band.last; ++h)
    for (int64_t l = 0; l < r.taps / r.axis[2].taps; ++l)
      *lines++ = find_line(g, r, Row(g, r, band.plane, h), straight, l, source, outside);
}

void depthwise(const DepthwiseProblem& p, int64_t begin, int64_t end) {
  const Gather& g = *p.gather;
  const int64_t parts = depthwise_parts(bands(g), p.channels), vectors = rounded(p.channels) / kLanes;
  const int64_t height = band_rows(g);
  int64_t most_taps = 0;
  for (int64_t i = 0; i < g.regions; ++i) most_taps = std::max(most_taps, g.region[i].taps);
  const Scratch<const float*> table(most_taps * kDepthwiseRows);
  const Scratch<Line> lines(most_taps * height);
  Pixels pixels;
  const Region* region = g.region;
  int64_t before = 0;  // bands of the regions before
  Straight straight(g, *region);
  for (int64_t task = begin; task < end; ++task) {
    for (int64_t n; task / parts - before >= (n = bands(*region, height)); straight = Straight(g, *region)) {
      before += n;
      ++region;
    }
    const Region& r = *region;
    const Band band = find_band(r, height, task / parts - before);
    const int64_t from = vectors * (task % parts) / parts * kLanes, to = vectors * (task % parts + 1) / parts * kLanes;
    float* output[kStraightRows];
    const bool tiles = !p.from && straight.first < straight.last;
    if (tiles) {
      fill_band(g, r, band, straight, p.source, p.outside, lines.get());
      const int64_t count = r.taps / r.axis[2].taps;
      for (int64_t j = straight.first; j < straight.last; j += kStraightRows) {
        const int64_t some = std::min<int64_t>(kStraightRows, straight.last - j);
        const StraightTile tile = straight_tile(straight, r.axis[2].taps, some);
        for (int64_t strip = from; strip < to; strip += kStrip)
          for (int64_t h = band.first; h < band.last; ++h) {
            const Line* row = lines.get() + (h - band.first) * count;
            const int64_t step = h + 1 < band.last ? 1 : 0;
            const int64_t at = Row(g, r, band.plane, h).output, next = Row(g, r, band.plane, h + step).output;
            // A region without taps has no lines.
            const Below below{count > 0 ? row[(1 + step) * count - 1] : Line{p.source, 0, 0}, next - at};
            for (int64_t i = 0; i < some; ++i) output[i] = p.output + at + r.axis[2].output[j + i];
            for (int64_t c = strip; c < std::min(strip + kStrip, to); c += kLanes)
              tile(p, r, row, j - straight.first, output, c, below);
          }
      }
    }
    const auto bent = [&](int64_t count) {
      fill_sources(g, r, pixels, 0, count, p.source, p.outside, table.get(), kDepthwiseRows, [](int64_t i) { return i; });
      for (int64_t i = 0; i < count; ++i) output[i] = p.output + pixels.output[i];
      p.from ? run_depthwise_rows<false>(p, r, table.get(), output, count, from, to)
             : run_depthwise_rows<true>(p, r, table.get(), output, count, from, to);
    };
    for (int64_t h = band.first; h < band.last; ++h)
      for_bent(r, Row(g, r, band.plane, h), tiles ? straight : Straight(), kDepthwiseRows, pixels, bent);
  }
}

// --- gradient of the weights -------------------------------------------------------------------------------------------

// Taps first ... first + Taps of one vector of channels, over some pixels; source is [tap][pixel].
template <bool Own, int Taps>
void sum_taps(const DepthwiseWeightProblem& p, const Region& r, int64_t count, const Pixels& pixels,
              const float* const* source, int64_t first, int64_t c, float* result) {
  const int64_t stride = rounded(p.channels), width = std::min<int64_t>(p.channels - c, kLanes);
  Vec sum[Taps] = {};
  for (int64_t i = 0; i < count; ++i) {
    const Vec gradient = load_first(p.gradient + pixels.output[i] + c, width);
#pragma GCC unroll 12
    for (int k = 0; k < Taps; ++k)
      sum[k] += gradient * load_channels<Own>(source[(first + k) * count + i], p.from, c, width);
  }
  for (int k = 0; k < Taps; ++k) {
    float* to = result + r.tap[first + k] * stride + c;
    store(to, load(to) + sum[k]);
  }
}

using SumTaps = void (*)(const DepthwiseWeightProblem&, const Region&, int64_t, const Pixels&, const float* const*,
                         int64_t, int64_t, float*);
template <bool Own, int... Taps>
constexpr std::array<SumTaps, sizeof...(Taps)> sums_of_taps(std::integer_sequence<int, Taps...>) {
  return {sum_taps<Own, Taps + 1>...};
}
template <bool Own>
constexpr auto kSumTaps = sums_of_taps<Own>(std::make_integer_sequence<int, kWeightTaps>{});

// The same along a row's straight part, for a few taps of a few lines: tap t of line l is the filter's tap[l * taps + t].
struct StraightSum {
  const Line* line;
  const float* const* gradient;  // of each output
  int64_t first, count;          // outputs, counted from the first that is straight
  const int64_t* tap;
  int64_t taps, first_tap;  // taps of a whole line, and the first of those at hand
};

template <int Lines, int Taps>
void sum_straight(const DepthwiseWeightProblem& p, const StraightSum& s, int64_t c, float* result) {
  const int64_t stride = rounded(p.channels), width = p.channels - c;
  Vec sum[Lines][Taps] = {};
  const float* at[Lines];
  for (int l = 0; l < Lines; ++l) at[l] = s.line[l].at + s.first * s.line[l].pixel + s.first_tap * s.line[l].tap + c;
  const auto accumulate = [&](int64_t lanes) __attribute__((always_inline)) {
    for (int64_t i = 0; i < s.count; ++i) {
      const Vec gradient = load_first(s.gradient[i] + c, lanes);
#pragma GCC unroll 4
      for (int l = 0; l < Lines; ++l) {
#pragma GCC unroll 8
        for (int t = 0; t < Taps; ++t) sum[l][t] += gradient * load_first(at[l] + t * s.line[l].tap, lanes);
        at[l] += s.line[l].pixel;
      }
    }
  };
  if (width >= kLanes)
    accumulate(kLanes);
  else
    accumulate(width);
  for (int l = 0; l < Lines; ++l)
    for (int t = 0; t < Taps; ++t) {
      float* to = result + s.tap[l * s.taps + s.first_tap + t] * stride + c;
      store(to, load(to) + sum[l][t]);
    }
}

using SumStraight = void (*)(const DepthwiseWeightProblem&, const StraightSum&, int64_t, float*);
constexpr int kSumLines = 3, kSumTapsOfLine = 4;
template <int Lines, int... Taps>
constexpr std::array<SumStraight, sizeof...(Taps)> straight_sums(std::integer_sequence<int, Taps...>) {
  return {sum_straight<Lines, Taps + 1>...};
}
constexpr std::array<std::array<SumStraight, kSumTapsOfLine>, kSumLines> kSumStraight = {
    straight_sums<1>(std::make_integer_sequence<int, kSumTapsOfLine>{}),
    straight_sums<2>(std::make_integer_sequence<int, kSumTapsOfLine>{}),
    straight_sums<3>(std::make_integer_sequence<int, kSumTapsOfLine>{}),
};

// All taps of all lines, in near equal portions of at most kSumLines by kSumTapsOfLine.
void sum_straight_taps(const DepthwiseWeightProblem& p, const Region& r, StraightSum s, const Line* line, int64_t c,
                       float* result) {
  const int64_t taps = r.axis[2].taps, lines = r.taps / taps;
  const int64_t columns = (taps + kSumTapsOfLine - 1) / kSumTapsOfLine, bands = (lines + kSumLines - 1) / kSumLines;
  for (int64_t b = 0; b < bands; ++b) {
    const int64_t l = lines * b / bands, some = lines * (b + 1) / bands - l;
    s.line = line + l;
    s.tap = r.tap + l * taps;
    for (int64_t k = 0; k < columns; ++k) {
      s.first_tap = taps * k / columns;
      const int64_t few = taps * (k + 1) / columns - s.first_tap;
      kSumStraight[static_cast<size_t>(some - 1)][static_cast<size_t>(few - 1)](p, s, c, result);
    }
  }
}

template <bool Own>
void sum_all_taps(const DepthwiseWeightProblem& p, const Region& r, int64_t count, const Pixels& pixels,
                  const float* const* source, int64_t c, float* result) {
  const int64_t passes = (r.taps + kWeightTaps - 1) / kWeightTaps;
  for (int64_t i = 0; i < passes; ++i) {
    const int64_t first = r.taps * i / passes, taps = r.taps * (i + 1) / passes - first;
    kSumTaps<Own>[static_cast<size_t>(taps - 1)](p, r, count, pixels, source, first, c, result);
  }
}

// Tasks: segments of the bands, each with sums of its own, and where these are few, parts of the channels.
int64_t depthwise_weight_tasks(const DepthwiseWeightProblem& p) {
  return p.segments * depthwise_parts(p.segments, p.channels);
}

void depthwise_weight(const DepthwiseWeightProblem& p, int64_t begin, int64_t end) {
  const Gather& g = *p.gather;
  const int64_t stride = rounded(p.channels), parts = depthwise_parts(p.segments, p.channels);
  const int64_t height = band_rows(g), band_count = bands(g);
  int64_t most_taps = 0;
  for (int64_t i = 0; i < g.regions; ++i) most_taps = std::max(most_taps, g.region[i].taps);
  constexpr int64_t kWidth = 28;  // outputs of a row whose sums are made before the row below
  const Scratch<const float*> table(most_taps * kChunk);
  const Scratch<Line> lines(most_taps * height);
  const float* gradient[kWidth];
  Pixels pixels;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t segment = task / parts, part = task % parts;
    const int64_t from = stride / kLanes * part / parts * kLanes, to = stride / kLanes * (part + 1) / parts * kLanes;
    float* result = p.result + segment * g.filter_taps * stride;
    for (int64_t t = 0; t < g.filter_taps; ++t)
      std::memset(result + t * stride + from, 0, static_cast<size_t>(to - from) * sizeof(float));
    int64_t before = 0;
    for (int64_t i = 0; i < g.regions; before += bands(g.region[i++], height)) {
      const Region& r = g.region[i];
      const Straight straight = p.from ? Straight() : Straight(g, r);
      const int64_t first = std::max(band_count * segment / p.segments - before, int64_t{0});
      const int64_t last = std::min(band_count * (segment + 1) / p.segments - before, bands(r, height));
      for (int64_t index = first; index < last; ++index) {
        const Band band = find_band(r, height, index);
        if (straight.first < straight.last) fill_band(g, r, band, straight, p.source, p.outside, lines.get());
        const int64_t count = r.taps / std::max<int64_t>(r.axis[2].taps, 1);
        for (int64_t j = straight.first; j < straight.last; j += kWidth)
          for (int64_t strip = from; strip < to; strip += kStrip)
            for (int64_t h = band.first; h < band.last; ++h) {
              StraightSum s{};
              s.gradient = gradient;
              s.first = j - straight.first;
              s.count = std::min(kWidth, straight.last - j);
              s.taps = r.axis[2].taps;
              const int64_t at = Row(g, r, band.plane, h).output;
              for (int64_t k = 0; k < s.count; ++k) gradient[k] = p.gradient + at + r.axis[2].output[j + k];
              for (int64_t c = strip; c < std::min(strip + kStrip, to); c += kLanes)
                sum_straight_taps(p, r, s, lines.get() + (h - band.first) * count, c, result);
            }
        const auto bent = [&](int64_t some) {
          fill_sources(g, r, pixels, 0, some, p.source, p.outside, table.get(), some, [](int64_t k) { return k; });
          for (int64_t c = from; c < to; c += kLanes)
            p.from ? sum_all_taps<false>(p, r, some, pixels, table.get(), c, result)
                   : sum_all_taps<true>(p, r, some, pixels, table.get(), c, result);
        };
        for (int64_t h = band.first; h < band.last; ++h)
          for_bent(r, Row(g, r, band.plane, h), straight, kChunk, pixels, bent);
      }
    }
  }
}

}  // namespace
