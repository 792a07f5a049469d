// Rows of floats, a lane each, and back.
#pragma once

#include <algorithm>
#include <utility>

#include "kernels/base/simd.h"

namespace {

// Half of a round of a transpose: of every 2 Step lanes, the first (or last) Step of two rows.
template <int Step, bool Last, int... Lane>
inline Vec halves(Vec a, Vec b, std::integer_sequence<int, Lane...>) {
  return __builtin_shufflevector(a, b, ((Lane & Step) ? kLanes + Lane - (Last ? 0 : Step) : Lane + (Last ? Step : 0))...);
}
template <int Step>
inline void transpose_round(Vec (&row)[kLanes]) {
  using Lanes = std::make_integer_sequence<int, kLanes>;
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    if (i & Step) continue;
    const Vec a = row[i], b = row[i + Step];
    row[i] = halves<Step, false>(a, b, Lanes{});
    row[i + Step] = halves<Step, true>(a, b, Lanes{});
  }
  if constexpr (2 * Step < kLanes) transpose_round<2 * Step>(row);
}

// column[i] <- entry i < run of up to kLanes rows, a row to a lane; zero beyond.
inline void load_columns(const float* from, int64_t stride, int64_t rows, int64_t run, Vec (&column)[kLanes]) {
#pragma GCC unroll 16
  for (int r = 0; r < kLanes; ++r) column[r] = r < rows ? load_first(from + r * stride, run) : Vec{};
  transpose_round<1>(column);
}

// to[i * to_stride + row] = from[row * stride + i], for up to kLanes rows and i < run.
inline void transpose_rows(const float* from, int64_t stride, int64_t rows, int64_t run, float* to, int64_t to_stride) {
  for (int64_t first = 0; first < run; first += kLanes) {
    Vec column[kLanes];
    load_columns(from + first, stride, rows, run - first, column);
    const int64_t count = std::min<int64_t>(kLanes, run - first);
    for (int64_t i = 0; i < count; ++i) store_first(to + (first + i) * to_stride, column[i], rows);
  }
}

}  // namespace
