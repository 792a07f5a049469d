#pragma once

#include "kernels/direct/direct_body.h"
#include "kernels/winograd/winograd.h"

namespace {

using convlayers::kWinogradIn;
using convlayers::kWinogradOut;
using convlayers::kWinogradPoints;
using convlayers::WinogradProblem;

constexpr float kA = 0.70710678118654752f, kB = 1.41421356237309505f;  // the points: 0, +-kA, +-kB, infinity

// B' d, in place.
inline void winograd_source(Vec (&d)[6]) {
  const Vec even1 = d[4] - 2.f * d[2], odd1 = kA * d[3] - kB * d[1];
  const Vec even2 = d[4] - 0.5f * d[2], odd2 = kB * d[3] - kA * d[1];
  d[0] = d[0] - 2.5f * d[2] + d[4];
  d[5] = d[1] - 2.5f * d[3] + d[5];
  d[1] = even1 + odd1;
  d[2] = even1 - odd1;
  d[3] = even2 + odd2;
  d[4] = even2 - odd2;
}

// A' m.
inline void winograd_output(const Vec (&m)[6], Vec (&y)[4]) {
  const Vec sum1 = m[1] + m[2], difference1 = m[1] - m[2], sum2 = m[3] + m[4], difference2 = m[3] - m[4];
  y[0] = m[0] + sum1 + sum2;
  y[1] = kA * difference1 + kB * difference2;
  y[2] = 0.5f * sum1 + 2.f * sum2;
  y[3] = (kA / 2) * difference1 + (2 * kB) * difference2 + m[5];
}

// G w.
inline void winograd_filter(const Vec (&w)[3], Vec (&u)[6]) {
  const Vec even1 = (-2.f / 3) * w[0] + (-1.f / 3) * w[2], odd1 = (-2.f / 3 * kA) * w[1];
  const Vec even2 = (1.f / 6) * w[0] + (1.f / 3) * w[2], odd2 = (1.f / 6 * kB) * w[1];
  u[0] = w[0];
  u[1] = even1 + odd1;
  u[2] = even1 - odd1;
  u[3] = even2 + odd2;
  u[4] = even2 - odd2;
  u[5] = w[2];
}

// How a problem is cut: blocks of tiles whose transforms stay in the second-level cache.
struct WinogradCut {
  int64_t rows, columns, tiles, depth;  // tiles along either axis and in all; taps of the first axis
  int64_t channels;                     // of the source, rounded up to an odd number of vectors: rows of a power of two
                                        // would share a few sets of the cache
  int64_t block;                        // tiles a block

