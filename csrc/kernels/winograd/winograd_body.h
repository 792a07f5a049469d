#pragma once

#include "kernels/winograd/product_body.h"
#include "kernels/winograd/tiles_body.h"
#include "kernels/layout/transpose_body.h"

namespace {

using convlayers::FilterStrides;
using convlayers::WinogradForm;
using convlayers::WinogradProblem;

// --- weights -----------------------------------------------------------------------------------------------------------

constexpr int64_t kFilterColumns = convlayers::kWinogradColumns;

// Where the taps along u and v lie in a filter, in the order in which the tiles read them, and in a copy of it, where taps
// side by side (`dense`) keep their order.
template <int RU, int RV>
struct FilterTaps {
  int64_t offset[RU * RV], place[RU * RV];
  bool dense;
  FilterTaps(const Gather& g, const WinogradForm& form, const FilterStrides& strides) {
    const ClassView &u = g.region->axis[form.u], &v = g.region->axis[form.v];
    const bool flip_u = u.shift[RU - 1] < u.shift[0], flip_v = v.shift[RV - 1] < v.shift[0];
    int64_t last = 0;
    for (int64_t i = 0; i < RU; ++i)
      for (int64_t j = 0; j < RV; ++j) {
        int64_t& at = offset[i * RV + j];
        at = (flip_u ? RU - 1 - i : i) * strides.axis[form.u] + (flip_v ? RV - 1 - j : j) * strides.axis[form.v];
        last = std::max(last, at);
      }
    dense = last == RU * RV - 1;
    for (int64_t t = 0; t < RU * RV; ++t) place[t] = dense ? offset[t] : t;
  }
};

// G w G' of a block of output channels, for a tap of the plain axis and some source channels from `first` on:
// to[point * stride + column * width of the block + row].
template <int MU, int RU, int MV, int RV>
void transform_filters(const WinogradProblem& p, int64_t block, int64_t tap, int64_t first, float* to, int64_t stride) {
  constexpr int PU = MU + RU - 1, PV = MV + RV - 1, kTaps = RU * RV;
  const WinogradForm& form = p.plan->form;
  const FilterTaps<RU, RV> taps(*p.gather, form, p.strides);
  const auto& [offset, place, dense] = taps;
  const int64_t some = std::min(kFilterColumns, p.sizes.columns - first);
  const int64_t count = std::min(kBlock, p.sizes.rows - block * kBlock), whole = rounded(count);
  const float* from =
      p.filter + block * kBlock * p.strides.row + first * p.strides.column + tap * p.strides.axis[form.plain];
  alignas(64) float filter[kFilterColumns * kTaps * kLanes];  // [column][tap][row]
  for (int64_t v = 0; v < count; v += kLanes) {
    const int64_t rows = std::min<int64_t>(kLanes, count - v);
    const float* at = from + v * p.strides.row;
    if (rows < kLanes) std::memset(filter, 0, sizeof filter);
    if (p.strides.row == 1) {
      for (int64_t c = 0; c < some; ++c)
        for (int64_t t = 0; t < kTaps; ++t)
          store(filter + (c * kTaps + place[t]) * kLanes, load_first(at + c * p.strides.column + offset[t], rows));
    } else if (dense && p.strides.column == kTaps) {
      transpose_rows(at, p.strides.row, rows, some * kTaps, filter, kLanes);
    } else if (dense) {
      for (int64_t c = 0; c < some; ++c)
        transpose_rows(at + c * p.strides.column, p.strides.row, rows, kTaps, filter + c * kTaps * kLanes, kLanes);
    } else {
      const int64_t run = p.strides.column == 1 ? some : 1;
      for (int64_t t = 0; t < kTaps; ++t)
        for (int64_t c = 0; c < some; c += run)
          transpose_rows(at + c * p.strides.column + offset[t], p.strides.row, rows, run,
                         filter + (c * kTaps + t) * kLanes, kTaps * kLanes);
    }
    for (int64_t c = 0; c < some; ++c) {
      Vec half[PU][RV];
#pragma GCC unroll 8
      for (int j = 0; j < RV; ++j) {
        Vec w[RU], u[PU];
#pragma GCC unroll 8
        for (int i = 0; i < RU; ++i) w[i] = load(filter + (c * kTaps + place[i * RV + j]) * kLanes);
        transform_taps(w, u);
#pragma GCC unroll 8
        for (int i = 0; i < PU; ++i) half[i][j] = u[i];
      }
#pragma GCC unroll 8
      for (int i = 0; i < PU; ++i) {
        Vec u[PV];
        transform_taps(half[i], u);
#pragma GCC unroll 8
        for (int j = 0; j < PV; ++j) store(to + (i * PV + j) * stride + c * whole + v, u[j]);
      }
    }
  }
}

// --- outputs -----------------------------------------------------------------------------------------------------------

// Where a tile's outputs, or their gradients, lie, and how many there are along u and v.
template <class Float, int MU, int MV>
struct TileOutputs {
  Float* at[MU][MV];
  int64_t rows, columns;
  TileOutputs(const Gather& g, const WinogradPlan& plan, int64_t index, Float* base) {
    const WinogradTile tile(g, plan, index);
    const ClassView &u = g.region->axis[plan.form.u], &v = g.region->axis[plan.form.v];
    rows = std::min<int64_t>(MU, u.outputs - tile.u);
    columns = std::min<int64_t>(MV, v.outputs - tile.v);
    base += tile.n * g.output_strides.batch + g.region->axis[plan.form.plain].output[tile.plain];
    for (int64_t i = 0; i < MU; ++i)
      for (int64_t j = 0; j < MV; ++j)
        at[i][j] = base + u.output[tile.u + std::min(i, rows - 1)] + v.output[tile.v + std::min(j, columns - 1)];
  }
};

// A' m A of each tile, for `width` output channels from `channel` on, of products from[point * stride + tile * row + c].
template <int PU, int MU, int PV, int MV>
void transform_outputs(const WinogradProblem& p, int64_t first, int64_t count, const float* from, int64_t row, int64_t stride,
                       int64_t channel, int64_t width) {
  const bool active = p.activation.code != ActivationCode::kIdentity;
  TileOutputs<float, MU, MV> next(*p.gather, *p.plan, first, p.output + channel);
  for (int64_t t = 0; t < count; ++t, from += row) {
    const TileOutputs<float, MU, MV> output = next;
    if (t + 1 < count) next = TileOutputs<float, MU, MV>(*p.gather, *p.plan, first + t + 1, p.output + channel);
    for (int64_t c = 0; c < width; c += kLanes) {
      const int64_t left = width - c;
      const Vec bias = p.bias ? load_first(p.bias + channel + c, left) : Vec{};
      Vec half[MU][PV];
#pragma GCC unroll 8
      for (int j = 0; j < PV; ++j) {
        Vec m[PU], y[MU];
#pragma GCC unroll 8
        for (int i = 0; i < PU; ++i) m[i] = load(from + (i * PV + j) * stride + c);
        transform_products(m, y);
#pragma GCC unroll 8
        for (int i = 0; i < MU; ++i) half[i][j] = y[i];
      }
#pragma GCC unroll 8
      for (int64_t i = 0; i < MU; ++i) {
        if (i >= output.rows) break;
        Vec y[MV];
        transform_products(half[i], y);
#pragma GCC unroll 8
        for (int j = 0; j < MV; ++j) __builtin_prefetch(next.at[i][j] + c, 1);
#pragma GCC unroll 8
        for (int j = 0; j < MV; ++j) y[j] += bias;
        if (active)
          for (int j = 0; j < MV; ++j) y[j] = activate(y[j], p.activation);
#pragma GCC unroll 8
        for (int64_t j = 0; j < MV; ++j)
          if (j < output.columns) store_first(output.at[i][j] + c, y[j], left);
      }
    }
  }
}

// --- the kernels -------------------------------------------------------------------------------------------------------

struct WinogradTransforms {
  void (*filters)(const WinogradProblem&, int64_t block, int64_t tap, int64_t first, float* to, int64_t stride);
  void (*sources)(const TileRun&, int64_t tap, int64_t channel, int64_t channels, float* to, int64_t row, int64_t stride);
  void (*outputs)(const WinogradProblem&, int64_t first, int64_t count, const float* from, int64_t row, int64_t stride,
                  int64_t channel, int64_t width);
};
template <int MU, int RU, int MV, int RV>
constexpr WinogradTransforms kWinogradTransforms = {
    transform_filters<MU, RU, MV, RV>, transform_tiles<MU + RU - 1, MV + RV - 1>,
    transform_outputs<MU + RU - 1, MU, MV + RV - 1, MV>};
inline const WinogradTransforms& winograd_transforms(const WinogradForm& form) {
  if (form.taps_u == 3) return kWinogradTransforms<4, 3, 4, 3>;
  if (form.taps_u == 5) return kWinogradTransforms<2, 5, 2, 5>;
  return form.taps_v == 3   ? kWinogradTransforms<1, 1, 4, 3>
         : form.taps_v == 5 ? kWinogradTransforms<1, 1, 4, 5>
                            : kWinogradTransforms<1, 1, 2, 7>;
}

// Zeros for what a tile does not have.
class Zeros {
 public:
  explicit Zeros(int64_t count) : data_(rounded(count)) { std::fill(data_.get(), data_.get() + rounded(count), 0.f); }
  const float* get() const { return data_.get(); }

