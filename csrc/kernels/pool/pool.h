// Pooling over windows that are the same for every plane.
//
//     max              output(o) = max over i in w(o) of source(i)
//     max's adjoint    output(i) = sum over o whose maximum is at i of source(o)
//     average          output(o) = sum over i in w(o) of source(i) / div(o)
//     average's adjoint  output(i) = sum over o with i in w(o) of source(o) / div(o)
//
// Windows separate over the axes; leading axes of size 1 where the rank is less. Sums run over a row, then over rows, in
// order, in one register each (over whole contiguous planes, in several): a result depends neither on how the work is cut
// nor on the pixels beside it.
#pragma once

#include "kernels/gather/gather.h"

namespace convlayers {

// The windows along an axis. Sliding: output o sees o * stride - low + k * dilation, 0 <= k < kernel. Adaptive (kernel 0):
// from floor(o * input / output) to below ceil((o + 1) * input / output).
struct WindowAxis {
  int64_t input = 1, output = 1, kernel = 1, stride = 1, low = 0, high = 0, dilation = 1;
  bool count_padding = false;  // whether div(o) counts the padding
  // The outputs that see one input are this far apart; an input sees some if divisible by `common`, the first of them
  // congruent to input / common * inverse.
  int64_t period = 1, common = 1, inverse = 0;

  WindowAxis() = default;
  WindowAxis(int64_t input, int64_t output, int64_t kernel, int64_t stride, int64_t low, int64_t high, int64_t dilation,
             bool count_padding);
};

// How a plane's elements lie: all spatial axes as one.
struct PlaneStrides {
  int64_t batch, channel, pixel;
};

struct PoolProblem {
  int64_t batch, channels;
  WindowAxis axis[3];
  const float* source;      // channels last, or contiguous planes
  const float* source_end;  // beyond the last float that may be read
  Strides source_strides;
  float* output;  // channels last, or contiguous planes
  Strides output_strides;
  int64_t source_plane, output_plane;  // floats from one contiguous plane to the next; 0: channels last
  int64_t divisor;  // averages: instead of div(o), unless 0
  int64_t* index;   // max: where each maximum is in its plane, -1 for an empty window; or null
  PlaneStrides index_strides;
  // max and its adjoint: which tap of its window each maximum is, kNoTap for an empty window, channels last; or null
  uint8_t* tap;
  Strides tap_strides;
  bool stream;  // whether results go past the caches; their vectors are aligned then
};

constexpr int kNoTap = 255;

// Whether there is one output, which sees all of a plane.
bool covers_input(const PoolProblem& p);

constexpr int64_t kPoolPixels = 128;  // pixels of a row in a task

// Contiguous planes, on either side, are pooled in boxes: some planes side by side, and a part of the results along each
// axis. What a box reads is transposed to channels last, pooled in cache, and its results are transposed back.
struct PoolBoxes {
  int64_t size[3];     // results along each axis
  int64_t results[3];  // of a box; along a row a multiple of kPoolPixels, or all
  int64_t sources[3];  // that a box reads, at most
  int64_t count[3];    // boxes along each axis
  int64_t planes, groups, tasks;

  PoolBoxes(const PoolProblem& p, bool adjoint);
  int64_t source_floats() const { return planes * sources[0] * sources[1] * sources[2]; }
  int64_t result_floats() const { return planes * results[0] * results[1] * results[2]; }
  // Windows may be so large that no box that stays in cache holds one.
  bool fit() const;
};

}  // namespace convlayers
