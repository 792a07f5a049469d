// Tiles of the gradient of the weights: sums of outer products, rows of source channels by whole vectors of the outputs' gradient.
#pragma once

#include "kernels/direct/tile_body.h"

namespace {

struct OuterTile {
  int64_t pixels;
  float* result;
  int64_t stride;  // of a source channel in the result
  bool adds;       // to the result, or is it
};
// Where a tile reads of one pixel.
struct OuterPixel {
  const float *source, *gradient;
};

// Of pixels wherever they are, each so many floats from where a pixel begins.
struct PointerTile : OuterTile {
  const float *const *source, *const *gradient;
  int64_t source_channel, gradient_channel;
  // What to fetch into the second-level cache on the way, a line for each pixel.
  static constexpr int64_t kEvery = 1;
  struct Line {
    const float* const* pixel;
    int64_t channel;
  } line[2];
  void fetch(int64_t p) const {
    __builtin_prefetch(line[0].pixel[p] + line[0].channel, 0, 1);
    __builtin_prefetch(line[1].pixel[p] + line[1].channel, 0, 1);
  }
  OuterPixel pixel(int64_t p) const { return {source[p] + source_channel, gradient[p] + gradient_channel}; }
};

// Where a tile has few sums, to find its pixels and to fetch what comes next takes as long as they do. There sources are copied
// into panels, the channels of one tile side by side, which are read from end to end, and a line of what comes next is fetched
// for every few pixels.
constexpr bool kPanels = kVectors < 4;
constexpr int64_t kPanelFloats = kChunk * kRows + 2 * kLanes;  // copies are of whole vectors
// Tiles whose panels are copied at once: they are to stay in the second-level cache while all output channels read them.
constexpr int64_t kPanelTiles = 32;
struct PanelTile : OuterTile {
  const float* source;
  const float* const* gradient;
  int64_t gradient_channel;
  static constexpr int64_t kEvery = 4;
  const float* const* line;  // to fetch, for so many pixels each
  void fetch(int64_t p) const { __builtin_prefetch(line[p / kEvery], 0, 2); }
  OuterPixel pixel(int64_t p) const { return {source + p * kRows, gradient[p] + gradient_channel}; }
};

inline void copy_panels(const float* const* pixel, int64_t pixels, int64_t channel, int64_t channels, float* panel) {
  // Some pixels at a time: a line of each is read once, and written lines are whole.
  constexpr int64_t kSome = 8;
  for (int64_t first = 0; first < pixels; first += kSome) {
    const int64_t last = std::min(first + kSome, pixels);
    float* to = panel;
    for (int64_t c = 0; c < channels; c += kRows, to += kPanelFloats)
      for (int64_t i = first; i < last; ++i)
#pragma GCC unroll 2
        for (int64_t v = 0; v < kRows; v += kLanes)
          if (c + v < channels) store(to + i * kRows + v, load_first(pixel[i] + channel + c + v, channels - c - v));
  }
}

// Adds the outer product of so many floats of a source and so many vectors of a gradient.
template <int Rows, int Vectors>
inline void add_outer_product(Vec (&sum)[Rows][Vectors], const float* source, const float* gradient) {
  Vec g[Vectors];
#pragma GCC unroll 8
  for (int v = 0; v < Vectors; ++v) g[v] = load(gradient + v * kLanes);
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
    const Vec s = splat(source[r]);
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) sum[r][v] += s * g[v];
  }
}

template <class AnyTile, int Rows, int Vectors>
void run_outer_tile(const AnyTile& t) {
  Vec sum[Rows][Vectors] = {};
  for (int r = 0; r < Rows; ++r) __builtin_prefetch(t.result + r * t.stride, 1);
  const auto add = [&](int64_t p) {
    const auto [source, gradient] = t.pixel(p);
    add_outer_product(sum, source, gradient);
  };
  constexpr int64_t kEvery = AnyTile::kEvery;
  int64_t p = 0;
  for (; p + kEvery <= t.pixels; p += kEvery) {
    t.fetch(p);
#pragma GCC unroll 4
    for (int64_t i = 0; i < kEvery; ++i) add(p + i);
  }
  for (; p < t.pixels; ++p) add(p);
  store_sums(sum, t.result, t.stride, t.adds);
}

// entry[rows - 1][vectors - 1]
template <class AnyTile>
struct OuterTileTable {
  using Function = void (*)(const AnyTile&);
  Function entry[6][4] = {};
  template <int Rows>
  constexpr void fill_row() {
    entry[Rows - 1][0] = run_outer_tile<AnyTile, Rows, 1>;
    if constexpr (kVectors > 1) entry[Rows - 1][1] = run_outer_tile<AnyTile, Rows, 2>;
    if constexpr (kVectors > 2) entry[Rows - 1][2] = run_outer_tile<AnyTile, Rows, 3>;
    if constexpr (kVectors > 3) entry[Rows - 1][3] = run_outer_tile<AnyTile, Rows, 4>;
  }
  constexpr OuterTileTable() {
    fill_row<1>();
    fill_row<2>();
    fill_row<3>();
    fill_row<4>();
    fill_row<5>();
    fill_row<6>();
  }
};
template <class AnyTile>
constexpr OuterTileTable<AnyTile> kOuterTile;

}  // namespace
