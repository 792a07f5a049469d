#include "kernels/layout/layout.h"

#include <algorithm>

#include "kernels/depthwise/vectors.h"

namespace convlayers {
namespace {

constexpr int64_t kTile = 32;  // rows and columns of a block whose two sides stay in the first-level cache

int64_t parts(int64_t size, int64_t part) { return (size + part - 1) / part; }

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

GroupVectors group_vectors(const FilterSizes& s, int64_t lanes) {
  return GroupVectors(s.groups, s.columns, s.rows, lanes);
}

// Calls f(where a filter lies, where its first tap is packed) for all filters of a vector's lanes.
template <class F>
void for_lanes(const FilterSizes& sizes, const FilterStrides& strides, int64_t lanes, int64_t vector, const F& f) {
  const GroupVectors g = group_vectors(sizes, lanes);
  for (int64_t l = 0; l < g.width(vector); ++l) {
    const int64_t row = g.row(vector) + l;
    const int64_t offset = (g.group(vector) + row / g.out) * strides.group + row % g.out * strides.row;
    for (int64_t c = 0; c < g.in; ++c) f(offset + c * strides.column, (vector * sizes.taps() * g.in + c) * lanes + l);
  }
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

int64_t vector_parts(const FilterSizes& sizes, int64_t lanes) { return group_vectors(sizes, lanes).count(); }
int64_t vector_floats(const FilterSizes& sizes, int64_t lanes) {
  return sizes.taps() * sizes.columns * vector_parts(sizes, lanes) * lanes;
}

void pack_vector(const Pack& p, int64_t lanes, int64_t index) {
  const int64_t taps = p.sizes.taps(), width = p.sizes.columns * lanes;
  std::fill(p.packed + index * taps * width, p.packed + (index + 1) * taps * width, 0.f);
  for_lanes(p.sizes, p.strides, lanes, index, [&](int64_t filter, int64_t packed) {
    for (int64_t t = 0; t < taps; ++t)
      p.packed[packed + t * width] = p.weight[filter + tap_offset(p.sizes, p.strides, t)];
  });
}

void unpack_vector(const Unpack& u, int64_t lanes, int64_t index) {
  const int64_t taps = u.sizes.taps(), width = u.sizes.columns * lanes, segment = vector_floats(u.sizes, lanes);
  for_lanes(u.sizes, u.strides, lanes, index, [&](int64_t filter, int64_t packed) {
    for (int64_t t = 0; t < taps; ++t) {
      const float* from = u.segments + packed + t * width;
      float sum = *from;
      for (int64_t s = 1; s < u.count; ++s) sum += from[s * segment];
      u.weight[filter + tap_offset(u.sizes, u.strides, t)] = sum;
    }
  });
}

}  // namespace convlayers
