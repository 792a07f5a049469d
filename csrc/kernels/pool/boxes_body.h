// Pooling in either layout: pixels of channels where they lie, contiguous planes box by box (pool.h).
#pragma once

#include "kernels/gather/walk_body.h"
#include "kernels/pool/pool_body.h"
#include "kernels/layout/transpose_body.h"

namespace {

using convlayers::PoolBoxes;
using convlayers::Strides;

// A part of a plane: where it begins along each axis, and how far it goes.
struct Part {
  int64_t begin[3], size[3];

  // Calls f(first float in the plane, first in the part, how many) for each run of floats that follow one another in both.
  template <class F>
  void for_each_run(const Strides& plane, const F& f) const {
    int64_t run = size[2], rows = size[1], slices = size[0];
    if (run == plane.axis[1]) run *= rows, rows = 1;
    if (run == plane.axis[0]) run *= slices, slices = 1;
    if (run == 0) return;
    const int64_t start = begin[0] * plane.axis[0] + begin[1] * plane.axis[1] + begin[2];
    for (int64_t d = 0, at = 0; d < slices; ++d)
      for (int64_t h = 0; h < rows; ++h, at += run) f(start + d * plane.axis[0] + h * plane.axis[1], at, run);
  }
  // The strides of its copy, pixels of so many planes.
  Strides strides(int64_t planes) const { return {0, {size[1] * size[2] * planes, size[2] * planes, planes}}; }
  int64_t offset(const Strides& s) const { return begin[0] * s.axis[0] + begin[1] * s.axis[1] + begin[2] * s.axis[2]; }
};

inline bool has_planes(const PoolProblem& p) { return p.source_plane != 0 || p.output_plane != 0; }

template <class Pixels>
inline void pool_box(const PoolProblem& p, const PoolBoxes& boxes, bool adjoint, int64_t task, float* source,
                     float* result, const Pixels& pool_pixels) {
  Part to, from;
  int64_t rest = task;
  for (int a = 2; a >= 0; --a) {
    to.begin[a] = rest % boxes.count[a] * boxes.results[a];
    to.size[a] = std::min(boxes.results[a], boxes.size[a] - to.begin[a]);
    rest /= boxes.count[a];
    const Span seen = sources_between(p.axis[a], adjoint, to.begin[a], to.begin[a] + to.size[a]);
    from.begin[a] = seen.begin;
    from.size[a] = seen.count;
  }
  const int64_t channel = rest % boxes.groups * boxes.planes, n = rest / boxes.groups;

  // The same problem for one sample's planes, and these pixels of it.
  PoolProblem q = p;
  q.batch = 1;
  q.channels = std::min(boxes.planes, p.channels - channel);
  q.source = p.source + n * p.source_strides.batch + channel * std::max<int64_t>(p.source_plane, 1);
  q.output = p.output + n * p.output_strides.batch + channel * std::max<int64_t>(p.output_plane, 1);
  if (p.tap) q.tap += n * p.tap_strides.batch + channel;
  if (p.index) q.index += n * p.index_strides.batch + channel * p.index_strides.channel;
  if (p.source_plane) {
    from.for_each_run(p.source_strides, [&](int64_t first, int64_t at, int64_t run) {
      for (int64_t c = 0; c < q.channels; c += kLanes) {
        const float* rows = q.source + c * p.source_plane + first;
        const int64_t next = kLanes * p.source_plane;  // planes are too short for processors to foresee
        for (int64_t r = c + kLanes; r < std::min(c + 2 * kLanes, q.channels); ++r)
          for (int64_t i = 0; i < run; i += 16) __builtin_prefetch(rows + next + (r - c - kLanes) * p.source_plane + i);
        transpose_rows(rows, p.source_plane, std::min<int64_t>(kLanes, q.channels - c), run,
                       source + at * boxes.planes + c, boxes.planes);
      }
    });
    q.source_strides = from.strides(boxes.planes);
    q.source = source - from.offset(q.source_strides);
    q.source_end = source + boxes.source_floats();
  }
  float* const planes = q.output;
  if (p.output_plane) {
    q.output_strides = to.strides(boxes.planes);
    q.output = result - to.offset(q.output_strides);
    q.stream = false;
  }
  const int64_t pieces = (boxes.size[2] + kPoolPixels - 1) / kPoolPixels;
  const int64_t first = to.begin[2] / kPoolPixels, count = (to.size[2] + kPoolPixels - 1) / kPoolPixels;
  for (int64_t d = to.begin[0]; d < to.begin[0] + to.size[0]; ++d)
    for (int64_t h = to.begin[1]; h < to.begin[1] + to.size[1]; ++h) {
      const int64_t piece = (d * boxes.size[1] + h) * pieces + first;
      pool_pixels(q, piece, piece + count);
    }
  if (p.output_plane)
    to.for_each_run(p.output_strides, [&](int64_t first, int64_t at, int64_t run) {
      for (int64_t c = 0; c < q.channels; c += kLanes)
        for (int64_t i = 0; i < run; i += kLanes)
          transpose_rows(result + (at + i) * boxes.planes + c, boxes.planes, std::min<int64_t>(kLanes, run - i),
                         std::min<int64_t>(kLanes, q.channels - c), planes + c * p.output_plane + first + i,
                         p.output_plane);
    });
}

template <class Pixels>
inline void pool_either(const PoolProblem& p, bool adjoint, int64_t begin, int64_t end, const Pixels& pool_pixels) {
  if (!has_planes(p)) return pool_pixels(p, begin, end);
  const PoolBoxes boxes(p, adjoint);
  const Scratch<float> source(boxes.source_floats()), result(boxes.result_floats());
  for (int64_t task = begin; task < end; ++task)
    pool_box(p, boxes, adjoint, task, source.get(), result.get(), pool_pixels);
}

inline int64_t either_tasks(const PoolProblem& p, bool adjoint) {
  return has_planes(p) ? PoolBoxes(p, adjoint).tasks : PoolSplit(p, adjoint).tasks;
}
int64_t pool_tasks(const PoolProblem& p) { return either_tasks(p, false); }
int64_t pool_adjoint_tasks(const PoolProblem& p) { return either_tasks(p, true); }

void max_pool(const PoolProblem& p, int64_t begin, int64_t end) { pool_either(p, false, begin, end, max_pool_pixels); }
void max_pool_adjoint(const PoolProblem& p, int64_t begin, int64_t end) {
  pool_either(p, true, begin, end, max_pool_adjoint_pixels);
}
void avg_pool(const PoolProblem& p, int64_t begin, int64_t end) { pool_either(p, false, begin, end, avg_pool_pixels); }
void avg_pool_adjoint(const PoolProblem& p, int64_t begin, int64_t end) {
  pool_either(p, true, begin, end, avg_pool_adjoint_pixels);
}

}  // namespace