  WinogradCut(const Gather& g, int64_t source_channels) {
    const auto& [d, h, w] = g.region->axis;
    rows = (h.outputs + kWinogradOut - 1) / kWinogradOut;
    columns = (w.outputs + kWinogradOut - 1) / kWinogradOut;
    tiles = g.region->pixels / (h.outputs * w.outputs) * rows * columns;
    depth = d.taps;
    channels = (rounded(source_channels) / kLanes | 1) * kLanes;
    constexpr int64_t kFloats = 160 * 1024;
    const int64_t fit = kFloats / (kWinogradPoints * (depth * channels + kBlock)) / kRows * kRows;
    block = std::clamp<int64_t>(fit, 4 * kRows, 8 * kRows);
  }
  // Between points, a vector more than what is used, or their addresses would share a few sets of the cache.
  int64_t source_stride() const { return depth * block * channels + kLanes; }
  int64_t product_stride() const { return block * kBlock + kLanes; }
};

// A tile: its batch and place.
struct WinogradTile {
  int64_t n, d, h, w;
  WinogradTile(const Gather& g, const WinogradCut& cut, int64_t index) {
    w = index % cut.columns * kWinogradOut;
    index /= cut.columns;
    h = index % cut.rows * kWinogradOut;
    index /= cut.rows;
    d = index % g.region->axis[0].outputs;
    n = index / g.region->axis[0].outputs;
  }
};

// Where position j of a tile reads along an axis; `nothing` beyond what its outputs reach.
inline int64_t winograd_lookup(const Gather& g, int axis, int64_t output, int64_t j, int64_t nothing) {
  const auto& a = g.region->axis[axis];
  if (output + j >= a.outputs + 2) return nothing;
  return g.lookup[axis][a.base[output] + std::min(a.shift[0], a.shift[2]) + j];
}

// B' x B of one tile, for every tap of the first axis: to[point * stride + (tap * block) * channels + channel].
template <class Problem>
void transform_source(const Problem& p, const WinogradCut& cut, const WinogradTile& tile, const float* zeros, float* to) {
  const Gather& g = *p.gather;
  const auto& depth = g.region->axis[0];
  constexpr int64_t kNothing = INT64_MIN;  // a source that no output of the tile depends on
  int64_t rows[kWinogradIn], columns[kWinogradIn];
  for (int64_t j = 0; j < kWinogradIn; ++j) {
    rows[j] = winograd_lookup(g, 1, tile.h, j, kNothing);
    columns[j] = winograd_lookup(g, 2, tile.w, j, kNothing);
  }
  for (int64_t t = 0; t < depth.taps; ++t, to += cut.block * cut.channels) {
    const int64_t plane = g.lookup[0][depth.base[tile.d] + depth.shift[t]];
    const float* source[kWinogradIn][kWinogradIn];
    for (int64_t i = 0; i < kWinogradIn; ++i)
      for (int64_t j = 0; j < kWinogradIn; ++j)
        source[i][j] = rows[i] == kNothing || columns[j] == kNothing ? zeros
                       : columns[j] < 0                              ? p.outside[2]
                       : rows[i] < 0                                 ? p.outside[1]
                       : plane < 0                                   ? p.outside[0]
                           : p.source + (tile.n * g.source_batch + plane + rows[i] + columns[j]);
    for (int64_t c = 0; c < p.source_channels; c += kLanes) {
      Vec half[kWinogradIn][kWinogradIn];
      const int64_t left = p.source_channels - c;
      for (int j = 0; j < kWinogradIn; ++j) {
        Vec x[kWinogradIn];
#pragma GCC unroll 6
        for (int i = 0; i < kWinogradIn; ++i) x[i] = load_first(source[i][j] + c, left);
        winograd_source(x);
#pragma GCC unroll 6
        for (int i = 0; i < kWinogradIn; ++i) half[i][j] = x[i];
      }
      for (int i = 0; i < kWinogradIn; ++i) {
        winograd_source(half[i]);
#pragma GCC unroll 6
        for (int j = 0; j < kWinogradIn; ++j) store(to + (i * kWinogradIn + j) * cut.source_stride() + c, half[i][j]);
      }
    }
  }
}

// A' m A of one tile, for the output channels of a block.
void transform_output(const DirectProblem& p, const WinogradCut& cut, const WinogradTile& tile, const float* from,
                      int64_t channel, int64_t width) {
  const Gather& g = *p.gather;
  const auto& [d, h, w] = g.region->axis;
  const int64_t rows = std::min(kWinogradOut, h.outputs - tile.h), columns = std::min(kWinogradOut, w.outputs - tile.w);
  float* output = p.output + tile.n * g.output_batch + d.output[tile.d] + channel;
  for (int64_t c = 0; c < width; c += kLanes) {
    const Vec bias = p.bias ? load_first(p.bias + channel + c, width - c) : Vec{};
    Vec half[kWinogradOut][kWinogradIn];
    for (int j = 0; j < kWinogradIn; ++j) {
      Vec m[kWinogradIn], y[kWinogradOut];
#pragma GCC unroll 6
      for (int i = 0; i < kWinogradIn; ++i) m[i] = load(from + (i * kWinogradIn + j) * cut.product_stride() + c);
      winograd_output(m, y);
#pragma GCC unroll 4
      for (int i = 0; i < kWinogradOut; ++i) half[i][j] = y[i];
    }
    for (int64_t i = 0; i < rows; ++i) {
      Vec y[kWinogradOut];
      winograd_output(half[i], y);
      for (int64_t j = 0; j < columns; ++j)
        store_first(output + h.output[tile.h + i] + w.output[tile.w + j] + c, activate(y[j] + bias, p.activation),
                    width - c);
    }
  }
}

// --- weights -----------------------------------------------------------------------------------------------------------

constexpr int64_t kWinogradColumns = 16;  // source channels at a time: whole cache lines, whichever axis is the dense one

// G w G' of a block of output channels: [point][tap of the first axis][source channel][channel of the block].
void transform_filters(const WinogradProblem& p, int64_t block, float* packed) {
  const auto& [d, h, w] = p.gather->region->axis;
  const bool flip_h = h.shift[1] < h.shift[0], flip_w = w.shift[1] < w.shift[0];
  const int64_t depth = p.sizes.kernel[0], columns = p.sizes.columns;
  const int64_t count = std::min(kBlock, p.sizes.rows - block * kBlock), width = rounded(count);
  alignas(64) float filters[9][kWinogradColumns][kBlock];
  std::memset(filters, 0, sizeof filters);
  for (int64_t t = 0; t < depth; ++t)
    for (int64_t first = 0; first < columns; first += kWinogradColumns) {
      const int64_t some = std::min(kWinogradColumns, columns - first);
      const float* from = p.filter + block * kBlock * p.strides.row + first * p.strides.column + t * p.strides.axis[0];
      const auto tap_at = [&](int64_t tap) {
        const int64_t i = flip_h ? 2 - tap / 3 : tap / 3, j = flip_w ? 2 - tap % 3 : tap % 3;
        return from + i * p.strides.axis[1] + j * p.strides.axis[2];
      };
      if (p.strides.row == 1)
        for (int64_t tap = 0; tap < 9; ++tap)
          for (int64_t c = 0; c < some; ++c)
            std::memcpy(filters[tap][c], tap_at(tap) + c * p.strides.column, static_cast<size_t>(count) * sizeof(float));
      else
        for (int64_t row = 0; row < count; ++row)
          for (int64_t tap = 0; tap < 9; ++tap) {
            const float* at = tap_at(tap) + row * p.strides.row;
            for (int64_t c = 0; c < some; ++c) filters[tap][c][row] = at[c * p.strides.column];
          }
      for (int64_t c = 0; c < some; ++c)
        for (int64_t v = 0; v < width; v += kLanes) {
          Vec half[kWinogradIn][3];
          for (int j = 0; j < 3; ++j) {
            Vec tap[3], u[kWinogradIn];
            for (int i = 0; i < 3; ++i) tap[i] = load(&filters[i * 3 + j][c][v]);
            winograd_filter(tap, u);
            for (int i = 0; i < kWinogradIn; ++i) half[i][j] = u[i];
          }
          for (int i = 0; i < kWinogradIn; ++i) {
            Vec u[kWinogradIn];
            winograd_filter(half[i], u);
            for (int j = 0; j < kWinogradIn; ++j)
              store(packed + (((i * kWinogradIn + j) * depth + t) * columns + first + c) * width + v, u[j]);
          }
        }
    }
}

// --- the kernel ----------------------------------------------------------------------------------------------------------

// Tasks: blocks of output channels, each in a few ranges of tiles that are worth transforming its weights for. A thread
// that runs ranges of one block in turn transforms them once.
constexpr int64_t kWinogradTiles = 96;
inline int64_t winograd_ranges(const WinogradProblem& p, const WinogradCut& cut) {
  const int64_t block_count = blocks(p.output_channels);
  return std::clamp<int64_t>(cut.tiles / kWinogradTiles, 1, (kTasks + block_count - 1) / std::max<int64_t>(block_count, 1));
}
int64_t winograd_tasks(const WinogradProblem& p) {
  return blocks(p.output_channels) * winograd_ranges(p, WinogradCut(*p.gather, p.source_channels));
}

void winograd(const WinogradProblem& p, int64_t begin, int64_t end) {
  const Gather& g = *p.gather;
  const WinogradCut cut(g, p.source_channels);
  const int64_t ranges = winograd_ranges(p, cut), lines = cut.depth * p.source_channels;
  const Scratch<float> sources(kWinogradPoints * cut.source_stride()), products(kWinogradPoints * cut.product_stride());
  const Scratch<float> filters(kWinogradPoints * lines * std::min(kBlock, rounded(p.output_channels)));
  const Scratch<float> zeros(cut.channels);
  std::fill(zeros.get(), zeros.get() + cut.channels, 0.f);
  const Scratch<int64_t> taps(cut.depth);  // of the first axis
  for (int64_t t = 0; t < cut.depth; ++t) taps.get()[t] = t;
  const Scratch<const float*> table(cut.depth * kRows);
  int64_t transformed = -1;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t block = task / ranges, range = task % ranges;
    const int64_t width = std::min(kBlock, p.output_channels - block * kBlock), whole = rounded(width);
    if (block != transformed) transform_filters(p, block, filters.get());
    transformed = block;
    const int64_t last = cut.tiles * (range + 1) / ranges;
    for (int64_t first = cut.tiles * range / ranges; first < last; first += cut.block) {
      const int64_t count = std::min(cut.block, last - first);
      for (int64_t i = 0; i < count; ++i)
        transform_source(p, cut, WinogradTile(g, cut, first + i), zeros.get(), sources.get() + i * cut.channels);
      for (int64_t point = 0; point < kWinogradPoints; ++point) {
        Tile t;
        t.source = t.next = table.get();
        t.tap = taps.get();
        t.taps = cut.depth;
        t.weight = filters.get() + point * lines * whole;
        t.channel = 0;
        t.channels = p.source_channels;
        t.bias = nullptr;
        t.activation = {};
        t.width = whole;
        for (int64_t i = 0; i < count; i += kRows) {
          const int64_t rows = std::min<int64_t>(kRows, count - i);
          float* output[kRows];
          for (int64_t r = 0; r < rows; ++r) {
            output[r] = products.get() + point * cut.product_stride() + (i + r) * kBlock;
            for (int64_t k = 0; k < cut.depth; ++k)
              table.get()[k * kRows + r] =
                  sources.get() + point * cut.source_stride() + (k * cut.block + i + r) * cut.channels;
          }
          t.output = output;
          kTile.entry[rows - 1][whole / kLanes - 1](t);
        }
      }
      for (int64_t i = 0; i < count; ++i)
        transform_output(p, cut, WinogradTile(g, cut, first + i), products.get() + i * kBlock, block * kBlock, width);
    }
  }
}

}  // namespace
