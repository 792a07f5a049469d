#include "kernels/layout/layout.h"

#include <algorithm>

#include "kernels/depthwise/vectors.h"

namespace convlayers {
namespace {

constexpr int64_t kColumns = 16;  // of a filter bank: the floats of a cache line
constexpr int64_t kTile = 32;  // rows and columns of a block whose two sides stay in the first-level cache

int64_t parts(int64_t size, int64_t part) { return (size + part - 1) / part; }

int64_t tap_offset(const FilterSizes& sizes, const FilterStrides& strides, int64_t tap) {
  const int64_t w = tap % sizes.kernel[2], h = tap / sizes.kernel[2] % sizes.kernel[1],
                d = tap / sizes.kernel[2] / sizes.kernel[1];
  return d * strides.axis[0] + h * strides.axis[1] + w * strides.axis[2];
}

// Four rows of four, by two rounds of interleaving; 128 bits are what every processor has.
typedef float Four __attribute__((vector_size(16)));
typedef float UnalignedFour __attribute__((vector_size(16), aligned(4), may_alias));

void transpose_four(const float* from, int64_t from_stride, float* to, int64_t to_stride) {
  Four row[4];
  for (int i = 0; i < 4; ++i) row[i] = *reinterpret_cast<const UnalignedFour*>(from + i * from_stride);
  const Four a = __builtin_shufflevector(row[0], row[2], 0, 4, 1, 5);
  const Four b = __builtin_shufflevector(row[1], row[3], 0, 4, 1, 5);
  const Four c = __builtin_shufflevector(row[0], row[2], 2, 6, 3, 7);
  const Four d = __builtin_shufflevector(row[1], row[3], 2, 6, 3, 7);
  const Four column[4] = {__builtin_shufflevector(a, b, 0, 4, 1, 5), __builtin_shufflevector(a, b, 2, 6, 3, 7),
                          __builtin_shufflevector(c, d, 0, 4, 1, 5), __builtin_shufflevector(c, d, 2, 6, 3, 7)};
  for (int i = 0; i < 4; ++i) *reinterpret_cast<UnalignedFour*>(to + i * to_stride) = column[i];
}

// A strip: some columns and so many taps of each that they stay in the first-level cache for a few rows.
struct Strip {
  static constexpr int64_t kStrip = 16 * 27;
  int64_t columns, taps, column_parts, tap_parts;
  explicit Strip(const FilterSizes& s) {
    taps = std::min(s.taps(), kStrip);
    tap_parts = parts(s.taps(), taps);
    columns = std::clamp<int64_t>(kStrip / taps, 1, kColumns);
    column_parts = parts(s.columns, columns);
  }
};

GroupVectors group_vectors(const FilterSizes& s, int64_t lanes) {
  return GroupVectors(s.groups, s.columns, s.rows, lanes);
}

// The lanes of a vector of groups: where each one's filter begins.
constexpr int64_t kMostLanes = 16;
struct LaneFilters {
  int64_t count, at[kMostLanes];
  LaneFilters(const GroupVectors& g, const FilterStrides& strides, int64_t vector) : count(g.width(vector)) {
    for (int64_t l = 0; l < count; ++l) {
      const int64_t row = g.row(vector) + l;
      at[l] = (g.group(vector) + row / g.out) * strides.group + row % g.out * strides.row;
    }
  }
};

// Calls f(offset in a filter, vector of the packed) for each tap and column.
template <class F>
void for_entries(const FilterSizes& sizes, const FilterStrides& strides, const F& f) {
  for (int64_t c = 0; c < sizes.columns; ++c)
    for (int64_t d = 0, t = 0; d < sizes.kernel[0]; ++d)
      for (int64_t h = 0; h < sizes.kernel[1]; ++h)
        for (int64_t w = 0; w < sizes.kernel[2]; ++w, ++t)
          f(c * strides.column + d * strides.axis[0] + h * strides.axis[1] + w * strides.axis[2], t * sizes.columns + c);
}

}  // namespace

int64_t transpose_parts(const Transpose& t) { return t.batch * parts(t.columns, kTile); }

void transpose(const Transpose& t, int64_t index) {
  const int64_t strips = parts(t.columns, kTile);
  const int64_t n = index / strips, first = index % strips * kTile, last = std::min(first + kTile, t.columns);
  const float* from = t.from + n * t.rows * t.columns;
  float* to = t.to + n * t.rows * t.columns;
  for (int64_t row = 0; row < t.rows; row += kTile) {
    const int64_t end = std::min(row + kTile, t.rows), whole = row + (end - row) / 4 * 4;
    int64_t c = first;
    for (; c + 4 <= last; c += 4) {
      for (int64_t r = row; r < whole; r += 4)
        transpose_four(from + r * t.columns + c, t.columns, to + c * t.rows + r, t.rows);
      for (int64_t i = c; i < c + 4; ++i)
        for (int64_t r = whole; r < end; ++r) to[i * t.rows + r] = from[r * t.columns + i];
    }
    for (; c < last; ++c)
      for (int64_t r = row; r < end; ++r) to[c * t.rows + r] = from[r * t.columns + c];
  }
}

int64_t pack_parts(const Pack& p) { return p.sizes.groups * parts(p.sizes.rows, p.block); }

void pack(const Pack& p, int64_t index) {
  const int64_t block_count = parts(p.sizes.rows, p.block), taps = p.sizes.taps();
  const int64_t group = index / block_count, first = index % block_count * p.block;
  const int64_t count = std::min(p.block, p.sizes.rows - first), width = parts(count, p.lanes) * p.lanes;
  const float* weight = p.weight + group * p.strides.group + first * p.strides.row;
  float* to = p.packed + (group * parts(p.sizes.rows, p.lanes) * p.lanes + first) * taps * p.sizes.columns;
  for (int64_t tap = 0; tap < taps; ++tap) {
    const float* at = weight + tap_offset(p.sizes, p.strides, tap);
    // A few columns of every row at a time: rows may lie so far apart that they share a set of the cache.
    for (int64_t column = 0; column < p.sizes.columns; column += kColumns) {
      const int64_t columns = std::min(kColumns, p.sizes.columns - column);
      int64_t row = 0;
      if (p.strides.row == 1)
        for (int64_t c = 0; c < columns; ++c) {
          const float* from = at + (column + c) * p.strides.column;
          std::copy(from, from + count, to + c * width);
          row = count;
        }
      else if (p.strides.column == 1 && columns == kColumns)
        for (; row + 4 <= count; row += 4)
          for (int64_t c = 0; c < kColumns; c += 4)
            transpose_four(at + row * p.strides.row + column + c, p.strides.row, to + c * width + row, width);
      for (; row < count; ++row)
        for (int64_t c = 0; c < columns; ++c)
          to[c * width + row] = at[row * p.strides.row + (column + c) * p.strides.column];
      for (int64_t c = 0; c < columns && count < width; ++c) std::fill(to + c * width + count, to + (c + 1) * width, 0.f);
      to += columns * width;
    }
  }
}

int64_t unpack_parts(const Unpack& u) {
  const Strip strip(u.sizes);
  return u.sizes.groups * strip.column_parts * strip.tap_parts;
}

void unpack(const Unpack& u, int64_t index) {
  const Strip strip(u.sizes);
  const int64_t group = index / (strip.column_parts * strip.tap_parts);
  const int64_t first = index / strip.tap_parts % strip.column_parts * strip.columns;
  const int64_t first_tap = index % strip.tap_parts * strip.taps;
  const int64_t all_taps = u.sizes.taps(), taps = std::min(strip.taps, all_taps - first_tap);
  const int64_t columns = std::min(strip.columns, u.sizes.columns - first);
  const int64_t width = parts(u.sizes.rows, u.lanes) * u.lanes;
  const int64_t segment = u.sizes.groups * all_taps * u.sizes.columns * width;
  float* weight = u.weight + group * u.strides.group + first * u.strides.column;
  // Entries of a row that lie side by side: the taps of all columns, those of one column, the columns of one tap.
  const bool dense = taps == all_taps && tap_offset(u.sizes, u.strides, taps - 1) == taps - 1;
  const int64_t run = !dense ? 1 : u.strides.column == taps ? columns * taps : taps;
  constexpr int64_t kSome = 16;
  float sums[Strip::kStrip * kSome];  // [column][tap][row]
  for (int64_t row = 0; row < u.sizes.rows; row += kSome) {
    const int64_t count = std::min(kSome, u.sizes.rows - row);
    for (int64_t t = 0; t < taps; ++t)
      for (int64_t c = 0; c < columns; ++c) {
        const float* from = u.segments + ((group * all_taps + first_tap + t) * u.sizes.columns + first + c) * width + row;
        float* sum = sums + (c * taps + t) * kSome;
        std::copy(from, from + count, sum);
        for (int64_t s = 1; s < u.count; ++s)
          for (int64_t r = 0; r < count; ++r) sum[r] += from[s * segment + r];
      }
    for (int64_t l = 0; l < columns * taps; l += run) {
      const int64_t c = l / taps, t = l % taps;
      const float* from = sums + l * kSome;
      float* to = weight + c * u.strides.column + tap_offset(u.sizes, u.strides, first_tap + t) + row * u.strides.row;
      int64_t r = 0;
      for (; r + 4 <= count; r += 4) {
        int64_t i = 0;
        for (; i + 4 <= run; i += 4) transpose_four(from + i * kSome + r, kSome, to + r * u.strides.row + i, u.strides.row);
        for (; i < run; ++i)
          for (int64_t k = r; k < r + 4; ++k) to[k * u.strides.row + i] = from[i * kSome + k];
      }
      for (; r < count; ++r)
        for (int64_t i = 0; i < run; ++i) to[r * u.strides.row + i] = from[i * kSome + r];
    }
  }
}

int64_t vector_parts(const FilterSizes& sizes, int64_t lanes) { return group_vectors(sizes, lanes).count(); }
int64_t vector_floats(const FilterSizes& sizes, int64_t lanes) {
  return sizes.taps() * sizes.columns * vector_parts(sizes, lanes) * lanes;
}

void pack_vector(const Pack& p, int64_t index) {
  const LaneFilters lane(group_vectors(p.sizes, p.lanes), p.strides, index);
  float* packed = p.packed + index * p.sizes.taps() * p.sizes.columns * p.lanes;
  for_entries(p.sizes, p.strides, [&](int64_t offset, int64_t vector) {
    float* to = packed + vector * p.lanes;
    for (int64_t l = 0; l < lane.count; ++l) to[l] = p.weight[lane.at[l] + offset];
    std::fill(to + lane.count, to + p.lanes, 0.f);
  });
}

void unpack_vector(const Unpack& u, int64_t index) {
  const LaneFilters lane(group_vectors(u.sizes, u.lanes), u.strides, index);
  const int64_t segment = vector_floats(u.sizes, u.lanes);
  const float* sums = u.segments + index * u.sizes.taps() * u.sizes.columns * u.lanes;
  for_entries(u.sizes, u.strides, [&](int64_t offset, int64_t vector) {
    float sum[kMostLanes];
    const float* from = sums + vector * u.lanes;
    std::copy(from, from + lane.count, sum);
    for (int64_t s = 1; s < u.count; ++s)
      for (int64_t l = 0; l < lane.count; ++l) sum[l] += from[s * segment + l];
    for (int64_t l = 0; l < lane.count; ++l) u.weight[lane.at[l] + offset] = sum[l];
  });
}

}  // namespace convlayers
