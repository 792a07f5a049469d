// The tiles of a gather: where they lie, the transform of their sources.
#pragma once

#include "kernels/gather/walk_body.h"
#include "kernels/winograd/points_body.h"

namespace {

using convlayers::ClassView;
using convlayers::WinogradAxis;
using convlayers::WinogradPart;
using convlayers::WinogradPlan;

// A tile: its batch and its first output along each axis.
struct WinogradTile {
  int64_t n, plain, u, v;
  WinogradTile(const Gather& g, const WinogradPlan& plan, int64_t index) {
    v = plan.form.v.first(index % plan.tiles_v);
    index /= plan.tiles_v;
    u = plan.form.u.first(index % plan.tiles_u);
    index /= plan.tiles_u;
    plain = index % g.region->axis[plan.form.plain].outputs;
    n = index / g.region->axis[plan.form.plain].outputs;
  }
};

// Offsets of the P positions of a tile along an axis, for a phase; kNothing beyond what its outputs reach.
constexpr int64_t kNothing = INT64_MIN;
template <int P>
inline void find_positions(const Gather& g, const WinogradAxis& form, int64_t output, int64_t phase, int64_t (&position)[P]) {
  const ClassView& a = g.region->axis[form.axis];
  const int64_t* lookup = g.lookup[form.axis] + a.base[output] + std::min(a.shift[0], a.shift[a.taps - 1]);
  const int64_t reach = a.taps + (form.present(a.outputs, output) - 1) * form.phases;
  for (int64_t j = 0; j < P; ++j, phase += form.phases) position[j] = phase < reach ? lookup[phase * form.step] : kNothing;
}

// Consecutive tiles, and what their sources are read from.
struct TileRun {
  const Gather* gather;
  const WinogradPlan* plan;
  int64_t first, count;
  const float* source;
  const float* const* outside;
  const float* nothing;  // zeros
};

// Where each position of a tile reads, for a part of the filters, from `channel` on.
template <int PU, int PV>
inline void find_sources(const TileRun& run, int64_t index, const WinogradPart& part, int64_t channel,
                         const float* (&source)[PV][PU]) {
  const Gather& g = *run.gather;
  const auto& form = run.plan->form;
  const WinogradTile tile(g, *run.plan, index);
  const ClassView& plain = g.region->axis[form.plain];
  int64_t u[PU], v[PV];
  find_positions(g, form.u, tile.u, part.u, u);
  find_positions(g, form.v, tile.v, part.v, v);
  const int64_t plane = g.lookup[form.plain][plain.base[tile.plain] + plain.shift[part.tap]];
  const float* base = run.source + tile.n * g.source_strides.batch + channel;
  int64_t least = plane;
  for (int i = 0; i < PU; ++i) least = std::min(least, u[i]);
  for (int j = 0; j < PV; ++j) least = std::min(least, v[j]);
  if (least >= 0) {
    for (int j = 0; j < PV; ++j)
      for (int i = 0; i < PU; ++i) source[j][i] = base + plane + v[j] + u[i];
    return;
  }
  for (int j = 0; j < PV; ++j)
    for (int i = 0; i < PU; ++i) {
      int64_t offset[3];
      offset[form.plain] = plane, offset[form.u.axis] = u[i], offset[form.v.axis] = v[j];
      source[j][i] = u[i] == kNothing || v[j] == kNothing ? run.nothing
                     : offset[2] < 0                      ? run.outside[2]
                     : offset[1] < 0                      ? run.outside[1]
                     : offset[0] < 0                      ? run.outside[0]
                                                          : base + offset[0] + offset[1] + offset[2];
    }
}

// B' x B of each tile, for a part of the filters and `channels` channels: to[point * stride + tile * row + c].
template <int PU, int PV>
void transform_tiles(const TileRun& run, int64_t index, int64_t channel, int64_t channels, float* to, int64_t row,
                     int64_t stride) {
  const WinogradPart part(run.plan->form, index);
  const float* source[PV][PU];
  const float* next[PV][PU];
  find_sources(run, run.first, part, channel, next);
  for (int64_t t = 0; t < run.count; ++t, to += row) {
    std::memcpy(source, next, sizeof source);
    if (t + 1 < run.count) find_sources(run, run.first + t + 1, part, channel, next);
    for (int64_t c = 0; c < channels; c += kLanes) {
      Vec half[PU][PV];
      const int64_t left = channels - c;
#pragma GCC unroll 8
      for (int j = 0; j < PV; ++j) {
        Vec x[PU];
        if (left >= kLanes) {
#pragma GCC unroll 8
          for (int i = 0; i < PU; ++i) x[i] = load(source[j][i] + c);
        } else {
#pragma GCC unroll 8
          for (int i = 0; i < PU; ++i) x[i] = load_first(source[j][i] + c, left);
        }
        // A tile's pixels are too many lines for the processor to foresee the next tile's.
#pragma GCC unroll 8
        for (int i = 0; i < PU; ++i) __builtin_prefetch(next[j][i] + c);
        transform_sources(x);
#pragma GCC unroll 8
        for (int i = 0; i < PU; ++i) half[i][j] = x[i];
      }
#pragma GCC unroll 8
      for (int i = 0; i < PU; ++i) {
        transform_sources(half[i]);
        float* at = to + i * PV * stride + c;
        if (left >= kLanes) {
#pragma GCC unroll 8
          for (int j = 0; j < PV; ++j) store(at + j * stride, half[i][j]);
        } else {
#pragma GCC unroll 8
          for (int j = 0; j < PV; ++j) store_first(at + j * stride, half[i][j], left);
        }
      }
    }
  }
}

}  // namespace
