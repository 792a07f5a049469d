// Convolution in groups of few channels: a gather whose taps are block-diagonal.
//
//     output(p, o) = activation(bias(o) + sum over taps t and steps j of  weight(t, j, o) source(p, t, from(j, o)))
//
// where output channel o of group g = o / output_channels reads that group's channel j: from(j, o) = g * source_channels + j.
// A vector holds whole groups side by side, and each of its lanes reads its own group's channel j: a permutation of one load.
// Depthwise is the case of one channel: nothing to permute.
#pragma once

#include "kernels/base/activation.h"
#include "kernels/gather/gather.h"

namespace convlayers {

struct DepthwiseProblem {
  const Gather* gather;
  const float* source;
  float* output;
  const float* outside[3];
  int64_t groups, source_channels, output_channels;  // channels of one group
  const float* weight;  // packed: [vector][filter tap][source channel of a group][lane]
  const float* bias;
  Activation activation;
};

// result(t, j, o) = sum over pixels p of  source(p, t, from(j, o)) gradient(p, o).
struct DepthwiseWeightProblem {
  const Gather* gather;
  const float* source;
  const float* gradient;
  const float* outside[3];
  int64_t groups, source_channels, output_channels;
  int64_t segments;
  float* result;        // [segment][vector][filter tap][source channel of a group][lane]
  float* channel_sums;  // [segment][output channel of all groups]: of the gradient alone, a bias's; or null
};

}  // namespace convlayers
