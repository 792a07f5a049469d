#include "kernels/winograd/winograd.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>

namespace convlayers {
namespace {

int64_t divided(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Whether entries lie evenly, `step` apart; of one alone, any step will do.
bool evenly(const int64_t* entry, int64_t count, int64_t step) {
  for (int64_t i = 1; i < count; ++i)
    if (entry[i] - entry[i - 1] != step) return false;
  return true;
}

// Finds how taps and outputs, evenly apart along an axis, meet.
bool tiled_axis(const Gather& g, int axis, WinogradAxis& form) {
  const ClassView& a = g.region->axis[axis];
  if (a.taps < 2 || a.outputs < 1) return false;
  const int64_t shift = a.shift[1] - a.shift[0], step = std::abs(shift);
  const int64_t stride = a.outputs > 1 ? a.base[1] - a.base[0] : step;
  if (step < 1 || stride < 1 || !evenly(a.shift, a.taps, shift) || !evenly(a.base, a.outputs, stride)) return false;
  const int64_t common = std::gcd(step, stride);
  form = {axis, 0, divided(a.taps, stride / common), step / common, stride / common, step};
  // A third tap in two phases would be multiplied like a fourth: direct. So are more phases: each has weights of its own.
  constexpr int64_t kPhases = 4;
  const bool short_phases = form.taps == 2 && a.taps < 2 * form.phases;
  return form.taps > 1 && form.taps != 6 && form.taps <= 7 && form.phases <= kPhases && !short_phases;
}

}  // namespace

bool winograd_form(const Gather& g, WinogradForm& form) {
  if (g.regions != 1) return false;
  const Region& r = *g.region;
  if (r.taps < 1) return false;
  WinogradAxis u, v;
  for (int i = 2; i >= 0; --i) {
    if (!tiled_axis(g, i, v)) continue;
    // Two axes, or one by itself.
    for (int j = i - 1; j >= 0; --j)
      if (v.taps < 6 && tiled_axis(g, j, u) && u.taps < 6) {
        if (u.taps > v.taps) std::swap(u, v);
        u.outputs = 7 - u.taps, v.outputs = 7 - v.taps;
        form = {3 - i - j, u, v};
        return true;
      }
    for (int j = 2; j >= 0; --j)
      if (j != i && r.axis[j].taps == 1) {
        v.outputs = v.taps < 5 ? 7 - v.taps : 9 - v.taps;
        form = {3 - i - j, {j, 1, 1}, v};
        return true;
      }
  }
  return false;
}

bool winograd_fits(const Gather& g) {
  // A border that folds has regions of its own for few pixels.
  if (g.regions > 1 && !g.spreads) return false;
  WinogradForm form;
  for (int64_t i = 0; i < g.regions; ++i)
    if (!winograd_form(only_region(g, i), form)) return false;
  return g.regions > 0;
}

WinogradPlan::WinogradPlan(const Gather& g, const WinogradForm& f, int64_t groups, int64_t source_channels,
                           int64_t output_channels, int64_t lanes, int64_t block)
    : form(f) {
  const Region& r = *g.region;
  const int64_t outputs_u = r.axis[f.u.axis].outputs, outputs_v = r.axis[f.v.axis].outputs;
  tiles_u = f.u.tiles(outputs_u);
  tiles_v = f.v.tiles(outputs_v);
  tiles = r.pixels / (outputs_u * outputs_v) * tiles_u * tiles_v;
  parts = f.parts(r);
  depth = parts * source_channels;
  width = std::min(divided(output_channels, lanes) * lanes, block);
  blocks = divided(output_channels, block);
  source_row = (divided(depth, lanes) | 1) * lanes;
  filter_point = depth * width + 16;
  filter_block = f.points() * filter_point;

  // Measured: beyond kFilters floats transformed weights come from memory, where making them costs as much as some 40 tiles'
  // products, against 6 where they stay in cache; with few tiles the same holds for fewer.
  constexpr int64_t kFloats = 160 * 1024, kMoreFloats = 288 * 1024, kLeast = 12, kSome = 24, kMost = 96, kFew = 64, kShared = 112,
                    kSources = 1024 * 1024, kFilters = 3 * 1024 * 1024, kFewFilters = 512 * 1024, kSlice = 4096, kTasks = 16,
                    kStrip = 64, kStretch = 48, kBundleStretch = 64, kBundle = 64;
  const int64_t points = f.points();
  bundles = divided(blocks, std::max<int64_t>(kBundle / block, 1));
  bundle = divided(blocks, bundles);
  shared = blocks * filter_block > (tiles > kFew || blocks == 1 ? kFilters : kFewFilters);
  slice = shared ? std::max(kSlice / block / kWinogradColumns, int64_t{1}) * kWinogradColumns : 0;
  if (!shared) {
    // Some tiles, if need be of more sources than the cache has room for: each of them reads all weights.
    const auto fit = [&](int64_t floats) { return floats / (points * (source_row + width)) / 6 * 6; };
    const int64_t fitting = std::max(fit(kFloats), std::min(kSome, fit(kMoreFloats)));
    const int64_t few = divided(groups * tiles * bundles, kTasks * 12) * 12;
    range = std::max(kLeast, std::min({few, fitting, kMost}));
    chunk = tiles;
  } else {
    // They may take what the weights take.
    const int64_t weights = r.taps * source_channels * output_channels;
    const int64_t chunks = divided(tiles, std::max(kLeast, std::max(kSources, weights) / (points * source_row)));
    chunk = divided(tiles, chunks);
    range = divided(chunk, divided(chunk, kShared));
  }
  source_point = (shared ? chunk : range) * source_row + 16;

  strips = divided(source_channels, kStrip);
  strip = divided(source_channels, std::max<int64_t>(strips, 1));
  stretch = bundle > 1 ? kBundleStretch : kStretch;
  const int64_t tasks = groups * bundles * strips * parts;
  segments = std::clamp<int64_t>(kTasks / std::max<int64_t>(tasks, 1), 1, std::max<int64_t>(tiles / stretch, 1));
}

}  // namespace convlayers
