#pragma once

#include <cmath>

#include "kernels/base/simd.h"
#include "kernels/pool/window_body.h"

namespace {

using convlayers::PoolProblem;

constexpr int kPoolVectors = 4;     // vectors of channels that share a walk through the window
using convlayers::kPoolPixels;
constexpr int64_t kPoolTasks = 32;   // where there are fewer, channels are cut, too

// How the work is cut, from the problem alone: pieces of rows, then parts of the channels.
struct PoolSplit {
  int64_t size[3], pieces, blocks, parts, tasks;

  PoolSplit(const PoolProblem& p, bool adjoint) {
    for (int a = 0; a < 3; ++a) size[a] = adjoint ? p.axis[a].input : p.axis[a].output;
    pieces = (size[2] + kPoolPixels - 1) / kPoolPixels;
    constexpr int64_t block = int64_t{kPoolVectors} * kLanes;
    blocks = (p.channels + block - 1) / block;
    const int64_t n = p.batch * size[0] * size[1] * pieces;
    parts = std::min(blocks, n > 0 ? (kPoolTasks + n - 1) / n : 1);
    tasks = n * parts;
  }
};

template <int V>
struct Vectors {
  static constexpr int count = V;
};

// Calls `pixel(at, block)` for each result pixel of the tasks, at = (batch, d, h, w), and hands it a `block(f)` that calls
// f(Vectors<n>, channel, width) for each block of its channels.
template <class PixelFunction>
inline void for_each_pixel(const PoolProblem& p, bool adjoint, int64_t begin, int64_t end, const PixelFunction& pixel) {
  const PoolSplit split(p, adjoint);
  for (int64_t task = begin; task < end; ++task) {
    const int64_t part = task % split.parts, piece = task / split.parts % split.pieces;
    int64_t row = task / split.parts / split.pieces;
    int64_t at[4];
    at[2] = row % split.size[1];
    row /= split.size[1];
    at[1] = row % split.size[0];
    at[0] = row / split.size[0];
    const auto blocks = [&](const auto& f) {
      for (int64_t b = split.blocks * part / split.parts; b < split.blocks * (part + 1) / split.parts; ++b) {
        const int64_t channel = b * kPoolVectors * kLanes;
        const int64_t width = std::min<int64_t>(p.channels - channel, kPoolVectors * kLanes);
        switch ((width + kLanes - 1) / kLanes) {
          case 1: f(Vectors<1>{}, channel, width); break;
          case 2: f(Vectors<2>{}, channel, width); break;
          case 3: f(Vectors<3>{}, channel, width); break;
          default: f(Vectors<4>{}, channel, width);
        }
      }
    };
    const int64_t last = std::min((piece + 1) * kPoolPixels, split.size[2]);
    for (at[3] = piece * kPoolPixels; at[3] < last; ++at[3]) pixel(at, blocks);
  }
}

// Along each axis what a pixel sees, or is seen by; along the outer ones only where a piece of a row begins.
template <class Of>
inline void find_spans(const PoolProblem& p, const int64_t (&at)[4], const Of& of, Span (&s)[3]) {
  if (at[3] % kPoolPixels == 0)
    for (int a = 0; a < 2; ++a) s[a] = of(p.axis[a], at[a + 1]);
  s[2] = of(p.axis[2], at[3]);
}

// Some lanes of a vector may lie beyond the channels: they read what comes next, or nothing at the source's very end.
inline Vec load_within(const float* p, int64_t width, const float* end) {
  return width >= kLanes || end - p >= kLanes ? load(p) : load_first(p, width);
}

inline const float* source_at(const PoolProblem& p, int64_t batch, int64_t d, int64_t h) {
  return p.source + batch * p.source_strides.batch + d * p.source_strides.axis[0] + h * p.source_strides.axis[1];
}
inline float* output_at(const PoolProblem& p, const int64_t (&at)[4]) {
  const auto& s = p.output_strides;
  return p.output + at[0] * s.batch + at[1] * s.axis[0] + at[2] * s.axis[1] + at[3] * s.axis[2];
}

// The taps that each maximum is, a byte each.
typedef uint8_t Taps __attribute__((vector_size(CONVLAYERS_LANES)));

// GCC would convert lane by lane.
inline Mask widen(Taps taps) {
#if defined(__AVX512F__)
  return reinterpret_cast<Mask>(_mm512_maskz_cvtepu8_epi32(0xffff, reinterpret_cast<__m128i>(taps)));
#elif defined(__AVX2__)
  int64_t bits;
  std::memcpy(&bits, &taps, sizeof bits);
  return reinterpret_cast<Mask>(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(bits)));
#else
  return __builtin_convertvector(taps, Mask);
#endif
}