 private:
  Scratch<float> data_;
};

// Tasks: some columns of a block of output channels.
inline int64_t filter_strips(const WinogradProblem& p) { return (p.sizes.columns + kFilterColumns - 1) / kFilterColumns; }
inline int64_t plain_taps(const WinogradProblem& p) { return p.gather->region->axis[p.plan->form.plain].taps; }
int64_t winograd_filter_tasks(const WinogradProblem& p) { return p.plan->blocks * plain_taps(p) * filter_strips(p); }
void winograd_filters(const WinogradProblem& p, int64_t begin, int64_t end) {
  const auto transform = winograd_transforms(p.plan->form).filters;
  const int64_t strips = filter_strips(p), taps = plain_taps(p);
  for (int64_t task = begin; task < end; ++task) {
    const int64_t block = task / strips / taps, tap = task / strips % taps, column = task % strips * kFilterColumns;
    const int64_t whole = rounded(std::min(kBlock, p.output_channels - block * kBlock));
    transform(p, block, tap, column,
              p.filters + block * p.plan->filter_block + (tap * p.sizes.columns + column) * whole, p.plan->filter_point);
  }
}

// The transforms of `count` tiles from `first` on.
inline void transform_range(const WinogradProblem& p, int64_t first, int64_t count, const float* zeros, float* to) {
  const TileRun run{p.gather, p.plan, first, count, p.source, p.outside, zeros};
  for (int64_t tap = 0; tap < plain_taps(p); ++tap)
    winograd_transforms(p.plan->form).sources(run, tap, 0, p.source_channels, to + tap * p.source_channels,
                                              p.plan->source_row, p.plan->source_point);
}

// Tasks: a few tiles of the chunk.
constexpr int64_t kSourceTiles = 8;
int64_t winograd_source_tasks(const WinogradProblem& p) { return (p.tiles + kSourceTiles - 1) / kSourceTiles; }
void winograd_sources(const WinogradProblem& p, int64_t begin, int64_t end) {
  const Zeros zeros(p.source_channels);
  const int64_t first = begin * kSourceTiles, last = std::min(p.tiles, end * kSourceTiles);
  transform_range(p, p.first + first, last - first, zeros.get(), p.sources + first * p.plan->source_row);
}

// Tasks: ranges of the chunk's tiles by blocks of output channels. A thread that runs the blocks of one range in turn
// transforms its sources once; one that runs the ranges of one block in turn finds its weights near.
inline int64_t winograd_ranges(const WinogradProblem& p) { return (p.tiles + p.plan->range - 1) / p.plan->range; }
int64_t winograd_tasks(const WinogradProblem& p) { return p.plan->blocks * winograd_ranges(p); }

void winograd(const WinogradProblem& p, int64_t begin, int64_t end) {
  const WinogradPlan& plan = *p.plan;
  const auto& transforms = winograd_transforms(plan.form);
  const int64_t points = plan.form.points(), ranges = winograd_ranges(p);
  const int64_t product_point = plan.range * plan.width + kLanes, slice_point = plan.slice * plan.width + kLanes;
  const Scratch<float> own(plan.shared ? 0 : points * plan.source_point), products(points * product_point);
  const Scratch<float> slice(points * slice_point);
  const Zeros zeros(p.source_channels);
  int64_t transformed = -1;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t block = plan.shared ? task / ranges : task % plan.blocks;
    const int64_t range = plan.shared ? task % ranges : task / plan.blocks;
    const int64_t first = p.tiles * range / ranges, count = p.tiles * (range + 1) / ranges - first;
    if (!plan.shared && range != transformed) transform_range(p, p.first + first, count, zeros.get(), own.get());
    transformed = range;
    const float* sources = plan.shared ? p.sources + first * plan.source_row : own.get();
    const int64_t width = std::min(kBlock, p.output_channels - block * kBlock), whole = rounded(width);
    // Products over `depth` entries from `from` on.
    const auto multiply = [&](const float* filters, int64_t filter_point, int64_t from, int64_t depth) {
      for (int64_t point = 0; point < points; ++point)
        for_rows(count, whole / kLanes, [&](int64_t row, int64_t rows) {
          kProduct.product[whole / kLanes - 1][rows - 1](
              {sources + point * plan.source_point + row * plan.source_row + from, filters + point * filter_point,
               plan.source_row, depth, from > 0, products.get() + point * product_point + row * whole});
        });
    };
    if (plan.slice == 0) {
      multiply(p.filters + block * plan.filter_block, plan.filter_point, 0, plan.depth);
    } else {
      for (int64_t tap = 0; tap < plain_taps(p); ++tap)
        for (int64_t c = 0; c < p.source_channels; c += plan.slice) {
          const int64_t depth = std::min(plan.slice, p.source_channels - c);
          for (int64_t i = 0; i < depth; i += kFilterColumns)
            transforms.filters(p, block, tap, c + i, slice.get() + i * whole, slice_point);
          multiply(slice.get(), slice_point, tap * p.source_channels + c, depth);
        }
    }
    transforms.outputs(p, p.first + first, count, products.get(), whole, product_point, block * kBlock, width);
  }
}

}  // namespace
