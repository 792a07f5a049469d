// Pooling in either layout: pixels of channels where they lie, contiguous planes box by box (pool.h).
#pragma once

#include "kernels/gather/walk_body.h"
#include "kernels/layout/transpose_body.h"
#include "kernels/pool/whole_body.h"

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

// to[i * to_stride + row] = from[row * stride + i], rows and i < kLanes.
inline void transpose_tile(const float* from, int64_t stride, float* to, int64_t to_stride) {
  Vec row[kLanes];
#pragma GCC unroll 16
  for (int r = 0; r < kLanes; ++r) row[r] = load(from + r * stride);
  transpose_round<1>(row);
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) store(to + i * to_stride, row[i]);
}

// Runs of up to kLanes planes become pixels, so many floats apart, and back. Tiles are whole where they can be: the last
// overlaps the one before it.
inline void to_pixels(const float* from, int64_t plane, int64_t planes, int64_t run, float* to, int64_t pixel) {
  if (planes < kLanes || run < kLanes) return transpose_rows(from, plane, planes, run, to, pixel);
  for (int64_t i = 0; i < run; i += kLanes) {
    const int64_t at = std::min(i, run - kLanes);
    transpose_tile(from + at, plane, to + at * pixel, pixel);
  }
}
inline void to_planes(const float* from, int64_t pixel, int64_t planes, int64_t run, float* to, int64_t plane) {
  for (int64_t i = 0; i < run; i += kLanes) {
    if (planes < kLanes || run < kLanes) {
      transpose_rows(from + i * pixel, pixel, std::min<int64_t>(kLanes, run - i), planes, to + i, plane);
    } else {
      const int64_t at = std::min(i, run - kLanes);
      transpose_tile(from + at * pixel, pixel, to + at, plane);
    }
  }
}

// A copy past the caches, but for what lies before the first whole line and after the last.
inline void stream_run(const float* from, int64_t count, float* to) {
  constexpr int64_t line = 64 / sizeof(float);
  const auto misaligned = static_cast<int64_t>(reinterpret_cast<uintptr_t>(to) / sizeof(float) % line);
  const int64_t head = std::min(count, (line - misaligned) % line), end = head + (count - head) / line * line;
  std::memcpy(to, from, static_cast<size_t>(head) * sizeof(float));
  for (int64_t i = head; i < end; i += kLanes) stream(to + i, load(from + i));
  std::memcpy(to + end, from + end, static_cast<size_t>(count - end) * sizeof(float));
}

// Memory of a task: what a box reads and what it results in, as pixels, and the latter as planes before it is streamed.
struct BoxMemory {
  Scratch<float> source, result, planes;
  BoxMemory(const PoolProblem& p, const PoolBoxes& boxes)
      : source(p.source_plane ? boxes.source_floats() : 0), result(p.output_plane ? boxes.result_floats() : 0),
        planes(p.output_plane && p.stream ? boxes.result_floats() / boxes.planes * kLanes : 0) {}
};

inline void read_box(const PoolProblem& p, const float* source, int64_t channels, const Part& from, int64_t pixel,
                     float* to) {
  from.for_each_run(p.source_strides, [&](int64_t first, int64_t at, int64_t run) {
    for (int64_t c = 0; c < channels; c += kLanes) {
      const float* planes = source + c * p.source_plane + first;
      // Runs are too short for the processor to foresee those of the next planes, or, after the last, of the next box.
      const bool follow = c + kLanes < channels || run == p.source_plane;
      const float* next = follow ? planes + kLanes * p.source_plane : source + first + run;
      for (int64_t r = 0; r < kLanes; ++r)
        for (int64_t i = 0; i < run; i += 16) __builtin_prefetch(next + r * p.source_plane + i);
      to_pixels(planes, p.source_plane, std::min<int64_t>(kLanes, channels - c), run, to + at * pixel + c, pixel);
    }
  });
}

