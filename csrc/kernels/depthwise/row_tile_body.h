// Some outputs of a row, of which neighbours share their sources.
#pragma once

#include <array>
#include <utility>

#include "kernels/base/activation_body.h"
#include "kernels/depthwise/depthwise.h"
#include "kernels/depthwise/places_body.h"
#include "kernels/depthwise/slide_body.h"

namespace {

using convlayers::DepthwiseProblem;

// Some neighbouring sources of a row's outputs, and the taps they meet: one, or a few that share them.
struct Term {
  const float* at;  // of the first source
  int64_t weight;   // floats from a vector's weights to those of the first tap
  uint64_t seen;    // as in Window
};

constexpr int kLineFloats = 16;  // of the caches

// Some outputs of a row.
struct RowTile {
  const Term* term;  // of all lines, those of several taps, then those of one: one loop is faster than a loop of each line
  int64_t groups, singles;
  int64_t unit, jump, tap;  // floats from source to source, from output's source to output's source, from weight to weight
  float* output;
  int64_t step;  // floats from output to output
  // What the row below will be the first to read: as stretches of memory, of which each vector of channels fetches a
  // part, or pixel by pixel. It is fetched to the second-level cache: pixels of a power of two of channels share a few sets
  // of the first, and would drive out each other and what is being read. A stride of 2 makes two of each line, and two lines.
  const float* below[4];
  int64_t belows, stretch, apart;
  bool dense;
};

// Steps that one load serves: as many as registers hold weights of.
constexpr int steps_together(int taps) { return kVectors == 4 && taps <= 5 ? 2 : 1; }

// Adds terms of so many Taps to the sums of Vectors from v on: each source is read once a step for all outputs that share it.
template <Share Shared, bool Whole, int Rows, int Vectors, int Taps, int Stride>
inline __attribute__((always_inline)) void add_terms(const DepthwiseProblem& p, const Places& places, int64_t v,
                                                     const Term* begin, const Term* end, int64_t apart, int64_t tap,
                                                     Vec (&sum)[Vectors][Rows]) {
  constexpr int kSources = (Rows - 1) * Stride + Taps, kSteps = Shared == Share::kNone ? 1 : steps_together(Taps);
  const int64_t steps = Shared == Share::kNone ? 1 : p.source_channels, vector_floats = p.gather->filter_taps * steps * kLanes;
  for (const Term* term = begin; term < end; ++term)
#pragma GCC unroll 2
    for (int u = 0; u < Vectors; ++u) {
      const float* weight = p.weight + (v + u) * vector_floats + term->weight;
      const Reader<Shared, Whole> read(places[v + u]);
      const auto add = [&]<int Steps>(std::integral_constant<int, Steps>, int64_t j)
          __attribute__((always_inline)) {
            Vec w[Steps][Taps];
            typename Reader<Shared, Whole>::Index index[Steps];
#pragma GCC unroll 8
            for (int q = 0; q < Steps; ++q) {
              index[q] = read.index(places, j + q);
#pragma GCC unroll 8
              for (int t = 0; t < Taps; ++t) w[q][t] = load(weight + t * tap + (j + q) * kLanes);
            }
            const auto add_source = [&](int i, const float* pixel) __attribute__((always_inline)) {
              const auto source = read(pixel);
#pragma GCC unroll 8
              for (int q = 0; q < Steps; ++q) {
                const Vec x = read.spread(source, index[q]);
#pragma GCC unroll 8
                for (int t = 0; t < Taps; ++t)
                  if (i >= t && (i - t) % Stride == 0 && (i - t) / Stride < Rows) sum[u][(i - t) / Stride] += w[q][t] * x;
              }
            };
            for_seen<kSources, Taps / 2>(term->seen, term->at + read.channel, apart, add_source);
          };
      for_steps<kSteps>(steps, add);
    }
}

// Of each vector from ... to, Vectors at a time, Rows outputs.
template <Share Shared, bool Whole, int Rows, int Vectors, int Taps, int Stride>
void run_row_tile(const DepthwiseProblem& p, const Places& places, const RowTile& s, int64_t from, int64_t to) {
  const int64_t step = s.step;
  const Term *groups_end = s.term + s.groups, *end = groups_end + s.singles;
  const bool identity = p.activation.code == ActivationCode::kIdentity;
  for (int64_t v = from; v < to; v += Vectors) {
    Vec sum[Vectors][Rows];
#pragma GCC unroll 2
    for (int u = 0; u < Vectors; ++u) {
      const Place& at = places[v + u];
      const Vec bias = p.bias ? load_first(p.bias + at.output, at.width) : Vec{};
#pragma GCC unroll 16
      for (int i = 0; i < Rows; ++i) sum[u][i] = bias;
    }
    for (int64_t b = 0; b < s.belows; ++b) {
      const float* next = s.below[b] + places[v].source * s.stretch;
      constexpr int kLines = (Rows * Vectors * kLanes + kLineFloats - 1) / kLineFloats;
      for (int64_t i = s.dense ? kLines : Rows; i > 0; --i, next += s.apart) __builtin_prefetch(next, 0, 2);
    }
    if constexpr (Taps > 1)
      add_terms<Shared, Whole, Rows, Vectors, Taps, Stride>(p, places, v, s.term, groups_end, s.unit, s.tap, sum);
    add_terms<Shared, Whole, Rows, Vectors, 1, 1>(p, places, v, groups_end, end, s.jump, 0, sum);
#pragma GCC unroll 2
    for (int u = 0; u < Vectors; ++u) {
      const Place& at = places[v + u];
      float* output = s.output + at.output;
      if (Whole || at.width >= kLanes) {
#pragma GCC unroll 16
        for (int i = 0; i < Rows; ++i) store(output + i * step, sum[u][i]);
      } else {
#pragma GCC unroll 16
        for (int i = 0; i < Rows; ++i) store_first(output + i * step, sum[u][i], at.width);
      }
      if (identity) continue;
      for (int i = 0; i < Rows; ++i, output += step)
        store_first(output, activate(load_first(output, at.width), p.activation), at.width);
    }
  }
}

using RowTileFunction = void (*)(const DepthwiseProblem&, const Places&, const RowTile&, int64_t, int64_t);
template <Share Shared, bool Whole, int Vectors, int Taps, int Stride, int... Rows>
constexpr std::array<RowTileFunction, sizeof...(Rows)> row_tiles(std::integer_sequence<int, Rows...>) {
  return {run_row_tile<Shared, Whole, Rows + 1, Vectors, Taps, Stride>...};
}
// As many sums as registers hold beside weights and a source.
constexpr int kStraightRows = kVectors == 4 ? 14 : 10;
// AVX2 alone has tiles of whole vectors, whose loads cost less than those of parts, and of two that share a line of the cache.
constexpr bool kMasksCost = kLanes == 8;
constexpr int kTogether = kMasksCost ? 2 : 1;
template <Share Shared, bool Whole, int Vectors, int Taps, int Stride>
constexpr auto kRowTile =
    row_tiles<Shared, Whole, Vectors, Taps, Stride>(std::make_integer_sequence<int, kStraightRows / Vectors>{});
template <Share Shared, bool Whole, int Vectors>
inline RowTileFunction row_tile(const Slide& s, int64_t rows) {
  const auto row = static_cast<size_t>(rows - 1);
  switch (s.taps) {
    case 2: return kRowTile<Shared, Whole, Vectors, 2, 1>[row];
    case 3: return s.stride == 1 ? kRowTile<Shared, Whole, Vectors, 3, 1>[row] : kRowTile<Shared, Whole, Vectors, 3, 2>[row];
    case 5: return s.stride == 1 ? kRowTile<Shared, Whole, Vectors, 5, 1>[row] : kRowTile<Shared, Whole, Vectors, 5, 2>[row];
    case 7: return kRowTile<Shared, Whole, Vectors, 7, 1>[row];
    default: return kRowTile<Shared, Whole, Vectors, 1, 1>[row];
  }
}
// Vectors from ... to.
template <Share Shared>
inline void run_row_tiles(const DepthwiseProblem& p, const Places& places, const Slide& s, int64_t together, int64_t rows,
                          const RowTile& tile, int64_t from, int64_t to) {
  if constexpr (Shared == Share::kNone && kMasksCost) {
    const int64_t whole = to - (to > from && places[to - 1].width < kLanes);
    if (together > 1) {
      const int64_t pairs = (whole - from) / kTogether * kTogether;
      if (pairs > 0) row_tile<Shared, true, kTogether>(s, rows)(p, places, tile, from, from + pairs);
      from += pairs;
    }
    if (from < whole) row_tile<Shared, true, 1>(s, rows)(p, places, tile, from, whole);
    from = whole;
  }
  if (from < to) row_tile<Shared, false, 1>(s, rows)(p, places, tile, from, to);
}

}  // namespace
