// Depthwise convolution: a gather whose taps are diagonal.
//
//     output(p, c) = activation(bias(c) + sum over taps t and steps j of  weight(t, j, c) source(p, t, from(j, c)))
//
// Forward, channel c of `multiplier` times as many reads source channel c / multiplier (one step). In the gradient of the
// input, channel c reads the `multiplier` channels that it fed (a step each).
#pragma once

#include "kernels/base/activation.h"
#include "kernels/gather/gather.h"

namespace convlayers {

struct DepthwiseProblem {
  const Gather* gather;
  const float* source;
  float* output;
  const float* outside[3];
  int64_t channels, steps;
  const int32_t* from;  // [step][channel]: the source channel; null where it is the channel itself
  const float* weight;  // packed: [filter tap][step][channel, rounded up to whole vectors]
  const float* bias;
  Activation activation;
};

// result(t, c) = sum over pixels p of  source(p, t, from(c)) gradient(p, c).
struct DepthwiseWeightProblem {
  const Gather* gather;
  const float* source;
  const float* gradient;
  const float* outside[3];
  int64_t channels;
  const int32_t* from;
  int64_t segments;
  float* result;  // [segment][filter tap][channel, rounded up to whole vectors]
};

}  // namespace convlayers
