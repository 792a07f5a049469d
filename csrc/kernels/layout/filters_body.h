// Filter banks, from the order that tensors have to that of the kernels, and gradients back: squares of a vector's rows by a
// vector's entries, transposed in registers.
#pragma once

#include <algorithm>

#include "kernels/direct/tile_body.h"
#include "kernels/layout/layout.h"
#include "kernels/layout/transpose_body.h"

namespace {

using convlayers::FilterSizes;
using convlayers::FilterStrides;
using convlayers::Pack;
using convlayers::Unpack;

inline int64_t tap_offset(const FilterSizes& sizes, const FilterStrides& strides, int64_t tap) {
  const int64_t w = tap % sizes.kernel[2], h = tap / sizes.kernel[2] % sizes.kernel[1],
                d = tap / sizes.kernel[2] / sizes.kernel[1];
  return d * strides.axis[0] + h * strides.axis[1] + w * strides.axis[2];
}

// Whether the taps lie side by side in their order.
inline bool has_dense_taps(const FilterSizes& sizes, const FilterStrides& strides) {
  int64_t stride = 1;
  for (int a = 2; a >= 0; --a) {
    if (sizes.kernel[a] > 1 && strides.axis[a] != stride) return false;
    stride *= sizes.kernel[a];
  }
  return true;
}

// The entries of a row, cut into runs that lie side by side, and these into squares' sides: unit u has `count` entries from
// `offset` on, entry i of it being the `index(i)`th of [tap][column].
class Units {
 public:
  Units(const FilterSizes& sizes, const FilterStrides& strides) : sizes_(sizes), strides_(strides) {
    const int64_t taps = sizes.taps();
    if (taps == 0) return;
    const bool dense = has_dense_taps(sizes, strides);
    if (dense && strides.column == taps) {
      order_ = kAll, runs_ = 1, run_ = sizes.columns * taps;
    } else if (strides.column == 1) {
      order_ = kColumns, runs_ = taps, run_ = sizes.columns;
    } else if (dense) {
      order_ = kTaps, runs_ = sizes.columns, run_ = taps;
    } else {
      order_ = kNone, runs_ = sizes.columns * taps, run_ = 1;
    }
    sides_ = (run_ + kLanes - 1) / kLanes;
  }
  int64_t count() const { return runs_ * sides_; }
  bool single() const { return run_ == 1; }  // unit u is entry u of [column][tap]

  struct Unit {
    int64_t offset, count, index[kLanes];
  };
  Unit operator[](int64_t unit) const {
    const int64_t taps = sizes_.taps(), run = unit / sides_, first = unit % sides_ * kLanes;
    Unit u{0, std::min<int64_t>(kLanes, run_ - first), {}};
    switch (order_) {
      case kAll:
        u.offset = first;
        for (int64_t i = 0, tap = first % taps, column = first / taps; i < u.count; ++i) {
          u.index[i] = tap * sizes_.columns + column;
          if (++tap == taps) tap = 0, ++column;
        }
        break;
      case kColumns:
        u.offset = tap_offset(sizes_, strides_, run) + first;
        for (int64_t i = 0; i < u.count; ++i) u.index[i] = run * sizes_.columns + first + i;
        break;
      case kTaps:
        u.offset = run * strides_.column + first;
        for (int64_t i = 0; i < u.count; ++i) u.index[i] = (first + i) * sizes_.columns + run;
        break;
      case kNone:
        u.offset = run / taps * strides_.column + tap_offset(sizes_, strides_, run % taps);
        u.index[0] = run % taps * sizes_.columns + run / taps;
        break;
    }
    return u;
  }

