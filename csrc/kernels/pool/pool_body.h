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
    const bool in_box = p.source_plane != 0 || p.output_plane != 0;
    const int64_t n = p.batch * size[0] * size[1] * pieces;
    parts = in_box ? 1 : std::min(blocks, n > 0 ? (kPoolTasks + n - 1) / n : 1);
    tasks = n * parts;
  }
};

// So many vectors of channels, all of them whole, or one of which some lanes lie beyond the channels.
template <int V, bool Whole>
struct Vectors {
  static constexpr int count = V;
  int64_t width = V * kLanes;
  const float* end = nullptr;  // beyond the last float that may be read

  // The lanes beyond read what comes next, or nothing at the source's very end.
  Vec load(const float* p, int v) const {
    if (Whole || width >= kLanes || end - p >= kLanes) return ::load(p + v * kLanes);
    return load_first(p, width);
  }
};

// Calls `pixel(at, spans, blocks)` for each result pixel of the tasks, at = (batch, d, h, w), with what it sees (or is seen
// by) along each axis, span_of(axis, at). blocks(f) calls f(Vectors, channel) for each block of its channels.
template <class SpanFunction, class PixelFunction>
inline void for_each_pixel(const PoolProblem& p, bool adjoint, int64_t begin, int64_t end, const SpanFunction& span_of,
                           const PixelFunction& pixel) {
  const PoolSplit split(p, adjoint);
  Span spans[3], column[kPoolPixels];  // those along a row are kept from one row to the next
  int64_t kept = -1;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t part = task % split.parts, piece = task / split.parts % split.pieces;
    int64_t row = task / split.parts / split.pieces;
    int64_t at[4];
    at[2] = row % split.size[1];
    row /= split.size[1];
    at[1] = row % split.size[0];
    at[0] = row / split.size[0];
    const auto blocks = [&](const auto& f) {
      const auto some = [&](int64_t vectors, int64_t channel) {
        switch (vectors) {
          case 1: return f(Vectors<1, true>{}, channel);
          case 2: return f(Vectors<2, true>{}, channel);
          case 3: return f(Vectors<3, true>{}, channel);
          case 4: return f(Vectors<4, true>{}, channel);
        }
      };
      for (int64_t b = split.blocks * part / split.parts; b < split.blocks * (part + 1) / split.parts; ++b) {
        const int64_t channel = b * kPoolVectors * kLanes;
        const int64_t width = std::min<int64_t>(p.channels - channel, kPoolVectors * kLanes), whole = width / kLanes;
        some(whole, channel);
        if (width % kLanes != 0) f(Vectors<1, false>{width % kLanes, p.source_end}, channel + whole * kLanes);
      }
    };
    const int64_t first = piece * kPoolPixels, last = std::min(first + kPoolPixels, split.size[2]);
    if (first != kept)
      for (int64_t w = first; w < last; ++w) column[w - first] = span_of(p.axis[2], w);
    kept = first;
    for (int a = 0; a < 2; ++a) spans[a] = span_of(p.axis[a], at[a + 1]);
    for (at[3] = first; at[3] < last; ++at[3]) {
      spans[2] = column[at[3] - first];
      pixel(at, spans, blocks);
    }
  }
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

template <int V, bool Whole>
inline void store_results(const PoolProblem& p, float* to, const Vec (&results)[V], const Vectors<V, Whole>& vectors) {
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v)
    if (p.stream)
      stream(to + v * kLanes, results[v]);
    else if (Whole)
      store(to + v * kLanes, results[v]);
    else
      store_first(to, results[v], vectors.width);
}

// The larger of two, the first of equals; a NaN is taken, and then gives way to nothing but NaN.
template <bool Where>
inline void take_larger(Vec& best, Mask& where, Vec value, Mask here) {
#if defined(__AVX512F__)
  const auto a = reinterpret_cast<__m512>(value), b = reinterpret_cast<__m512>(best);
  const auto better = static_cast<__mmask16>(_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ) | _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q));
  best = reinterpret_cast<Vec>(_mm512_mask_mov_ps(b, better, a));
  if (Where)
    where = reinterpret_cast<Mask>(
        _mm512_mask_mov_epi32(reinterpret_cast<__m512i>(where), better, reinterpret_cast<__m512i>(here)));
#else
  const Mask better = (value > best) | (value != value);
  best = better ? value : best;
  if (Where) where = better ? here : where;
