// Winograd's minimal filtering F(4x4, 3x3) for dense 3x3 convolutions of stride 1 and dilation 1, forward and for the
// gradient of the input; in 3-D over the last two axes, summed over the taps of the first. A quarter of the
// multiplications of the definition (Lavin, Gray 2016, arXiv 1509.09308).
//
// A tile of 4x4 outputs depends on 6x6 sources. With x the sources, w the filter and o the product of elements,
//
//     y = A' [ (G w G') o (B' x B) ] A,
//
// and the products, summed over the channels, are 36 matrix products of tiles by channels. The points are 0,
// +-1/sqrt(2), +-sqrt(2) and infinity, which round less than 0, +-1, +-2 and infinity do.
#pragma once

#include "kernels/direct/direct.h"
#include "kernels/layout/layout.h"

namespace convlayers {

constexpr int64_t kWinogradOut = 4, kWinogradIn = 6, kWinogradPoints = kWinogradIn * kWinogradIn;

// Whether a gather has the form above: one region of all the filter's taps, three side by side along each of the last
// two axes.
bool winograd_fits(const Gather& g);

// The same computation as `direct` for one group, with weights as they are (`weight` of the base is not read); a block of
// output channels transforms its own when it comes to them. winograd_weight is direct_weight's computation, with its result.
struct WinogradProblem : DirectProblem {
  const float* filter;
  FilterStrides strides;
  FilterSizes sizes;
};

}  // namespace convlayers