inline uint8_t* taps_at(const PoolProblem& p, int64_t batch, int64_t d, int64_t h, int64_t w) {
  const auto& s = p.tap_strides;
  return p.tap + batch * s.batch + d * s.axis[0] + h * s.axis[1] + w * s.axis[2];
}
inline Mask load_taps(const uint8_t* from, int64_t width) {
  Taps taps{};
  if (width >= kLanes)
    std::memcpy(&taps, from, sizeof taps);
  else
    for (int64_t l = 0; l < width; ++l) taps[l] = from[l];
  return widen(taps);
}
inline void store_taps(uint8_t* to, Mask where, int64_t width) {
  const Taps taps = __builtin_convertvector(where, Taps);
  if (width >= kLanes)
    std::memcpy(to, &taps, sizeof taps);
  else
    for (int64_t l = 0; l < width; ++l) to[l] = taps[l];
}

inline void store_result(const PoolProblem& p, float* to, Vec v, int64_t width) {
  if (p.stream)
    stream(to, v);
  else
    store_first(to, v, width);
}

// What is kept of a maximum beside its value: nothing, where it is in its plane, or which tap of its window it is.
enum class Kept { kNothing, kIndex, kTap };

template <Kept kept, int V>
inline void max_block(const PoolProblem& p, const int64_t (&at)[4], const Span (&s)[3], int64_t channel, int64_t width) {
  const int64_t column = p.source_strides.axis[2];
  const bool seen = s[0].count > 0 && s[1].count > 0 && s[2].count > 0;
  // Coordinates of the first tap inside, and how many follow one another there: in the plane, or in the window.
  int64_t low[3], step[3], extent[3];
  for (int a = 0; a < 3; ++a) {
    const auto& w = p.axis[a];
    low[a] = kept == Kept::kTap ? steps(w, s[a].begin - (at[a + 1] * w.stride - w.low)) : s[a].begin;
    step[a] = kept == Kept::kTap ? 1 : s[a].step;
    extent[a] = kept == Kept::kTap ? w.kernel : w.input;
  }
  const int64_t none = kept == Kept::kTap ? convlayers::kNoTap : -1;
  const int64_t first = seen ? (low[0] * extent[1] + low[1]) * extent[2] + low[2] : none;
  Vec best[V];
  Mask where[V];
  for (int v = 0; v < V; ++v) {
    best[v] = splat(-INFINITY);
    where[v] = Mask{} + static_cast<int32_t>(first);
  }
  for (int64_t kd = 0; kd < s[0].count; ++kd)
    for (int64_t kh = 0; kh < s[1].count; ++kh) {
      const int64_t d = s[0].begin + kd * s[0].step, h = s[1].begin + kh * s[1].step;
      const float* row = source_at(p, at[0], d, h) + channel;
      for (int64_t kw = 0; kw < s[2].count; ++kw) {
        const int64_t w = s[2].begin + kw * s[2].step;
        const float* x = row + w * column;
        const int64_t id = (low[0] + kd * step[0]) * extent[1] + low[1] + kh * step[1];
        const Mask here = Mask{} + static_cast<int32_t>(id * extent[2] + low[2] + kw * step[2]);
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) {
          const Vec value = load_within(x + v * kLanes, width - v * kLanes, p.source_end);
          // The first of equals stays; NaN is taken, and then gives way to nothing but NaN.
          const Mask better = (value > best[v]) | (value != value);
          best[v] = better ? value : best[v];
          if constexpr (kept != Kept::kNothing) where[v] = better ? here : where[v];
        }
      }
    }
  float* output = output_at(p, at) + channel;
  for (int v = 0; v < V; ++v) store_result(p, output + v * kLanes, best[v], width - v * kLanes);
  if constexpr (kept == Kept::kTap) {
    uint8_t* taps = taps_at(p, at[0], at[1], at[2], at[3]) + channel;
    for (int v = 0; v < V; ++v) store_taps(taps + v * kLanes, where[v], width - v * kLanes);
  }
  if constexpr (kept == Kept::kIndex) {
    const auto& i = p.index_strides;
    const int64_t pixel = (at[1] * p.axis[1].output + at[2]) * p.axis[2].output + at[3];
    int64_t* index = p.index + at[0] * i.batch + pixel * i.pixel + channel * i.channel;
    for (int v = 0; v < V; ++v) {
      const int64_t lanes = std::min<int64_t>(kLanes, width - v * kLanes);
      for (int64_t l = 0; l < lanes; ++l) index[(v * kLanes + l) * i.channel] = where[v][l];
    }
  }
}

void max_pool_pixels(const PoolProblem& p, int64_t begin, int64_t end) {
  Span s[3]{};
  for_each_pixel(p, false, begin, end, [&](const int64_t (&at)[4], const auto& blocks) {
    find_spans(p, at, window_of, s);
    blocks([&](auto vectors, int64_t channel, int64_t width) {
      constexpr int V = decltype(vectors)::count;
      if (p.tap)
        max_block<Kept::kTap, V>(p, at, s, channel, width);
      else if (p.index)
        max_block<Kept::kIndex, V>(p, at, s, channel, width);
      else
        max_block<Kept::kNothing, V>(p, at, s, channel, width);
    });
  });
  if (p.stream) end_stream();
}

