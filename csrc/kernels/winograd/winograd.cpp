#include "kernels/winograd/winograd.h"

#include <algorithm>

namespace convlayers {
namespace {

// Outputs side by side that read sources side by side, through taps side by side, in either direction.
bool plain_axis(const ClassView& a) {
  if (a.taps < 2 || a.outputs < 1) return false;
  const int64_t step = a.shift[1] - a.shift[0];
  if (step != 1 && step != -1) return false;
  for (int64_t t = 2; t < a.taps; ++t)
    if (a.shift[t] - a.shift[t - 1] != step) return false;
  for (int64_t i = 1; i < a.outputs; ++i)
    if (a.base[i] - a.base[i - 1] != 1) return false;
  return true;
}

int64_t divided(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

bool winograd_form(const Gather& g, WinogradForm& form) {
  if (g.regions != 1) return false;
  const Region& r = g.region[0];
  if (!has_every_tap(g, r)) return false;
  for (int v = 2; v >= 0; --v) {
    const int64_t taps = r.axis[v].taps;
    if ((taps != 3 && taps != 5 && taps != 7) || !plain_axis(r.axis[v])) continue;
    const int64_t outputs = taps == 3 || taps == 5 ? 4 : 2;
    // Two axes alike, or one by itself.
    for (int u = 2; u >= 0; --u)
      if (u != v && taps < 7 && r.axis[u].taps == taps && plain_axis(r.axis[u])) {
        form = {3 - u - v, u, v, 7 - taps, taps, 7 - taps, taps};
        return true;
      }
    for (int u = 2; u >= 0; --u)
      if (u != v && r.axis[u].taps == 1) {
        form = {3 - u - v, u, v, 1, 1, outputs, taps};
        return true;
      }
  }
  return false;
}

WinogradPlan::WinogradPlan(const Gather& g, const WinogradForm& f, int64_t source_channels, int64_t output_channels,
                           int64_t lanes, int64_t block)
    : form(f) {
  const Region& r = *g.region;
  tiles_u = divided(r.axis[f.u].outputs, f.outputs_u);
  tiles_v = divided(r.axis[f.v].outputs, f.outputs_v);
  tiles = r.pixels / (r.axis[f.u].outputs * r.axis[f.v].outputs) * tiles_u * tiles_v;
  depth = r.axis[f.plain].taps * source_channels;
  width = std::min(divided(output_channels, lanes) * lanes, block);
  blocks = divided(output_channels, block);
  source_row = (divided(depth, lanes) | 1) * lanes;
  filter_point = depth * width + 16;
  filter_block = f.points() * filter_point;

  // Measured: beyond kFilters floats transformed weights come from memory, where making them costs as much as some 40 tiles'
  // products, against 6 where they stay in cache; with few tiles the same holds for fewer.
  constexpr int64_t kFloats = 160 * 1024, kLeast = 12, kMost = 96, kFew = 64, kShared = 56, kSources = 1024 * 1024,
                    kFilters = 3 * 1024 * 1024, kFewFilters = 512 * 1024, kTasks = 16, kStrip = 64, kPart = 48;
  const int64_t points = f.points();
  shared = blocks > 1 && blocks * filter_block > (tiles > kFew ? kFilters : kFewFilters);
  slice = shared ? 4 * kWinogradColumns : 0;
  if (!shared) {
    const int64_t fit = kFloats / (points * (source_row + width)) / 6 * 6;
    const int64_t few = divided(tiles * blocks, kTasks * 12) * 12;
    range = std::max(kLeast, std::min(few, std::clamp(fit, kLeast, kMost)));
    chunk = tiles;
  } else {
    const int64_t chunks = divided(tiles, std::max(kLeast, kSources / (points * source_row)));
    chunk = divided(tiles, chunks);
    range = divided(chunk, divided(chunk, kShared));
  }
  source_point = (shared ? chunk : range) * source_row + 16;

  strips = divided(source_channels, kStrip);
  strip = divided(source_channels, std::max<int64_t>(strips, 1));
  part = kPart;
  const int64_t tasks = blocks * strips * r.axis[f.plain].taps;
  segments = std::clamp<int64_t>(kTasks / std::max<int64_t>(tasks, 1), 1, std::max<int64_t>(tiles / part, 1));
}

}  // namespace convlayers
