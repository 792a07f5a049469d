// The two matrix products of Winograd's kernels, a register tile at a time.
#pragma once

#include "kernels/direct/outer_body.h"

namespace {

constexpr int kMostRows = 12;
// Rows of a tile of so many vectors: as many sums as there are registers for.
constexpr int product_rows(int vectors) { return std::min(kMostRows, kRows * kVectors / vectors); }

// output(row, o) = sum over k of  source(row, k) weight(k, o), for whole vectors o; added to what is there, or instead of it.
struct Product {
  const float *source, *weight;
  int64_t source_stride, depth;
  bool add;
  float* output;  // rows as long as the weights'
  const float* next;  // weights to fetch meanwhile, one part of kFetchParts
};
constexpr int64_t kFetchParts = 4;

template <int Rows, int Vectors>
void run_product(const Product& p) {
  constexpr int64_t kLines = (Vectors * kLanes + kFetch - 1) / kFetch;
  Vec sum[Rows][Vectors] = {};
  if (p.add)
    for (int r = 0; r < Rows; ++r)
      for (int v = 0; v < Vectors; ++v) sum[r][v] = load(p.output + (r * Vectors + v) * kLanes);
  const float* source[Rows];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) source[r] = p.source + r * p.source_stride;
  const float *weight = p.weight, *next = p.next;
  const auto step = [&](int64_t k) __attribute__((always_inline)) {
    Vec w[Vectors];
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) w[v] = load(weight + v * kLanes);
    weight += Vectors * kLanes;
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const Vec x = splat(source[r][k]);
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) sum[r][v] += x * w[v];
    }
  };
  int64_t k = 0;
  for (; k + kFetchParts <= p.depth; k += kFetchParts) {
#pragma GCC unroll 4
    for (int l = 0; l < kLines; ++l) __builtin_prefetch(next + l * kFetch);
    next += kLines * kFetch;
#pragma GCC unroll 4
    for (int64_t i = 0; i < kFetchParts; ++i) step(k + i);
  }
  for (; k < p.depth; ++k) step(k);
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) store(p.output + (r * Vectors + v) * kLanes, sum[r][v]);
}

// result(c, o) = sum over rows of  source(row, c) gradient(row, o), or added to it.
struct RowProduct {
  const float *source, *gradient;
  int64_t source_stride, rows;
  bool add;
  float* result;  // rows as long as the gradient's
};

template <int Rows, int Vectors>
void run_row_product(const RowProduct& p) {
  Vec sum[Rows][Vectors] = {};
  if (p.add)
    for (int r = 0; r < Rows; ++r)
      for (int v = 0; v < Vectors; ++v) sum[r][v] = load(p.result + (r * Vectors + v) * kLanes);
  const float *x = p.source, *y = p.gradient;
  for (int64_t i = 0; i < p.rows; ++i, x += p.source_stride, y += Vectors * kLanes) add_outer_product(sum, x, y);
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) store(p.result + (r * Vectors + v) * kLanes, sum[r][v]);
}

// entry[vectors - 1][rows - 1], for as many rows as fit.
struct ProductTable {
  void (*product[kVectors][kMostRows])(const Product&) = {};
  void (*row_product[kVectors][kMostRows])(const RowProduct&) = {};
  constexpr ProductTable() { fill<1, 1>(); }
  template <int Rows, int Vectors>
  constexpr void fill() {
    product[Vectors - 1][Rows - 1] = run_product<Rows, Vectors>;
    row_product[Vectors - 1][Rows - 1] = run_row_product<Rows, Vectors>;
    if constexpr (Rows < product_rows(Vectors)) fill<Rows + 1, Vectors>();
    else if constexpr (Vectors < kVectors) fill<1, Vectors + 1>();
  }
};
constexpr ProductTable kProduct;

// Calls f(first row, rows) for parts as even as can be, none longer than a register tile.
template <class F>
inline void for_rows(int64_t count, int64_t vectors, const F& f) {
  const int64_t most = product_rows(static_cast<int>(vectors)), parts = (count + most - 1) / most;
  for (int64_t i = 0; i < parts; ++i) {
    const int64_t first = count * i / parts;
    f(first, count * (i + 1) / parts - first);
  }
}

}  // namespace
