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

// What a result pixel sees: floats from its first element, and from one to the next along each axis.
struct Seen {
  const float* first;
  int64_t count[3], step[3];

  Seen(const PoolProblem& p, int64_t batch, const Span (&s)[3]) : first(p.source + batch * p.source_strides.batch) {
    for (int a = 0; a < 3; ++a) {
      count[a] = s[a].count;
      step[a] = s[a].step * p.source_strides.axis[a];
      first += s[a].begin * p.source_strides.axis[a];
    }
  }
  bool any() const { return count[0] > 0 && count[1] > 0 && count[2] > 0; }
};

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

inline Taps narrow(Mask where) {
#if defined(__AVX512F__)
  return reinterpret_cast<Taps>(_mm512_maskz_cvtepi32_epi8(0xffff, reinterpret_cast<__m512i>(where)));
#elif defined(__AVX2__)
  const auto wide = reinterpret_cast<__m256i>(where);
  const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
  const int64_t bits = _mm_cvtsi128_si64(_mm_packus_epi16(words, words));
  Taps taps;
  std::memcpy(&taps, &bits, sizeof taps);
  return taps;
#else
  return __builtin_convertvector(where, Taps);
#endif
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
  const Taps taps = narrow(where);
  if (width >= kLanes)
    std::memcpy(to, &taps, sizeof taps);
  else
    for (int64_t l = 0; l < width; ++l) to[l] = taps[l];
}

template <int V, bool Whole>
inline void store_results(const PoolProblem& p, float* to, const Vec (&results)[V], const Vectors<V, Whole>& vectors) {
  if (p.stream) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) stream(to + v * kLanes, results[v]);
    return;
  }
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v)
    if (Whole)
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

// How elements of a window are counted: the first one seen, and from one to the next along each axis.
struct Count {
  int32_t first, step[3];

  Count(int64_t line, int64_t column, const int64_t (&steps)[3], const int64_t (&extent)[3])
      : first(static_cast<int32_t>(line * extent[2] + column)),
        step{static_cast<int32_t>(steps[0] * extent[1] * extent[2]), static_cast<int32_t>(steps[1] * extent[2]),
             static_cast<int32_t>(steps[2])} {}
};

// In the plane, or, for taps, in the window.
template <Kept kept>
inline Count count_of(const PoolProblem& p, const int64_t (&at)[4], const Span (&s)[3], bool any) {
  int64_t low[3], step[3], extent[3];
  for (int a = 0; a < 3; ++a) {
    const auto& w = p.axis[a];
    low[a] = kept == Kept::kTap ? steps(w, s[a].begin - (at[a + 1] * w.stride - w.low)) : s[a].begin;
    step[a] = kept == Kept::kTap ? 1 : s[a].step;
    extent[a] = kept == Kept::kTap ? w.kernel : w.input;
  }
  Count count(low[0] * extent[1] + low[1], low[2], step, extent);
  if (!any) count.first = kept == Kept::kTap ? convlayers::kNoTap : -1;
  return count;
}

template <Kept kept, int V, bool Whole>
inline void max_block(const Seen& seen, const Count& count, int64_t channel, const Vectors<V, Whole>& vectors,
                      Vec (&best)[V], Mask (&where)[V]) {
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) {
    best[v] = splat(-INFINITY);
    where[v] = Mask{} + count.first;
  }
  const float* slice = seen.first + channel;
  Mask slice_here = Mask{} + count.first;
  for (int64_t kd = 0; kd < seen.count[0]; ++kd, slice += seen.step[0], slice_here += count.step[0]) {
    const float* row = slice;
    Mask row_here = slice_here;
    for (int64_t kh = 0; kh < seen.count[1]; ++kh, row += seen.step[1], row_here += count.step[1]) {
      const float* x = row;
      Mask here = row_here;
      for (int64_t kw = 0; kw < seen.count[2]; ++kw, x += seen.step[2], here += count.step[2])
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) take_larger<kept != Kept::kNothing>(best[v], where[v], vectors.load(x, v), here);
    }
  }
}

