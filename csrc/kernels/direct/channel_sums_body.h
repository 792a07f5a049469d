// Sums of channels over pixels: the gradient of a bias. Kernels of weight gradients make them where they read the gradient
// anyway, which spares reading all of it again.
#pragma once

#include "kernels/base/simd.h"
#include "kernels/direct/direct.h"
#include "kernels/gather/walk_body.h"

namespace {

using convlayers::ChannelSumsProblem;

template <int Vectors>
inline void add_vectors(const float* at, const int64_t* offset, int64_t count, float* sums) {
  Vec sum[Vectors] = {};
  for (int64_t i = 0; i < count; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) sum[v] += load(at + offset[i] + v * kLanes);
  for (int v = 0; v < Vectors; ++v) store(sums + v * kLanes, load(sums + v * kLanes) + sum[v]);
}

// Adds `count` pixels' channels to `channels` sums. The pixels are summed by themselves first: the fewer steps, the less is
// rounded.
inline void add_channels(const float* at, const int64_t* offset, int64_t count, int64_t channels, float* sums) {
  int64_t c = 0;
  for (; c + 4 * kLanes <= channels; c += 4 * kLanes) add_vectors<4>(at + c, offset, count, sums + c);
  for (; c + kLanes <= channels; c += kLanes) add_vectors<1>(at + c, offset, count, sums + c);
  if (c == channels) return;
  const Lanes rest(channels - c);
  Vec sum{};
  for (int64_t i = 0; i < count; ++i) sum += load(at + offset[i] + c, rest);
  store_first(sums + c, load(sums + c, rest) + sum, channels - c);
}

// Tasks: segments of the chunks, each with sums of its own.
inline int64_t channel_sums_tasks(const ChannelSumsProblem& p) { return p.segments; }

inline void channel_sums(const ChannelSumsProblem& p, int64_t begin, int64_t end) {
  const Gather& g = *p.gather;
  const int64_t count = chunks(g, 1);
  for (int64_t segment = begin; segment < end; ++segment) {
    float* sums = p.result + segment * p.channels;
    clear(sums, p.channels);
    for (int64_t c = count * segment / p.segments; c < count * (segment + 1) / p.segments; ++c) {
      const Chunk chunk = find_chunk(g, c, 1);
      const Pixels pixels(g, chunk);
      add_channels(p.gradient, pixels.output, chunk.count, p.channels, sums);
    }
  }
}

}  // namespace