 private:
  FilterSizes sizes_;
  FilterStrides strides_;
  enum { kAll, kColumns, kTaps, kNone } order_ = kNone;
  int64_t runs_ = 0, run_ = 0, sides_ = 0;
};

// For shorter sides than this a float at a time takes less than a square.
constexpr int64_t kShort = 3;
// Units of a task.
constexpr int64_t kUnits = 64;
inline int64_t unit_parts(const Units& units) { return (units.count() + kUnits - 1) / kUnits; }

// Entries first ... last of [column][tap], one by one, of rows that lie side by side. Each is in a page of its own, where the
// processor does not look ahead.
inline void pack_entries(const Pack& p, const float* from, int64_t first, int64_t last, int64_t count, float* to) {
  constexpr int64_t kAhead = 16;
  const int64_t taps = p.sizes.taps(), width = rounded(count);
  int64_t column = first / taps, tap = first % taps;
  for (int64_t i = first; i < last; ++i) {
    const float* at = from + column * p.strides.column + (taps > 1 ? tap_offset(p.sizes, p.strides, tap) : 0);
    float* entry = to + (tap * p.sizes.columns + column) * width;
    if (taps == 1)
      for (int64_t row = 0; row < width; row += kFetch) __builtin_prefetch(at + kAhead * p.strides.column + row, 0, 2);
    for (int64_t row = 0; row < width; row += kLanes) store(entry + row, load_first(at + row, count - row));
    if (++tap == taps) tap = 0, ++column;
  }
}

// Tasks: a block of rows of a group, a part of its units.
int64_t pack_tasks(const Pack& p) { return p.sizes.groups * blocks(p.sizes.rows) * unit_parts({p.sizes, p.strides}); }

void pack(const Pack& p, int64_t begin, int64_t end) {
  const Units units(p.sizes, p.strides);
  const int64_t parts = unit_parts(units), block_count = blocks(p.sizes.rows), entries = p.sizes.columns * p.sizes.taps();
  for (int64_t task = begin; task < end; ++task) {
    const int64_t part = task % parts, group = task / parts / block_count, first = task / parts % block_count * kBlock;
    const int64_t count = std::min(kBlock, p.sizes.rows - first), width = rounded(count);
    const float* from = p.weight + group * p.strides.group + first * p.strides.row;
    float* to = p.packed + (group * rounded(p.sizes.rows) + first) * entries;
    const int64_t begin_unit = part * kUnits, last = std::min(begin_unit + kUnits, units.count());
    if (p.strides.row == 1 && units.single()) {
      pack_entries(p, from, begin_unit, last, count, to);
      continue;
    }
    for (int64_t u = begin_unit; u < last; ++u) {
      const Units::Unit unit = units[u];
      for (int64_t row = 0; row < width; row += kLanes) {
        const float* at = from + row * p.strides.row + unit.offset;
        const int64_t rows = std::min<int64_t>(kLanes, count - row);
        for (int64_t r = 0; r < rows; ++r) __builtin_prefetch(at + r * p.strides.row + 2 * kFetch, 0, 2);
        if (unit.count < kShort) {
          for (int64_t i = 0; i < unit.count; ++i) {
            float* lanes = to + unit.index[i] * width + row;
            for (int64_t r = 0; r < kLanes; ++r) lanes[r] = r < rows ? at[r * p.strides.row + i] : 0.f;
          }
        } else {
          Vec square[kLanes];
          load_columns(at, p.strides.row, rows, unit.count, square);
          for (int64_t i = 0; i < unit.count; ++i) store(to + unit.index[i] * width + row, square[i]);
        }
      }
    }
  }
}

// Tasks: a block of rows of a group, a part of its units.
int64_t unpack_tasks(const Unpack& p) { return p.sizes.groups * blocks(p.sizes.rows) * unit_parts({p.sizes, p.strides}); }

void unpack(const Unpack& p, int64_t begin, int64_t end) {
  const Units units(p.sizes, p.strides);
  const int64_t parts = unit_parts(units), block_count = blocks(p.sizes.rows), entries = p.sizes.columns * p.sizes.taps();
  const int64_t width = rounded(p.sizes.rows), segment = p.sizes.groups * entries * width;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t part = task % parts, group = task / parts / block_count, first = task / parts % block_count * kBlock;
    const int64_t count = std::min(kBlock, p.sizes.rows - first);
    const float* from = p.segments + group * entries * width + first;
    float* to = p.weight + group * p.strides.group + first * p.strides.row;
    for (int64_t u = part * kUnits, last = std::min(u + kUnits, units.count()); u < last; ++u) {
      const Units::Unit unit = units[u];
      for (int64_t row = 0; row < count; row += kLanes) {
        float* at = to + row * p.strides.row + unit.offset;
        const int64_t rows = std::min<int64_t>(kLanes, count - row);
        Vec square[kLanes] = {};
        for (int64_t i = 0; i < unit.count; ++i) {
          const float* sum = from + unit.index[i] * width + row;
          square[i] = load(sum);
          for (int64_t s = 1; s < p.count; ++s) square[i] += load(sum + s * segment);
        }
        if (p.strides.row == 1 && unit.count == 1) {
          store_first(at, square[0], rows);
        } else if (unit.count < kShort) {
          for (int64_t i = 0; i < unit.count; ++i)
            for (int64_t r = 0; r < rows; ++r) at[r * p.strides.row + i] = square[i][r];
        } else {
          transpose_round<1>(square);
          for (int64_t r = 0; r < rows; ++r) store_first(at + r * p.strides.row, square[r], unit.count);
        }
      }
    }
  }
}

}  // namespace
