// Averages over whole contiguous planes, as global pooling takes them, and their adjoint.
#pragma once

#include "kernels/pool/pool_body.h"

namespace {

constexpr int64_t kWholeFloats = 8192;  // planes of so many floats together in a task

inline int64_t planes_in_task(int64_t plane) { return std::max<int64_t>(kWholeFloats / plane, 1); }
inline int64_t whole_plane_tasks(const PoolProblem& p, int64_t plane) {
  const int64_t some = planes_in_task(plane);
  return (p.batch * p.channels + some - 1) / some;
}

// Lanes side by side, four vectors of them, summed at the end.
inline float plane_sum(const float* plane, int64_t size) {
  Vec sum[4] = {};
  int64_t i = 0;
  for (; i + 4 * kLanes <= size; i += 4 * kLanes)
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) sum[v] += load(plane + i + v * kLanes);
  for (; i < size; i += kLanes) sum[0] += load_first(plane + i, size - i);
  const Vec total = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  float result = 0;
  for (int l = 0; l < kLanes; ++l) result += total[l];
  return result;
}

inline void average_planes(const PoolProblem& p, int64_t begin, int64_t end) {
  const int64_t some = planes_in_task(p.source_plane), planes = p.batch * p.channels;
  const auto divisor = static_cast<float>(common_divisor(p));
  for (int64_t i = begin * some; i < std::min(end * some, planes); ++i) {
    const int64_t n = i / p.channels, c = i % p.channels;
    p.output[n * p.output_strides.batch + c] = plane_sum(p.source + i * p.source_plane, p.source_plane) / divisor;
  }
}

inline void fill_planes(const PoolProblem& p, int64_t begin, int64_t end) {
  const int64_t some = planes_in_task(p.output_plane), planes = p.batch * p.channels;
  const float share = 1.f / static_cast<float>(common_divisor(p));
  for (int64_t i = begin * some; i < std::min(end * some, planes); ++i) {
    const float value = share * p.source[i / p.channels * p.source_strides.batch + i % p.channels];
    float* plane = p.output + i * p.output_plane;
    for (int64_t at = 0; at < p.output_plane; at += kLanes) store_first(plane + at, splat(value), p.output_plane - at);
  }
}

}  // namespace