#endif
}

// What is kept of a maximum beside its value: nothing, where it is in its plane, or which tap of its window it is.
enum class Kept { kNothing, kIndex, kTap };

template <Kept kept, int V, bool Whole>
inline void max_block(const PoolProblem& p, const int64_t (&at)[4], const Span (&s)[3], int64_t channel,
                      const Vectors<V, Whole>& vectors) {
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
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) {
    best[v] = splat(-INFINITY);
    where[v] = Mask{} + static_cast<int32_t>(first);
  }
  const int64_t column = s[2].step * p.source_strides.axis[2];
  for (int64_t kd = 0; kd < s[0].count; ++kd)
    for (int64_t kh = 0; kh < s[1].count; ++kh) {
      const float* x = source_at(p, at[0], s[0].begin + kd * s[0].step, s[1].begin + kh * s[1].step) + channel +
                       s[2].begin * p.source_strides.axis[2];
      const int64_t line = (low[0] + kd * step[0]) * extent[1] + low[1] + kh * step[1];
      Mask here = Mask{} + static_cast<int32_t>(line * extent[2] + low[2]);
      for (int64_t kw = 0; kw < s[2].count; ++kw, x += column, here += static_cast<int32_t>(step[2]))
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) take_larger<kept != Kept::kNothing>(best[v], where[v], vectors.load(x, v), here);
    }
  store_results(p, output_at(p, at) + channel, best, vectors);
  if constexpr (kept == Kept::kTap) {
    uint8_t* taps = taps_at(p, at[0], at[1], at[2], at[3]) + channel;
    for (int v = 0; v < V; ++v) store_taps(taps + v * kLanes, where[v], Whole ? kLanes : vectors.width);
  }
  if constexpr (kept == Kept::kIndex) {
    const auto& i = p.index_strides;
    const int64_t pixel = (at[1] * p.axis[1].output + at[2]) * p.axis[2].output + at[3];
    int64_t* index = p.index + at[0] * i.batch + pixel * i.pixel + channel * i.channel;
    for (int v = 0; v < V; ++v)
      for (int64_t l = 0; l < (Whole ? kLanes : vectors.width); ++l) index[(v * kLanes + l) * i.channel] = where[v][l];
  }
}

template <Kept kept>
inline void max_pool_keeping(const PoolProblem& p, int64_t begin, int64_t end) {
  for_each_pixel(p, false, begin, end, window_of, [&](const int64_t (&at)[4], const Span (&s)[3], const auto& blocks) {
    blocks([&](const auto& vectors, int64_t channel) { max_block<kept>(p, at, s, channel, vectors); });
  });
  if (p.stream) end_stream();
}

void max_pool_pixels(const PoolProblem& p, int64_t begin, int64_t end) {
  if (p.tap) return max_pool_keeping<Kept::kTap>(p, begin, end);
  if (p.index) return max_pool_keeping<Kept::kIndex>(p, begin, end);
  max_pool_keeping<Kept::kNothing>(p, begin, end);
}

void max_pool_adjoint_pixels(const PoolProblem& p, int64_t begin, int64_t end) {
  for_each_pixel(p, true, begin, end, outputs_of, [&](const int64_t (&at)[4], const Span (&s)[3], const auto& blocks) {
    // The tap by which the first of the outputs sees this input, and how far apart those of the next are.
    int64_t first[3], fewer[3];
    for (int a = 0; a < 3; ++a) {
      const auto& w = p.axis[a];
      first[a] = steps(w, at[a + 1] + w.low - s[a].begin * w.stride);
      fewer[a] = steps(w, s[a].step * w.stride);
    }
    blocks([&]<int V, bool Whole>(const Vectors<V, Whole>& vectors, int64_t channel) {
      Vec sum[V] = {};
      const int64_t column = s[2].step * p.source_strides.axis[2], tap_column = s[2].step * p.tap_strides.axis[2];
      for (int64_t kd = 0; kd < s[0].count; ++kd)
        for (int64_t kh = 0; kh < s[1].count; ++kh) {
          const int64_t d = s[0].begin + kd * s[0].step, h = s[1].begin + kh * s[1].step;
          const int64_t line = (first[0] - kd * fewer[0]) * p.axis[1].kernel + first[1] - kh * fewer[1];
          const float* x = source_at(p, at[0], d, h) + channel + s[2].begin * p.source_strides.axis[2];
          const uint8_t* taps = taps_at(p, at[0], d, h, s[2].begin) + channel;
          Mask here = Mask{} + static_cast<int32_t>(line * p.axis[2].kernel + first[2]);
          for (int64_t kw = 0; kw < s[2].count; ++kw, x += column, taps += tap_column) {
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v)
              sum[v] += load_taps(taps + v * kLanes, Whole ? kLanes : vectors.width) == here ? vectors.load(x, v) : Vec{};
            here -= static_cast<int32_t>(fewer[2]);
          }
        }
      store_results(p, output_at(p, at) + channel, sum, vectors);
    });
  });
  if (p.stream) end_stream();
}

