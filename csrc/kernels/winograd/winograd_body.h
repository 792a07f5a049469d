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

// Where the taps along u and v of a part lie in a filter, in the order in which the tiles read them, and in a copy of it. The
// last taps of a short phase are not there.
constexpr int64_t kMissing = -1;
template <int RU, int RV>
struct FilterTaps {
  static constexpr int64_t kTaps = RU * RV;
  int64_t offset[kTaps], place[kTaps];
  int64_t first = 0, span;  // all between the first and the last; and how many a copy holds
  bool near;                // whether the copy is of all that lies between them

  // `most`: the longest span that is copied as it lies, unless it is of these taps alone.
  FilterTaps(const Gather& g, const WinogradForm& form, const FilterStrides& strides, const WinogradPart& part, int64_t most) {
    const ClassView &u = g.region->axis[form.u.axis], &v = g.region->axis[form.v.axis];
    int64_t last = 0;
    bool all = true;
    for (int64_t i = 0; i < RU; ++i)
      for (int64_t j = 0; j < RV; ++j) {
        const int64_t at_u = tap(u, part.u + i * form.u.phases), at_v = tap(v, part.v + j * form.v.phases);
        int64_t& at = offset[i * RV + j];
        if (at_u < 0 || at_v < 0) {
          at = kMissing, all = false;
          continue;
        }
        at = at_u * strides.axis[form.u.axis] + at_v * strides.axis[form.v.axis];
        if (i + j == 0) first = at;
        first = std::min(first, at), last = std::max(last, at);
      }
    span = last - first + 1;
    near = (all && span == kTaps) || (span <= most && span <= strides.column && strides.row != 1);
    for (int64_t t = 0; t < kTaps; ++t) place[t] = !near ? t : offset[t] == kMissing ? kMissing : offset[t] - first;
    if (!near) span = kTaps;
  }

 private:
  // The filter's index of a tap, counted in the order of the sources.
  static int64_t tap(const ClassView& a, int64_t index) {
    if (index >= a.taps) return kMissing;
    return a.tap[a.shift[a.taps - 1] < a.shift[0] ? a.taps - 1 - index : index];
  }
};

inline int64_t plain_offset(const Gather& g, const WinogradForm& form, const FilterStrides& strides, const WinogradPart& part) {
  return g.region->axis[form.plain].tap[part.tap] * strides.axis[form.plain];
}

