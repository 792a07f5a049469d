// Between the layouts that tensors have and those that kernels read.
#pragma once

#include <cstdint>

namespace convlayers {

// from[row][column] -> to[column][row], both dense: a picture of channels to channels last, and back. In parts, so that threads
// can share it.
struct Transpose {
  const float* from;
  float* to;
  int64_t batch, rows, columns;
};
int64_t transpose_parts(const Transpose& t);
void transpose(const Transpose& t, int64_t index);

// A filter bank as the gather at hand sees it: strides in floats, `row` over the gather's output channels of a group,
// `column` over its source channels of a group.
struct FilterStrides {
  int64_t group, row, column, axis[3];
  FilterStrides turned() const { return {group, column, row, {axis[0], axis[1], axis[2]}}; }
};
struct FilterSizes {
  int64_t groups, rows, columns, kernel[3];
  int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
  FilterSizes turned() const { return {groups, columns, rows, {kernel[0], kernel[1], kernel[2]}}; }
};

// A filter bank, packed for the direct kernel (see direct.h).
struct Pack {
  const float* weight;
  FilterStrides strides;
  FilterSizes sizes;
  float* packed;
};

// The segments of a gradient, added in their order, as a filter bank.
struct Unpack {
  const float* segments;  // [segment][group][tap][column][row, rounded up to whole vectors]
  int64_t count;
  FilterSizes sizes;
  FilterStrides strides;
  float* weight;
};

// The same for the depthwise kernels (see depthwise.h): packed is [vector][tap][column][lane], segments [segment] of that;
// one part a vector.
int64_t vector_floats(const FilterSizes& sizes, int64_t lanes);
int64_t vector_parts(const FilterSizes& sizes, int64_t lanes);
void pack_vector(const Pack& p, int64_t lanes, int64_t index);
void unpack_vector(const Unpack& u, int64_t lanes, int64_t index);

}  // namespace convlayers
