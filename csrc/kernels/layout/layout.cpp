#include "kernels/layout/layout.h"

#include <algorithm>

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

int64_t unpack_parts(const Unpack& u) { return u.sizes.groups * u.sizes.taps() * parts(u.sizes.columns, kColumns); }

void unpack(const Unpack& u, int64_t index) {
  const int64_t strips = parts(u.sizes.columns, kColumns), place = index / strips, first = index % strips * kColumns;
  const int64_t group = place / u.sizes.taps(), tap = place % u.sizes.taps();
  const int64_t width = parts(u.sizes.rows, u.lanes) * u.lanes, columns = std::min(kColumns, u.sizes.columns - first);
  const int64_t segment = u.sizes.groups * u.sizes.taps() * u.sizes.columns * width;
  float* weight = u.weight + group * u.strides.group + tap_offset(u.sizes, u.strides, tap) + first * u.strides.column;
  constexpr int64_t kSome = 64;
  float sums[kColumns][kSome];
  for (int64_t row = 0; row < u.sizes.rows; row += kSome) {
    const int64_t count = std::min(kSome, u.sizes.rows - row);
    for (int64_t c = 0; c < columns; ++c) {
      const float* from = u.segments + (place * u.sizes.columns + first + c) * width + row;
      std::copy(from, from + count, sums[c]);
      for (int64_t s = 1; s < u.count; ++s)
        for (int64_t r = 0; r < count; ++r) sums[c][r] += from[s * segment + r];
    }
    int64_t r = 0;
    if (u.strides.column == 1 && columns == kColumns)
      for (; r + 4 <= count; r += 4)
        for (int64_t c = 0; c < kColumns; c += 4)
          transpose_four(&sums[c][r], kSome, weight + (row + r) * u.strides.row + c, u.strides.row);
    for (; r < count; ++r)
      for (int64_t c = 0; c < columns; ++c) weight[(row + r) * u.strides.row + c * u.strides.column] = sums[c][r];
  }
}

}  // namespace convlayers
