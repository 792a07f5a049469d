// Winograd's minimal filtering for dense convolutions whose filters have 2 to 5 taps along two axes, or up to 7 along one, with
// any taps of a third axis: forward, the gradient of the input, the gradient of the weights. Dilated and strided ones, too.
//
// Along one axis, F(m, r) computes m outputs of a filter of r taps from n = m + r - 1 sources by n products instead of m r
// (Winograd 1980; for convolutions Lavin, Gray 2016, arXiv 1509.09308). With x the sources, w the filter and o the
// product of elements, along two axes
//
//     y = A' [ (G w G') o (B' x B) ] A,
//
// and the products, summed over the channels, are n n matrix products of tiles by channels. The gradient of the weights is
// F(r, m): a tile of the gradient is its filter. The points of 6 products are 0, +-1/sqrt(2), +-sqrt(2) and infinity, those of
// 8 are 0, +-1/2, +-1, +-2 and infinity: of the sets tried they round least (tests/test_winograd.py has the bound).
//
// Taps that are dilated meet the sources of outputs as far apart as they are: these make a tile. Where outputs are strided, the
// taps a whole number of strides from each other make a filter of their own, a phase, whose sources are side by side in it
// (5 taps by steps of 2 are filters of 3 and of 2); the phases' products are summed like channels'.
#pragma once

#include "kernels/direct/direct.h"
#include "kernels/layout/layout.h"

namespace convlayers {

// Tiles along one axis of a gather.
struct WinogradAxis {
  int axis;
  int64_t outputs, taps;       // of a tile, and of each phase: shorter phases have zeros for taps
  int64_t every = 1;           // outputs from one of a tile to the next
  int64_t phases = 1;          // tap i of a phase p is tap p + i phases of the region, in the order of their sources
  int64_t step = 1;            // in the look-up, from a tap to the next
  int64_t points() const { return outputs + taps - 1; }
  // Tiles of so many outputs; the first output of one; how many it has.
  int64_t tiles(int64_t count) const {
    const int64_t span = outputs * every, rest = count % span;
    return count / span * every + (rest < every ? rest : every);
  }
  int64_t first(int64_t tile) const { return tile / every * outputs * every + tile % every; }
  int64_t present(int64_t count, int64_t first) const {
    const int64_t left = (count - first + every - 1) / every;
    return left < outputs ? left : outputs;
  }
};

// Tiles along two axes; the taps of axis `plain` are summed like channels. F(1, 1) along u: only v.
struct WinogradForm {
  int plain;
  WinogradAxis u, v;
  int64_t points() const { return u.points() * v.points(); }
  // Filters that are summed: taps of the plain axis by phases.
  int64_t parts(const Region& r) const { return r.axis[plain].taps * u.phases * v.phases; }
};
struct WinogradPart {
  int64_t tap, u, v;  // the tap of the plain axis, the phases
  WinogradPart(const WinogradForm& form, int64_t index)
      : tap(index / (form.u.phases * form.v.phases)), u(index / form.v.phases % form.u.phases), v(index % form.v.phases) {}
};

// Finds the form of a gather of one region.
bool winograd_form(const Gather& g, WinogradForm& form);
// Whether all regions have one. They are computed one after the other: `only_region`.
bool winograd_fits(const Gather& g);

// Source channels whose weights are transformed together: whole cache lines, whichever axis of the filter is the dense one.
constexpr int64_t kWinogradColumns = 16;

// How a problem is cut, by its sizes alone.
struct WinogradPlan {
  WinogradForm form;
  int64_t tiles_u, tiles_v, tiles;
  int64_t parts;   // of the form
  int64_t depth;   // what a product sums over: parts by channels of the source
  int64_t width;   // output channels, rounded up to whole vectors, of a block at most
  int64_t blocks;  // of output channels
  // Floats from one to the next in transformed sources and weights; never a power of two, or they would share a few sets of
  // the cache.
  int64_t source_row, source_point, filter_point, filter_block;
  // A task is of some blocks, a bundle: what is transformed of a source for one, serves all of them.
  int64_t bundles, bundle;
  // Tiles that a task multiplies. Its sources and its products are to stay in the second-level cache; it transforms the
  // sources itself, and weights that were transformed once for all.
  int64_t range;
  // Where the weights are too large for that, beside the tiles there are, tasks before it transform the sources of a chunk of
  // tiles, which all blocks of output channels read, and the weights by the task, of one block then, `slice` source channels at
  // a time. With a `slice` of 0 all weights are transformed before.
  bool shared;
  int64_t chunk, slice;
  // The gradient of the weights: its tasks are segments of the tiles, bundles, parts and strips of source channels. The sources
  // of `stretch` tiles at a time are transformed; they are to stay in the second-level cache.
  int64_t segments, strips, strip, stretch;

  // Channels of one group.
  WinogradPlan(const Gather& g, const WinogradForm& form, int64_t groups, int64_t source_channels, int64_t output_channels,
               int64_t lanes, int64_t block);
  int64_t multiplied_bundles() const { return slice > 0 ? blocks : bundles; }
  int64_t group_floats() const { return slice > 0 ? 0 : blocks * filter_block; }  // of transformed weights
  int64_t source_floats() const { return shared ? form.points() * source_point : 0; }
};

// The same computation as `direct` for one region, in three kernels: before `winograd` multiplies, `winograd_filters` has
// written `filters`, unless the plan slices them, and `winograd_sources`, where they are shared, the `sources` of a chunk of
// tiles. `weight` of the base is not read.
struct WinogradProblem : DirectProblem {
  const WinogradPlan* plan;
  const float* filter;
  FilterStrides strides;
  FilterSizes sizes;
  float* filters;         // [group][block of output channels][point][depth][channel of the block]
  float* sources;         // [point][tile of the chunk][depth]
  int64_t first, tiles;   // of the chunk
  WinogradProblem of_group(int64_t group) const {
    WinogradProblem p = *this;
    p.groups = 1;
    p.source += group * source_channels;
    p.output += group * output_channels;
    if (bias) p.bias += group * output_channels;
    p.filter += group * strides.group;
    p.filters += group * plan->group_floats();
    return p;
  }
};

// The same computation as `direct_weight` for a region of all taps; the result is a dense filter bank a segment, by these strides.
struct WinogradWeightProblem : DirectWeightProblem {
  const WinogradPlan* plan;
  FilterStrides strides;
  FilterSizes sizes;
};

// Runs what follows `winograd_filters`, by run(kernel, problem); groups that share transformed sources one by one.
template <class Kernels, class Run>
void run_winograd(const Kernels& k, const WinogradProblem& all, const Run& run) {
  const WinogradPlan& plan = *all.plan;
  for (int64_t g = 0; g < (plan.shared ? all.groups : 1); ++g) {
    WinogradProblem p = plan.shared ? all.of_group(g) : all;
    for (p.first = 0; p.first < plan.tiles; p.first += plan.chunk) {
      p.tiles = plan.chunk < plan.tiles - p.first ? plan.chunk : plan.tiles - p.first;
      if (plan.shared) run(k.winograd_sources, p);
      run(k.winograd, p);
    }
  }
}

}  // namespace convlayers
