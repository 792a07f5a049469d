// Between the layouts that tensors have and those that kernels read. Each function does one part of the work, `index` of
// the count beside it, so that threads can share it.
#pragma once

#include <cstdint>

namespace convlayers {

// from[row][column] -> to[column][row], both dense: a picture of channels to channels last, and back.
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
};
struct FilterSizes {
  int64_t groups, rows, columns, kernel[3];
  int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
};

// Packs for the direct kernel (see direct.h); one part a group and block of rows.
struct Pack {
  const float* weight;
  FilterStrides strides;
  FilterSizes sizes;
  int64_t lanes, block;
  float* packed;
};
int64_t pack_parts(const Pack& p);
void pack(const Pack& p, int64_t index);

// Sums the segments of a gradient, in their order, into a filter bank; one part a group, some columns and some taps.
struct Unpack {
  const float* segments;  // [segment][group][tap][column][row, rounded up to `lanes`]
  int64_t count, lanes;
  FilterSizes sizes;
  FilterStrides strides;
  float* weight;
};
int64_t unpack_parts(const Unpack& u);
void unpack(const Unpack& u, int64_t index);

// The same for the depthwise kernels (see depthwise.h): packed is [vector][tap][column][lane], segments [segment] of that;
// one part a vector.
int64_t vector_floats(const FilterSizes& sizes, int64_t lanes);
int64_t vector_parts(const FilterSizes& sizes, int64_t lanes);
void pack_vector(const Pack& p, int64_t index);
void unpack_vector(const Unpack& u, int64_t index);

}  // namespace convlayers