void max_pool_adjoint_pixels(const PoolProblem& p, int64_t begin, int64_t end) {
  Span s[3]{};
  for_each_pixel(p, true, begin, end, [&](const int64_t (&at)[4], const auto& blocks) {
    find_spans(p, at, outputs_of, s);
    // The tap by which the first of the outputs sees this input, and how far apart those of the next are.
    int64_t first[3], fewer[3];
    for (int a = 0; a < 3; ++a) {
      const auto& w = p.axis[a];
      first[a] = steps(w, at[a + 1] + w.low - s[a].begin * w.stride);
      fewer[a] = steps(w, s[a].step * w.stride);
    }
    blocks([&](auto vectors, int64_t channel, int64_t width) {
      constexpr int V = decltype(vectors)::count;
      Vec sum[V] = {};
      for (int64_t kd = 0; kd < s[0].count; ++kd)
        for (int64_t kh = 0; kh < s[1].count; ++kh) {
          const int64_t d = s[0].begin + kd * s[0].step, h = s[1].begin + kh * s[1].step;
          const int64_t line = (first[0] - kd * fewer[0]) * p.axis[1].kernel + first[1] - kh * fewer[1];
          const float* row = source_at(p, at[0], d, h) + channel;
          for (int64_t kw = 0; kw < s[2].count; ++kw) {
            const int64_t w = s[2].begin + kw * s[2].step;
            const Mask here = Mask{} + static_cast<int32_t>(line * p.axis[2].kernel + first[2] - kw * fewer[2]);
            const uint8_t* taps = taps_at(p, at[0], d, h, w) + channel;
            const float* x = row + w * p.source_strides.axis[2];
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) {
              const Vec value = load_within(x + v * kLanes, width - v * kLanes, p.source_end);
              sum[v] += load_taps(taps + v * kLanes, width - v * kLanes) == here ? value : Vec{};
            }
          }
        }
      float* output = output_at(p, at) + channel;
      for (int v = 0; v < V; ++v) store_result(p, output + v * kLanes, sum[v], width - v * kLanes);
    });
  });
  if (p.stream) end_stream();
}

void avg_pool_pixels(const PoolProblem& p, int64_t begin, int64_t end) {
  Span s[3]{};
  for_each_pixel(p, false, begin, end, [&](const int64_t (&at)[4], const auto& blocks) {
    find_spans(p, at, window_of, s);
    int64_t count = p.divisor;
    if (count == 0)
      count = divisor_of(p.axis[0], at[1]) * divisor_of(p.axis[1], at[2]) * divisor_of(p.axis[2], at[3]);
    const int64_t step = s[2].step * p.source_strides.axis[2];
    blocks([&](auto vectors, int64_t channel, int64_t width) {
      constexpr int V = decltype(vectors)::count;
      Vec sum[V] = {};
      for (int64_t kd = 0; kd < s[0].count; ++kd)
        for (int64_t kh = 0; kh < s[1].count; ++kh) {
          const float* x = source_at(p, at[0], s[0].begin + kd * s[0].step, s[1].begin + kh * s[1].step) + channel +
                           s[2].begin * p.source_strides.axis[2];
          Vec row[V] = {};
          for (int64_t kw = 0; kw < s[2].count; ++kw, x += step)
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v)
              row[v] += load_within(x + v * kLanes, width - v * kLanes, p.source_end);
          for (int v = 0; v < V; ++v) sum[v] += row[v];
        }
      float* output = output_at(p, at) + channel;
      for (int v = 0; v < V; ++v)
        store_result(p, output + v * kLanes, sum[v] / static_cast<float>(count), width - v * kLanes);
    });
  });
  if (p.stream) end_stream();
}

void avg_pool_adjoint_pixels(const PoolProblem& p, int64_t begin, int64_t end) {
  Span s[3]{};
  for_each_pixel(p, true, begin, end, [&](const int64_t (&at)[4], const auto& blocks) {
    find_spans(p, at, outputs_of, s);
    blocks([&](auto vectors, int64_t channel, int64_t width) {
      constexpr int V = decltype(vectors)::count;
      Vec sum[V] = {};
      for (int64_t kd = 0; kd < s[0].count; ++kd)
        for (int64_t kh = 0; kh < s[1].count; ++kh) {
          const int64_t d = s[0].begin + kd * s[0].step, h = s[1].begin + kh * s[1].step;
          const int64_t above = p.divisor ? p.divisor : divisor_of(p.axis[0], d) * divisor_of(p.axis[1], h);
          const float* row = source_at(p, at[0], d, h) + channel;
          for (int64_t kw = 0; kw < s[2].count; ++kw) {
            const int64_t w = s[2].begin + kw * s[2].step;
            const int64_t count = p.divisor ? above : above * divisor_of(p.axis[2], w);
            const float share = 1.f / static_cast<float>(count);
            const float* x = row + w * p.source_strides.axis[2];
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v)
              sum[v] += share * load_within(x + v * kLanes, width - v * kLanes, p.source_end);
          }
        }
      float* output = output_at(p, at) + channel;
      for (int v = 0; v < V; ++v) store_result(p, output + v * kLanes, sum[v], width - v * kLanes);
    });
  });
  if (p.stream) end_stream();
}

}  // namespace