template <Kept kept>
inline void max_pool_keeping(const PoolProblem& p, int64_t begin, int64_t end) {
  for_each_pixel(p, false, begin, end, window_of, [&](const int64_t (&at)[4], const Span (&s)[3], const auto& blocks) {
    const Seen seen(p, at[0], s);
    const Count count = count_of<kept>(p, at, s, seen.any());
    float* const output = output_at(p, at);
    uint8_t* taps = nullptr;
    if constexpr (kept == Kept::kTap) {
      const auto& t = p.tap_strides;
      taps = p.tap + at[0] * t.batch + at[1] * t.axis[0] + at[2] * t.axis[1] + at[3] * t.axis[2];
    }
    blocks([&]<int V, bool Whole>(const Vectors<V, Whole>& vectors, int64_t channel) {
      const int64_t lanes = Whole ? kLanes : vectors.width;
      Vec best[V];
      Mask where[V];
      max_block<kept>(seen, count, channel, vectors, best, where);
      store_results(p, output + channel, best, vectors);
      if constexpr (kept == Kept::kTap)
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) store_taps(taps + channel + v * kLanes, where[v], lanes);
      if constexpr (kept == Kept::kIndex) {
        const auto& i = p.index_strides;
        const int64_t pixel = (at[1] * p.axis[1].output + at[2]) * p.axis[2].output + at[3];
        int64_t* index = p.index + at[0] * i.batch + pixel * i.pixel + channel * i.channel;
        for (int v = 0; v < V; ++v)
          for (int64_t l = 0; l < lanes; ++l) index[(v * kLanes + l) * i.channel] = where[v][l];
      }
    });
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
    const Seen seen(p, at[0], s);
    // The tap by which the first of the outputs sees this input; those of the next ones are less.
    int64_t tap[3], fewer[3], extent[3], tap_step[3];
    const uint8_t* taps = p.tap + at[0] * p.tap_strides.batch;
    for (int a = 0; a < 3; ++a) {
      const auto& w = p.axis[a];
      tap[a] = steps(w, at[a + 1] + w.low - s[a].begin * w.stride);
      fewer[a] = -steps(w, s[a].step * w.stride);
      extent[a] = w.kernel;
      taps += s[a].begin * p.tap_strides.axis[a];
      tap_step[a] = s[a].step * p.tap_strides.axis[a];
    }
    const Count count(tap[0] * extent[1] + tap[1], tap[2], fewer, extent);
    float* const output = output_at(p, at);
    blocks([&]<int V, bool Whole>(const Vectors<V, Whole>& vectors, int64_t channel) {
      Vec sum[V] = {};
      for (int64_t kd = 0; kd < seen.count[0]; ++kd)
        for (int64_t kh = 0; kh < seen.count[1]; ++kh) {
          const float* x = seen.first + channel + kd * seen.step[0] + kh * seen.step[1];
          const uint8_t* t = taps + channel + kd * tap_step[0] + kh * tap_step[1];
          int32_t here = count.first + static_cast<int32_t>(kd) * count.step[0] + static_cast<int32_t>(kh) * count.step[1];
          for (int64_t kw = 0; kw < seen.count[2]; ++kw, x += seen.step[2], t += tap_step[2], here += count.step[2])
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v)
              sum[v] += load_taps(t + v * kLanes, Whole ? kLanes : vectors.width) == here ? vectors.load(x, v) : Vec{};
        }
      store_results(p, output + channel, sum, vectors);
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
    const Seen seen(p, at[0], s);
    float* const output = output_at(p, at);
    blocks([&]<int V, bool Whole>(const Vectors<V, Whole>& vectors, int64_t channel) {
      Vec sum[V] = {};
      for (int64_t kd = 0; kd < seen.count[0]; ++kd)
        for (int64_t kh = 0; kh < seen.count[1]; ++kh) {
          const float* x = seen.first + channel + kd * seen.step[0] + kh * seen.step[1];
          Vec row[V] = {};
          for (int64_t kw = 0; kw < seen.count[2]; ++kw, x += seen.step[2])
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) row[v] += vectors.load(x, v);
#pragma GCC unroll 4
          for (int v = 0; v < V; ++v) sum[v] += row[v];
        }
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) sum[v] = power ? sum[v] * (1.f / divisor) : sum[v] / divisor;
      store_results(p, output + channel, sum, vectors);
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
    const Seen seen(p, at[0], s);
    float* const output = output_at(p, at);
    blocks([&]<int V, bool Whole>(const Vectors<V, Whole>& vectors, int64_t channel) {
      Vec sum[V] = {};
      for (int64_t kd = 0; kd < seen.count[0]; ++kd)
        for (int64_t kh = 0; kh < seen.count[1]; ++kh) {
          const int64_t d = s[0].begin + kd * s[0].step, h = s[1].begin + kh * s[1].step;
          const int64_t above = common ? 0 : divisor_of(p.axis[0], d) * divisor_of(p.axis[1], h);
          const float* x = seen.first + channel + kd * seen.step[0] + kh * seen.step[1];
          for (int64_t kw = 0; kw < seen.count[2]; ++kw, x += seen.step[2]) {
            const int64_t w = s[2].begin + kw * s[2].step;
            const float share =
                common ? common_share : 1.f / static_cast<float>(above * divisor_of(p.axis[2], w));
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) sum[v] += share * vectors.load(x, v);
          }
        }
      store_results(p, output + channel, sum, vectors);
    });
  });
  if (p.stream) end_stream();
}

}  // namespace
