#include "kernels/winograd/winograd.h"

namespace convlayers {
namespace {

// Outputs side by side that read sources side by side, through three taps side by side, in either direction.
bool plain_axis(const ClassView& a) {
  if (a.taps != 3 || a.outputs < 1) return false;
  const int64_t step = a.shift[1] - a.shift[0];
  if ((step != 1 && step != -1) || a.shift[2] - a.shift[1] != step) return false;
  for (int64_t i = 1; i < a.outputs; ++i)
    if (a.base[i] - a.base[i - 1] != 1 || a.output[i] - a.output[i - 1] != a.output[1] - a.output[0]) return false;
  return true;
}

}  // namespace

bool winograd_fits(const Gather& g) {
  if (g.regions != 1) return false;
  const Region& r = g.region[0];
  return has_every_tap(g, r) && plain_axis(r.axis[1]) && plain_axis(r.axis[2]);
}

}  // namespace convlayers