// G w G' of a block of output channels, for a part of the filters and some source channels from `first` on:
// to[point * stride + column * width of the block + row].
template <int MU, int RU, int MV, int RV>
void transform_filters(const WinogradProblem& p, int64_t block, int64_t index, int64_t first, float* to, int64_t stride) {
  constexpr int PU = MU + RU - 1, PV = MV + RV - 1, kTaps = RU * RV;
  constexpr int64_t kSpan = 64;
  const WinogradForm& form = p.plan->form;
  const WinogradPart part(form, index);
  const FilterTaps<RU, RV> taps(*p.gather, form, p.strides, part, kSpan);
  const int64_t some = std::min(kFilterColumns, p.sizes.columns - first);
  const int64_t count = block_width(p.sizes.rows, block), whole = rounded(count);
  const int64_t span = taps.span, row = p.strides.row, column = p.strides.column;
  // Filters little longer than the span are copied in one run.
  const bool one_run = taps.near && column <= rounded(span);
  const int64_t pitch = one_run ? column : span;
  const float* from = p.filter + block * kBlock * row + first * column + plain_offset(*p.gather, form, p.strides, part);
  alignas(64) float filter[kFilterColumns * kSpan * kLanes];  // [column][place][row]
  for (int64_t v = 0; v < count; v += kLanes) {
    const int64_t rows = std::min<int64_t>(kLanes, count - v);
    const float* at = from + v * row;
    if (rows < kLanes) clear(filter, some * pitch * kLanes);
    if (one_run) {
      transpose_rows(at + taps.first, row, rows, (some - 1) * column + span, filter, kLanes);
    } else if (taps.near) {
      // The next columns', for all rows, which lie side by side where they are nearer than columns: each is in a page of its own,
      // where the processor does not look ahead.
      if (v == 0 && row < column)
        for (int64_t c = some; c < 2 * some; ++c)
          for (int64_t i = 0; i < count * row; i += kFetch) __builtin_prefetch(at + c * column + i, 0, 2);
      for (int64_t c = 0; c < some; ++c)
        transpose_rows(at + c * column + taps.first, row, rows, span, filter + c * span * kLanes, kLanes);
    } else {
      // Columns side by side are read together; not where rows, of which there is one then, are, too.
      const int64_t run = column == 1 && row != 1 ? some : 1;
      for (int64_t t = 0; t < kTaps; ++t)
        for (int64_t c = 0; c < some; c += run) {
          const float* tap = at + c * column + taps.offset[t];
          float* copy = filter + (c * kTaps + t) * kLanes;
          if (taps.offset[t] == kMissing)
            for (int64_t i = 0; i < run; ++i) store(copy + i * kTaps * kLanes, Vec{});
          else if (row == 1)
            store(copy, load_first(tap, rows));
          else
            transpose_rows(tap, row, rows, run, copy, kTaps * kLanes);
          // The next columns' lines here, too: a page each.
          if (column == 1 && taps.offset[t] != kMissing)
            for (int64_t r = 0; r < rows; ++r) __builtin_prefetch(tap + r * row + kFilterColumns, 0, 2);
        }
    }
    for (int64_t c = 0; c < some; ++c) {
      Vec half[PU][RV];
#pragma GCC unroll 8
      for (int j = 0; j < RV; ++j) {
        Vec w[RU], u[PU];
#pragma GCC unroll 8
        for (int i = 0; i < RU; ++i) {
          const int64_t place = taps.place[i * RV + j];
          w[i] = place == kMissing ? Vec{} : load(filter + (c * pitch + place) * kLanes);
        }
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
    const auto& [plain, form_u, form_v] = plan.form;
    const ClassView &u = g.region->axis[form_u.axis], &v = g.region->axis[form_v.axis];
    rows = form_u.present(u.outputs, tile.u);
    columns = form_v.present(v.outputs, tile.v);
    base += tile.n * g.output_strides.batch + g.region->axis[plain].output[tile.plain];
    for (int64_t i = 0; i < MU; ++i)
      for (int64_t j = 0; j < MV; ++j)
        at[i][j] = base + u.output[tile.u + std::min(i, rows - 1) * form_u.every] +
                   v.output[tile.v + std::min(j, columns - 1) * form_v.every];
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

// F(m, r) along both axes, for compilers.
template <int MU, int RU, int MV, int RV>
struct StaticForm {
  static constexpr int kMU = MU, kRU = RU, kMV = MV, kRV = RV;
};
template <class F>
inline auto& with_form(const WinogradForm& form, const F& f) {
  switch (form.u.taps * 10 + form.v.taps) {
    case 12: return f(StaticForm<1, 1, 5, 2>{});
    case 13: return f(StaticForm<1, 1, 4, 3>{});
    case 14: return f(StaticForm<1, 1, 3, 4>{});
    case 15: return f(StaticForm<1, 1, 4, 5>{});
    case 17: return f(StaticForm<1, 1, 2, 7>{});
    case 22: return f(StaticForm<5, 2, 5, 2>{});
    case 23: return f(StaticForm<5, 2, 4, 3>{});
    case 24: return f(StaticForm<5, 2, 3, 4>{});
    case 25: return f(StaticForm<5, 2, 2, 5>{});
    case 33: return f(StaticForm<4, 3, 4, 3>{});
    case 34: return f(StaticForm<4, 3, 3, 4>{});
    case 35: return f(StaticForm<4, 3, 2, 5>{});
    case 44: return f(StaticForm<3, 4, 3, 4>{});
    case 45: return f(StaticForm<3, 4, 2, 5>{});
    default: return f(StaticForm<2, 5, 2, 5>{});
  }
}

struct WinogradTransforms {
  void (*filters)(const WinogradProblem&, int64_t block, int64_t part, int64_t first, float* to, int64_t stride);
  void (*sources)(const TileRun&, int64_t part, int64_t channel, int64_t channels, float* to, int64_t row, int64_t stride);
  void (*outputs)(const WinogradProblem&, int64_t first, int64_t count, const float* from, int64_t row, int64_t stride,
                  int64_t channel, int64_t width);
};
template <int MU, int RU, int MV, int RV>
constexpr WinogradTransforms kWinogradTransforms = {
    transform_filters<MU, RU, MV, RV>, transform_tiles<MU + RU - 1, MV + RV - 1>,
    transform_outputs<MU + RU - 1, MU, MV + RV - 1, MV>};
inline const WinogradTransforms& winograd_transforms(const WinogradForm& form) {
  return with_form(form, [](auto f) -> auto& { return kWinogradTransforms<f.kMU, f.kRU, f.kMV, f.kRV>; });
}

// Zeros for what a tile does not have.
class Zeros {
 public:
  explicit Zeros(int64_t count) : data_(rounded(count)) { std::fill(data_.get(), data_.get() + rounded(count), 0.f); }
  const float* get() const { return data_.get(); }

 private:
  Scratch<float> data_;
};

// Tasks: some columns of a block of output channels of a group.
inline int64_t filter_strips(const WinogradProblem& p) { return (p.sizes.columns + kFilterColumns - 1) / kFilterColumns; }
int64_t winograd_filter_tasks(const WinogradProblem& p) {
  return p.groups * p.plan->blocks * p.plan->parts * filter_strips(p);
}
void winograd_filters(const WinogradProblem& p, int64_t begin, int64_t end) {
  const auto transform = winograd_transforms(p.plan->form).filters;
  const int64_t strips = filter_strips(p), parts = p.plan->parts, blocks = p.plan->blocks;
  for (int64_t task = begin; task < end; ++task) {
    const WinogradProblem group = p.of_group(task / strips / parts / blocks);
    const int64_t block = task / strips / parts % blocks, part = task / strips % parts, column = task % strips * kFilterColumns;
    const int64_t whole = rounded(block_width(p.output_channels, block));
    transform(group, block, part, column,
              group.filters + block * p.plan->filter_block + (part * p.sizes.columns + column) * whole, p.plan->filter_point);
  }
}

// The transforms of `count` tiles from `first` on.
inline void transform_range(const WinogradProblem& p, int64_t first, int64_t count, const float* zeros, float* to) {
  const TileRun run{p.gather, p.plan, first, count, p.source, p.outside, zeros};
  for (int64_t part = 0; part < p.plan->parts; ++part)
    winograd_transforms(p.plan->form).sources(run, part, 0, p.source_channels, to + part * p.source_channels,
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

// Tasks: groups by ranges of the chunk's tiles by bundles. A thread that runs the bundles of one range in turn transforms its
// sources once; one that runs the ranges of one bundle in turn finds its weights near.
inline int64_t winograd_ranges(const WinogradProblem& p) { return (p.tiles + p.plan->range - 1) / p.plan->range; }
int64_t winograd_tasks(const WinogradProblem& p) { return p.groups * p.plan->multiplied_bundles() * winograd_ranges(p); }

void winograd(const WinogradProblem& p, int64_t begin, int64_t end) {
  const WinogradPlan& plan = *p.plan;
  const auto& transforms = winograd_transforms(plan.form);
  const int64_t points = plan.form.points(), ranges = winograd_ranges(p), bundles = plan.multiplied_bundles();
  const int64_t product_point = plan.range * plan.width + kLanes, block_products = points * product_point;
  const int64_t slice_point = plan.slice * plan.width + kLanes;
  const Scratch<float> own(plan.shared ? 0 : points * plan.source_point), slice(points * slice_point);
  const Scratch<float> products((plan.blocks + bundles - 1) / bundles * block_products);
  const Zeros zeros(p.source_channels);
  int64_t transformed = -1;
  for (int64_t task = begin; task < end; ++task) {
    const WinogradProblem group = p.of_group(task / (bundles * ranges));
    const int64_t bundle = plan.shared ? task / ranges % bundles : task % bundles;
    const int64_t range = plan.shared ? task % ranges : task / bundles % ranges;
    const int64_t first_block = plan.blocks * bundle / bundles, last_block = plan.blocks * (bundle + 1) / bundles;
    const int64_t first = p.tiles * range / ranges, count = p.tiles * (range + 1) / ranges - first;
    if (!plan.shared && task / bundles != transformed) transform_range(group, p.first + first, count, zeros.get(), own.get());
    transformed = task / bundles;
    const float* sources = plan.shared ? p.sources + first * plan.source_row : own.get();
    // Products over `depth` entries from `from` on, added to those before. A point's sources serve all blocks; the weights that
    // come next are fetched meanwhile.
    const auto multiply = [&](const float* filters, int64_t filter_point, int64_t from, int64_t depth, bool add) {
      for (int64_t point = 0; point < points; ++point)
        for (int64_t block = first_block; block < last_block; ++block) {
          const int64_t whole = rounded(block_width(p.output_channels, block));
          const float* weight = filters + (block - first_block) * plan.filter_block + point * filter_point;
          const float* next = block + 1 < last_block ? weight + plan.filter_block : filters + (point + 1) % points * filter_point;
          float* to = products.get() + (block - first_block) * block_products + point * product_point;
          int64_t pass = 0;
          for_rows(count, whole / kLanes, [&](int64_t row, int64_t rows) {
            kProduct.product[whole / kLanes - 1][rows - 1](
                {sources + point * plan.source_point + row * plan.source_row + from, weight, plan.source_row, depth, add,
                 to + row * whole, next + pass++ % kFetchParts * (depth / kFetchParts) * whole});
          });
        }
    };
    if (plan.slice == 0) {
      multiply(group.filters + first_block * plan.filter_block, plan.filter_point, 0, plan.depth, false);
    } else {
      // A filter's parts one after the other: they may share its lines of the cache.
      const int64_t whole = rounded(block_width(p.output_channels, first_block));
      for (int64_t c = 0; c < p.source_channels; c += plan.slice)
        for (int64_t part = 0; part < plan.parts; ++part) {
          const int64_t depth = std::min(plan.slice, p.source_channels - c);
          for (int64_t i = 0; i < depth; i += kFilterColumns)
            transforms.filters(group, first_block, part, c + i, slice.get() + i * whole, slice_point);
          multiply(slice.get(), slice_point, part * p.source_channels + c, depth, c + part > 0);
        }
    }
    for (int64_t block = first_block; block < last_block; ++block) {
      const int64_t width = block_width(p.output_channels, block);
      transforms.outputs(group, p.first + first, count, products.get() + (block - first_block) * block_products, rounded(width),
                         product_point, block * kBlock, width);
    }
  }
}

}  // namespace
