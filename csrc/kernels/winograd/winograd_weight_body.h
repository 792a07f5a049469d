// The gradient of the weights: F(3x3, 4x4), with the same points and the same transform of the source.
#pragma once

#include "kernels/winograd/winograd_body.h"

namespace {

// G g, for the gradients of four outputs.
inline void winograd_gradient(const Vec (&g)[4], Vec (&u)[6]) {
  const Vec even1 = (-2.f / 3) * g[0] + (-1.f / 3) * g[2], odd1 = (-2.f / 3 * kA) * g[1] + (-1.f / 3 * kA) * g[3];
  const Vec even2 = (1.f / 6) * g[0] + (1.f / 3) * g[2], odd2 = (1.f / 6 * kB) * g[1] + (1.f / 3 * kB) * g[3];
  u[0] = g[0];
  u[1] = even1 + odd1;
  u[2] = even1 - odd1;
  u[3] = even2 + odd2;
  u[4] = even2 - odd2;
  u[5] = g[3];
}

// A' m, for three taps.
inline void winograd_taps(const Vec (&m)[6], Vec (&y)[3]) {
  const Vec sum1 = m[1] + m[2], sum2 = m[3] + m[4];
  y[0] = m[0] + sum1 + sum2;
  y[1] = kA * (m[1] - m[2]) + kB * (m[3] - m[4]);
  y[2] = 0.5f * sum1 + 2.f * sum2 + m[5];
}

// G g G' of one tile, for the output channels of a block.
void transform_gradient(const DirectWeightProblem& p, const WinogradCut& cut, const WinogradTile& tile, float* to,
                        int64_t channel, int64_t width) {
  const Gather& g = *p.gather;
  const auto& [d, h, w] = g.region->axis;
  const int64_t rows = std::min(kWinogradOut, h.outputs - tile.h), columns = std::min(kWinogradOut, w.outputs - tile.w);
  const float* gradient = p.gradient + tile.n * g.output_batch + d.output[tile.d] + channel;
  for (int64_t c = 0; c < width; c += kLanes) {
    Vec half[kWinogradIn][kWinogradOut];
    for (int64_t j = 0; j < kWinogradOut; ++j) {
      Vec x[kWinogradOut], u[kWinogradIn];
      for (int64_t i = 0; i < kWinogradOut; ++i)
        x[i] = i < rows && j < columns
                   ? load_first(gradient + h.output[tile.h + i] + w.output[tile.w + j] + c, width - c)
                   : Vec{};
      winograd_gradient(x, u);
#pragma GCC unroll 6
      for (int i = 0; i < kWinogradIn; ++i) half[i][j] = u[i];
    }
    for (int i = 0; i < kWinogradIn; ++i) {
      Vec u[kWinogradIn];
      winograd_gradient(half[i], u);
#pragma GCC unroll 6
      for (int j = 0; j < kWinogradIn; ++j) store(to + (i * kWinogradIn + j) * cut.product_stride() + c, u[j]);
    }
  }
}

// A' S A of one source channel and tap of the first axis: its nine taps, at to[tap * stride].
void transform_taps(const Gather& g, const float* sums, int64_t point_stride, int64_t whole, float* to, int64_t stride) {
  const auto& [d, h, w] = g.region->axis;
  const bool flip_h = h.shift[1] < h.shift[0], flip_w = w.shift[1] < w.shift[0];
  for (int64_t v = 0; v < whole; v += kLanes) {
    Vec half[3][kWinogradIn];
    for (int j = 0; j < kWinogradIn; ++j) {
      Vec m[kWinogradIn], y[3];
      for (int i = 0; i < kWinogradIn; ++i) m[i] = load(sums + (i * kWinogradIn + j) * point_stride + v);
      winograd_taps(m, y);
      for (int i = 0; i < 3; ++i) half[i][j] = y[i];
    }
    for (int i = 0; i < 3; ++i) {
      Vec y[3];
      winograd_taps(half[i], y);
      for (int j = 0; j < 3; ++j) store(to + ((flip_h ? 2 - i : i) * 3 + (flip_w ? 2 - j : j)) * stride + v, y[j]);
    }
  }
}

// Tasks: segments of the tiles, each with sums of its own, by blocks of output channels.
int64_t winograd_weight_tasks(const DirectWeightProblem& p) { return p.segments * blocks(p.output_channels); }

void winograd_weight(const DirectWeightProblem& p, int64_t begin, int64_t end) {
  const Gather& g = *p.gather;
  const WinogradCut cut(g, p.source_channels);
  const int64_t block_count = blocks(p.output_channels), padded = rounded(p.output_channels);
  const int64_t lines = cut.depth * p.source_channels;
  const Scratch<float> sources(kWinogradPoints * cut.source_stride()), gradients(kWinogradPoints * cut.product_stride());
  const Scratch<float> sums(kWinogradPoints * lines * std::min(kBlock, padded)), zeros(cut.channels);
  std::fill(zeros.get(), zeros.get() + cut.channels, 0.f);
  for (int64_t task = begin; task < end; ++task) {
    const int64_t segment = task / block_count, block = task % block_count;
    const int64_t width = std::min(kBlock, p.output_channels - block * kBlock), whole = rounded(width);
    std::memset(sums.get(), 0, static_cast<size_t>(kWinogradPoints * lines * whole) * sizeof(float));
    const int64_t last = cut.tiles * (segment + 1) / p.segments;
    for (int64_t first = cut.tiles * segment / p.segments; first < last; first += cut.block) {
      const int64_t count = std::min(cut.block, last - first);
      for (int64_t i = 0; i < count; ++i) {
        const WinogradTile tile(g, cut, first + i);
        transform_source(p, cut, tile, zeros.get(), sources.get() + i * cut.channels);
        transform_gradient(p, cut, tile, gradients.get() + i * kBlock, block * kBlock, width);
      }
      for (int64_t point = 0; point < kWinogradPoints; ++point)
        for (int64_t k = 0; k < cut.depth; ++k) {
          const float* source = sources.get() + point * cut.source_stride() + k * cut.block * cut.channels;
          for (int64_t row = 0; row < p.source_channels; row += kRows) {
            const OuterTile t{source + row, gradients.get() + point * cut.product_stride(), cut.channels, count,
                              sums.get() + (point * lines + k * p.source_channels + row) * whole, whole};
            kOuterTile.entry[std::min<int64_t>(kRows, p.source_channels - row) - 1][whole / kLanes - 1](t);
          }
        }
    }
    float* result = p.result + segment * 9 * lines * padded + block * kBlock;
    for (int64_t k = 0; k < cut.depth; ++k)
      for (int64_t c = 0; c < p.source_channels; ++c)
        transform_taps(g, sums.get() + (k * p.source_channels + c) * whole, lines * whole, whole,
                       result + (k * 9 * p.source_channels + c) * padded, p.source_channels * padded);
  }
}

}  // namespace
