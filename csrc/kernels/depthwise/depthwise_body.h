#pragma once

#include "kernels/base/activation_body.h"
#include "kernels/depthwise/depthwise.h"
#include "kernels/gather/walk_body.h"

namespace {

using convlayers::DepthwiseProblem;
using convlayers::DepthwiseWeightProblem;

constexpr int64_t kDepthwiseRows = 6;
constexpr int64_t kWeightTaps = 12;  // taps whose gradients are summed side by side in registers

inline int64_t whole_vectors(int64_t channels) { return (channels + kLanes - 1) / kLanes * kLanes; }

// Lanes `channel`... of a source pixel, as this kernel's channels read it.
template <bool Straight>
inline Vec load_channels(const float* pixel, const int32_t* from, int64_t channel, int64_t width) {
  if constexpr (Straight) return load_first(pixel + channel, width);
  Vec v{};
  for (int64_t i = 0; i < std::min<int64_t>(width, kLanes); ++i) v[i] = pixel[from[channel + i]];
  return v;
}

// Channels c ... c + Vectors * kLanes of a tile of pixels. Several vectors share the loading of a pointer.
template <bool Straight, int Rows, int Vectors>
void run_depthwise_tile(const DepthwiseProblem& p, const Region& r, const float* const* source, float* const* output,
                        int64_t c, int64_t width) {
  const int64_t stride = whole_vectors(p.channels);
  Vec sum[Rows][Vectors];
  for (int v = 0; v < Vectors; ++v) {
    const Vec bias = p.bias ? load_first(p.bias + c + v * kLanes, width - v * kLanes) : Vec{};
    for (int i = 0; i < Rows; ++i) sum[i][v] = bias;
  }
  const auto accumulate = [&](int64_t lanes) {
    for (int64_t k = 0; k < r.taps; ++k)
      for (int64_t j = 0; j < p.steps; ++j) {
        const float* weight = p.weight + (r.tap[k] * p.steps + j) * stride + c;
        const int32_t* from = Straight ? nullptr : p.from + j * p.channels;
        Vec w[Vectors];
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v) w[v] = load(weight + v * kLanes);
#pragma GCC unroll 8
        for (int i = 0; i < Rows; ++i)
#pragma GCC unroll 4
          for (int v = 0; v < Vectors; ++v)
            sum[i][v] += w[v] * load_channels<Straight>(source[k * kDepthwiseRows + i], from, c + v * kLanes, lanes);
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

template <bool Straight, int Rows>
void run_depthwise_channels(const DepthwiseProblem& p, const Region& r, const float* const* source,
                            float* const* output) {
  int64_t c = 0;
  for (; c + 2 * kLanes <= p.channels; c += 2 * kLanes)
    run_depthwise_tile<Straight, Rows, 2>(p, r, source, output, c, 2 * kLanes);
  for (; c < p.channels; c += kLanes) run_depthwise_tile<Straight, Rows, 1>(p, r, source, output, c, p.channels - c);
}

template <bool Straight>
void run_depthwise_rows(const DepthwiseProblem& p, const Region& r, const float* const* source, float* const* output,
                        int64_t rows) {
  switch (rows) {
    case 1: return run_depthwise_channels<Straight, 1>(p, r, source, output);
    case 2: return run_depthwise_channels<Straight, 2>(p, r, source, output);
    case 3: return run_depthwise_channels<Straight, 3>(p, r, source, output);
    case 4: return run_depthwise_channels<Straight, 4>(p, r, source, output);
    case 5: return run_depthwise_channels<Straight, 5>(p, r, source, output);
    default: return run_depthwise_channels<Straight, 6>(p, r, source, output);
  }
}

int64_t depthwise_tasks(const DepthwiseProblem& p) { return chunks(*p.gather, kDepthwiseRows); }

void depthwise(const DepthwiseProblem& p, int64_t begin, int64_t end) {
  const Gather& g = *p.gather;
  Scratch<const float*> table(table_size(g, kDepthwiseRows));
  for (int64_t task = begin; task < end; ++task) {
    const Chunk chunk = find_chunk(g, task, kDepthwiseRows);
    const Region& r = *chunk.region;
    const Pixels pixels(g, chunk);
    const auto place = [&](int64_t i) { return i / kDepthwiseRows * r.taps * kDepthwiseRows + i % kDepthwiseRows; };
    fill_sources(g, r, pixels, 0, chunk.count, p.source, p.outside, table.get(), kDepthwiseRows, place);
    for (int64_t first = 0; first < chunk.count; first += kDepthwiseRows) {
      const int64_t rows = std::min(kDepthwiseRows, chunk.count - first);
      float* output[kDepthwiseRows];
      for (int64_t i = 0; i < rows; ++i) output[i] = p.output + pixels.output[first + i];
      const float* const* source = table.get() + first * r.taps;
      p.from ? run_depthwise_rows<false>(p, r, source, output, rows) : run_depthwise_rows<true>(p, r, source, output, rows);
    }
  }
}

// --- gradient of the weights -------------------------------------------------------------------------------------------

// Taps first ... first + Taps of one vector of channels, over a chunk; source is [tap][pixel].
template <bool Straight, int Taps>
void sum_taps(const DepthwiseWeightProblem& p, const Chunk& chunk, const Pixels& pixels, const float* const* source,
              int64_t first, int64_t c, float* result) {
  const int64_t stride = whole_vectors(p.channels), width = std::min<int64_t>(p.channels - c, kLanes);
  Vec sum[Taps] = {};
  const auto accumulate = [&](int64_t lanes) {
    for (int64_t i = 0; i < chunk.count; ++i) {
      const Vec gradient = load_first(p.gradient + pixels.output[i] + c, lanes);
#pragma GCC unroll 12
      for (int k = 0; k < Taps; ++k)
        sum[k] += gradient * load_channels<Straight>(source[(first + k) * chunk.count + i], p.from, c, lanes);
    }
  };
  if (width == kLanes)
    accumulate(kLanes);
  else
    accumulate(width);
  for (int k = 0; k < Taps; ++k) {
    float* to = result + chunk.region->tap[first + k] * stride + c;
    store(to, load(to) + sum[k]);
  }
}

using SumTaps = void (*)(const DepthwiseWeightProblem&, const Chunk&, const Pixels&, const float* const*, int64_t, int64_t,
                         float*);
template <bool Straight>
constexpr SumTaps kSumTaps[kWeightTaps] = {
    sum_taps<Straight, 1>, sum_taps<Straight, 2>,  sum_taps<Straight, 3>,  sum_taps<Straight, 4>,
    sum_taps<Straight, 5>, sum_taps<Straight, 6>,  sum_taps<Straight, 7>,  sum_taps<Straight, 8>,
    sum_taps<Straight, 9>, sum_taps<Straight, 10>, sum_taps<Straight, 11>, sum_taps<Straight, 12>,
};

template <bool Straight>
void sum_all_taps(const DepthwiseWeightProblem& p, const Chunk& chunk, const Pixels& pixels, const float* const* source,
                  int64_t c, float* result) {
  const int64_t taps = chunk.region->taps, passes = (taps + kWeightTaps - 1) / kWeightTaps;
  for (int64_t i = 0; i < passes; ++i) {
    const int64_t first = taps * i / passes, count = taps * (i + 1) / passes - first;
    kSumTaps<Straight>[count - 1](p, chunk, pixels, source, first, c, result);
  }
}

int64_t depthwise_weight_tasks(const DepthwiseWeightProblem& p) { return p.segments; }

void depthwise_weight(const DepthwiseWeightProblem& p, int64_t begin, int64_t end) {
  const Gather& g = *p.gather;
  const int64_t floats = g.filter_taps * whole_vectors(p.channels), chunk_count = chunks(g, 1);
  Scratch<const float*> table(table_size(g, 1));
  for (int64_t segment = begin; segment < end; ++segment) {
    float* result = p.result + segment * floats;
    std::memset(result, 0, static_cast<size_t>(floats) * sizeof(float));
    for (int64_t n = chunk_count * segment / p.segments; n < chunk_count * (segment + 1) / p.segments; ++n) {
      const Chunk chunk = find_chunk(g, n, 1);
      const Pixels pixels(g, chunk);
      fill_sources(g, *chunk.region, pixels, 0, chunk.count, p.source, p.outside, table.get(), chunk.count,
                   [](int64_t i) { return i; });
      for (int64_t c = 0; c < p.channels; c += kLanes)
        p.from ? sum_all_taps<false>(p, chunk, pixels, table.get(), c, result)
               : sum_all_taps<true>(p, chunk, pixels, table.get(), c, result);
    }
  }
}

}  // namespace
