#include "kernels/layout/layout.h"

#include <algorithm>

namespace convlayers {
namespace {

constexpr int64_t kTile = 32;  // rows and columns of a block whose two sides stay in the first-level cache

int64_t parts(int64_t size, int64_t part) { return (size + part - 1) / part; }

int64_t tap_offset(const FilterSizes& sizes, const FilterStrides& strides, int64_t tap) {
  const int64_t w = tap % sizes.kernel[2], h = tap / sizes.kernel[2] % sizes.kernel[1],
                d = tap / sizes.kernel[2] / sizes.kernel[1];
  return d * strides.axis[0] + h * strides.axis[1] + w * strides.axis[2];
}

}  // namespace

int64_t transpose_parts(const Transpose& t) { return t.batch * parts(t.columns, kTile); }

void transpose(const Transpose& t, int64_t index) {
  const int64_t strips = parts(t.columns, kTile);
  const int64_t n = index / strips, first = index % strips * kTile, last = std::min(first + kTile, t.columns);
  const float* from = t.from + n * t.rows * t.columns;
  float* to = t.to + n * t.rows * t.columns;
  for (int64_t row = 0; row < t.rows; row += kTile) {
    const int64_t end = std::min(row + kTile, t.rows);
    for (int64_t c = first; c < last; ++c)
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
    for (int64_t column = 0; column < p.sizes.columns; ++column, to += width) {
      const float* from = at + column * p.strides.column;
      for (int64_t row = 0; row < count; ++row) to[row] = from[row * p.strides.row];
      std::fill(to + count, to + width, 0.f);
    }
  }
}

int64_t unpack_parts(const Unpack& u) { return u.sizes.groups * u.sizes.taps(); }

void unpack(const Unpack& u, int64_t index) {
  const int64_t group = index / u.sizes.taps(), tap = index % u.sizes.taps();
  const int64_t width = parts(u.sizes.rows, u.lanes) * u.lanes;
  const int64_t segment = u.sizes.groups * u.sizes.taps() * u.sizes.columns * width;
  float* weight = u.weight + group * u.strides.group + tap_offset(u.sizes, u.strides, tap);
  for (int64_t column = 0; column < u.sizes.columns; ++column)
    for (int64_t row = 0; row < u.sizes.rows; ++row) {
      const float* from = u.segments + (index * u.sizes.columns + column) * width + row;
      float sum = 0.f;
      for (int64_t s = 0; s < u.count; ++s) sum += from[s * segment];
      weight[column * u.strides.column + row * u.strides.row] = sum;
    }
}

}  // namespace convlayers
