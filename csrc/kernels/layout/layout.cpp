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

int64_t vector_parts(const FilterSizes& sizes, int64_t lanes) { return group_vectors(sizes, lanes).count(); }
int64_t vector_floats(const FilterSizes& sizes, int64_t lanes) {
  return sizes.taps() * sizes.columns * vector_parts(sizes, lanes) * lanes;
}

void pack_vector(const Pack& p, int64_t lanes, int64_t index) {
  const LaneFilters lane(group_vectors(p.sizes, lanes), p.strides, index);
  float* packed = p.packed + index * p.sizes.taps() * p.sizes.columns * lanes;
  for_entries(p.sizes, p.strides, [&](int64_t offset, int64_t vector) {
    float* to = packed + vector * lanes;
    for (int64_t l = 0; l < lane.count; ++l) to[l] = p.weight[lane.at[l] + offset];
    std::fill(to + lane.count, to + lanes, 0.f);
  });
}

void unpack_vector(const Unpack& u, int64_t lanes, int64_t index) {
  const LaneFilters lane(group_vectors(u.sizes, lanes), u.strides, index);
  const int64_t segment = vector_floats(u.sizes, lanes);
  const float* sums = u.segments + index * u.sizes.taps() * u.sizes.columns * lanes;
  for_entries(u.sizes, u.strides, [&](int64_t offset, int64_t vector) {
    float sum[kMostLanes];
    const float* from = sums + vector * lanes;
    std::copy(from, from + lane.count, sum);
    for (int64_t s = 1; s < u.count; ++s)
      for (int64_t l = 0; l < lane.count; ++l) sum[l] += from[s * segment + l];
    for (int64_t l = 0; l < lane.count; ++l) u.weight[lane.at[l] + offset] = sum[l];
  });
}

}  // namespace convlayers