inline void write_box(const PoolProblem& p, const BoxMemory& memory, int64_t channels, const Part& to, int64_t pixel,
                      float* output) {
  to.for_each_run(p.output_strides, [&](int64_t first, int64_t at, int64_t run) {
    for (int64_t c = 0; c < channels; c += kLanes) {
      const int64_t planes = std::min<int64_t>(kLanes, channels - c);
      const float* from = memory.result.get() + at * pixel + c;
      float* plane = output + c * p.output_plane + first;
      if (!p.stream) {
        to_planes(from, pixel, planes, run, plane, p.output_plane);
        continue;
      }
      to_planes(from, pixel, planes, run, memory.planes.get(), run);
      const int64_t together = run == p.output_plane ? planes : 1;  // whole planes follow one another
      for (int64_t i = 0; i < planes; i += together)
        stream_run(memory.planes.get() + i * run, together * run, plane + i * p.output_plane);
    }
  });
}

template <class Pixels>
inline void pool_box(const PoolProblem& p, const PoolBoxes& boxes, bool adjoint, int64_t task, const BoxMemory& memory,
                     const Pixels& pool_pixels) {
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
    read_box(p, q.source, q.channels, from, boxes.planes, memory.source.get());
    q.source_strides = from.strides(boxes.planes);
    q.source = memory.source.get() - from.offset(q.source_strides);
    q.source_end = memory.source.get() + boxes.source_floats();
  }
  float* const output = q.output;
  if (p.output_plane) {
    q.output_strides = to.strides(boxes.planes);
    q.output = memory.result.get() - to.offset(q.output_strides);
    q.stream = false;
  }
  const int64_t pieces = (boxes.size[2] + kPoolPixels - 1) / kPoolPixels;
  const int64_t first = to.begin[2] / kPoolPixels, count = (to.size[2] + kPoolPixels - 1) / kPoolPixels;
  for (int64_t d = to.begin[0]; d < to.begin[0] + to.size[0]; ++d) {
    const int64_t piece = (d * boxes.size[1] + to.begin[1]) * pieces + first;
    if (count == pieces) {
      pool_pixels(q, piece, piece + to.size[1] * pieces);
      continue;
    }
    for (int64_t h = 0; h < to.size[1]; ++h) pool_pixels(q, piece + h * pieces, piece + h * pieces + count);
  }
  if (p.output_plane) write_box(p, memory, q.channels, to, boxes.planes, output);
}

template <class Pixels>
inline void pool_either(const PoolProblem& p, bool adjoint, int64_t begin, int64_t end, const Pixels& pool_pixels) {
  if (!has_planes(p)) return pool_pixels(p, begin, end);
  const PoolBoxes boxes(p, adjoint);
  const BoxMemory memory(p, boxes);
  for (int64_t task = begin; task < end; ++task) pool_box(p, boxes, adjoint, task, memory, pool_pixels);
  if (p.stream) end_stream();
}

inline int64_t either_tasks(const PoolProblem& p, bool adjoint) {
  return has_planes(p) ? PoolBoxes(p, adjoint).tasks : PoolSplit(p, adjoint).tasks;
}
int64_t max_pool_tasks(const PoolProblem& p) { return either_tasks(p, false); }
int64_t max_pool_adjoint_tasks(const PoolProblem& p) { return either_tasks(p, true); }
void max_pool(const PoolProblem& p, int64_t begin, int64_t end) { pool_either(p, false, begin, end, max_pool_pixels); }
void max_pool_adjoint(const PoolProblem& p, int64_t begin, int64_t end) {
  pool_either(p, true, begin, end, max_pool_adjoint_pixels);
}

// A window that covers its planes takes no box: they are summed, or filled, where they lie.
inline bool whole_planes(const PoolProblem& p, bool adjoint) {
  return (adjoint ? p.output_plane : p.source_plane) != 0 && convlayers::covers_input(p);
}
int64_t avg_pool_tasks(const PoolProblem& p) {
  return whole_planes(p, false) ? whole_plane_tasks(p, p.source_plane) : either_tasks(p, false);
}
int64_t avg_pool_adjoint_tasks(const PoolProblem& p) {
  return whole_planes(p, true) ? whole_plane_tasks(p, p.output_plane) : either_tasks(p, true);
}
void avg_pool(const PoolProblem& p, int64_t begin, int64_t end) {
  if (whole_planes(p, false)) return average_planes(p, begin, end);
  pool_either(p, false, begin, end, avg_pool_pixels);
}
void avg_pool_adjoint(const PoolProblem& p, int64_t begin, int64_t end) {
  if (whole_planes(p, true)) return fill_planes(p, begin, end);
  pool_either(p, true, begin, end, avg_pool_adjoint_pixels);
}

}  // namespace