void avg_pool_pixels(const PoolProblem& p, int64_t begin, int64_t end) {
  for_each_pixel(p, false, begin, end, window_of, [&](const int64_t (&at)[4], const Span (&s)[3], const auto& blocks) {
    int64_t count = p.divisor;
    if (count == 0)
      count = divisor_of(p.axis[0], at[1]) * divisor_of(p.axis[1], at[2]) * divisor_of(p.axis[2], at[3]);
    const auto divisor = static_cast<float>(count);
    // A division takes as long as ten sums; that by a power of two is a product.
    const bool power = count > 0 && (count & (count - 1)) == 0;
    const int64_t step = s[2].step * p.source_strides.axis[2];
    blocks([&]<int V, bool Whole>(const Vectors<V, Whole>& vectors, int64_t channel) {
      Vec sum[V] = {};
      for (int64_t kd = 0; kd < s[0].count; ++kd)
        for (int64_t kh = 0; kh < s[1].count; ++kh) {
          const float* x = source_at(p, at[0], s[0].begin + kd * s[0].step, s[1].begin + kh * s[1].step) + channel +
                           s[2].begin * p.source_strides.axis[2];
          Vec row[V] = {};
          for (int64_t kw = 0; kw < s[2].count; ++kw, x += step)
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) row[v] += vectors.load(x, v);
#pragma GCC unroll 4
          for (int v = 0; v < V; ++v) sum[v] += row[v];
        }
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) sum[v] = power ? sum[v] * (1.f / divisor) : sum[v] / divisor;
      store_results(p, output_at(p, at) + channel, sum, vectors);
    });
  });
  if (p.stream) end_stream();
}

// The divisor of every window, where they have the same; else 0.
inline int64_t common_divisor(const PoolProblem& p) {
  int64_t product = p.divisor ? p.divisor : 1;
  for (const WindowAxis& w : p.axis) {
    if (p.divisor) break;
    // Windows at the ends see the least.
    const bool same = w.output == 1 || (w.kernel > 0 && w.output > 1 && divisor_of(w, 0) == w.kernel &&
                                        divisor_of(w, w.output - 1) == w.kernel);
    product *= same ? divisor_of(w, 0) : 0;
  }
  return product;
}

void avg_pool_adjoint_pixels(const PoolProblem& p, int64_t begin, int64_t end) {
  const int64_t common = common_divisor(p);
  const float common_share = 1.f / static_cast<float>(common);
  for_each_pixel(p, true, begin, end, outputs_of, [&](const int64_t (&at)[4], const Span (&s)[3], const auto& blocks) {
    blocks([&]<int V, bool Whole>(const Vectors<V, Whole>& vectors, int64_t channel) {
      Vec sum[V] = {};
      const int64_t column = s[2].step * p.source_strides.axis[2];
      for (int64_t kd = 0; kd < s[0].count; ++kd)
        for (int64_t kh = 0; kh < s[1].count; ++kh) {
          const int64_t d = s[0].begin + kd * s[0].step, h = s[1].begin + kh * s[1].step;
          const int64_t above = common ? 0 : divisor_of(p.axis[0], d) * divisor_of(p.axis[1], h);
          const float* x = source_at(p, at[0], d, h) + channel + s[2].begin * p.source_strides.axis[2];
          for (int64_t kw = 0; kw < s[2].count; ++kw, x += column) {
            const int64_t w = s[2].begin + kw * s[2].step;
            const float share =
                common ? common_share : 1.f / static_cast<float>(above * divisor_of(p.axis[2], w));
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) sum[v] += share * vectors.load(x, v);
          }
        }
      store_results(p, output_at(p, at) + channel, sum, vectors);
    });
  });
  if (p.stream) end_stream();
}

}  // namespace
