// Direct convolution: a gather whose taps are matrices.
//
//     output(p, o) = activation(bias(o) + sum over taps t and channels c of  weight(t, c, o) source(p, t, c))
//
// for each group of channels. Sums run over taps, then channels, in the filter's order, in one register each: a result
// depends neither on how the work is cut nor on the pixels beside it. Products with zeros beyond a border are left out where that
// saves time: they change no sum, as long as weights are finite.
#pragma once

#include "kernels/base/activation.h"
#include "kernels/gather/gather.h"

namespace convlayers {

struct DirectProblem {
  const Gather* gather;
  const float* source;      // channels last
  float* output;            // channels last
  const float* outside[3];  // what a source outside along each axis reads: the channels of a line of taps, at least
  int64_t groups, source_channels, output_channels;  // channels of one group
  // Packed: [group][block of output channels][filter tap][source channel][channel of the block]; where lanes are source
  // channels, the two kinds of channels have each other's place.
  const float* weight;
  const float* bias;    // or null
  Activation activation;
};

// The gradient of the weights:  result(t, c, o) = sum over pixels p of  source(p, t, c) gradient(p, o).
struct DirectWeightProblem {
  const Gather* gather;  // of the forward computation
  const float* source;
  const float* gradient;
  const float* outside[3];
  int64_t groups, source_channels, output_channels;
  int64_t segments;     // the pixels are summed in this many parts, each by itself
  float* result;        // [segment][group][filter tap][source channel][output channel, rounded up to whole vectors]
  float* channel_sums;  // [segment][output channel of all groups]: of the gradient alone, a bias's; or null
};

// Those sums by themselves:  result(o) = sum over pixels p of  gradient(p, o).
struct ChannelSumsProblem {
  const Gather* gather;  // whose outputs are the pixels
  const float* gradient;
  int64_t channels, segments;
  float* result;  // [segment][channel]
};

}  // namespace convlayers
