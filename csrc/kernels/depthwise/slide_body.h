// Taps that slide along a row: neighbouring outputs share their sources, so a source is read once for all of them.
#pragma once

#include <numeric>

#include "kernels/direct/tile_body.h"
#include "kernels/gather/lines_body.h"

namespace {

// Tap t of output j + every * i reads `unit` entries times (stride * i + t) beyond tap 0 of output j. With a dilation, the
// outputs that share sources lie apart. Taps count as their sources ascend: in a gradient, from the filter's last to its
// first.
struct Slide {
  Straight straight;
  int64_t first = 0, last = 0;       // of a row's outputs, those that are read so
  int64_t every = 1, stride = 1;
  int64_t unit = 1, jump = 1;        // entries from tap to tap, and from output to output of a tile
  int64_t step = 0, tap_step = 0;    // floats between outputs of a tile, places in the filter between taps
  int64_t least = 0;                 // the shift of tap 0
  int64_t taps = 1;                  // taken together, of which a line has `groups`; `singles` are left
  int64_t groups = 0, singles = 0;
  int64_t last_tap = 0, direction = 1;

  Slide() = default;
  // Beyond a border of zeros nothing is read, so all outputs can be straight.
  Slide(const Gather& g, const Region& r, const float* const (&outside)[3]) : straight(g, r) {
    const auto& w = r.axis[2];
    first = straight.first;
    last = straight.last;
    if (straight.alone && *outside[2] == 0) {
      first = 0;
      last = w.outputs;
    }
    const auto even = [](const int64_t* of, int64_t from, int64_t to) {
      for (int64_t i = from + 2; i < to; ++i)
        if (of[i] - of[i - 1] != of[from + 1] - of[from]) return false;
      return true;
    };
    if (!even(w.output, first, last)) last = first;
    if (first >= last) return;
    least = std::min(w.shift[0], w.shift[w.taps - 1]);
    direction = straight.dilation < 0 ? -1 : 1;
    last_tap = w.taps - 1;
    unit = std::abs(straight.dilation);
    const int64_t common = std::gcd(unit, straight.stride);
    every = unit / common;
    stride = straight.stride / common;
    // As many as leave the fewest; kernels of other sizes are rare.
    if ((last - first) / every >= 4 && even(w.tap, 0, w.taps))
      for (int64_t some : {7, 5, 3, 2})
        if (some <= w.taps && (stride == 1 || (stride == 2 && (some == 3 || some == 5))) &&
            (taps == 1 || w.taps % some < w.taps % taps))
          taps = some;
    if (taps == 1) every = 1;
    groups = taps == 1 ? 0 : w.taps / taps;
    singles = w.taps - groups * taps;
    jump = every * straight.stride;
    if (last - first > every) step = w.output[first + every] - w.output[first];
    if (taps > 1) tap_step = direction * (w.tap[1] - w.tap[0]);
  }

  // The filter's tap 0 of a line, as sources ascend; the others follow in `direction`.
  const int64_t* first_tap(const Region& r, int64_t line) const {
    return r.tap + line * (last_tap + 1) + (direction < 0 ? last_tap : 0);
  }
};

// Sources a few entries apart: floats from the line's beginning to the first, and which of them (a bit each) are not outside.
struct Window {
  int64_t at;
  uint64_t seen;
};
inline Window find_window(const Straight& s, int64_t entry, int64_t count, int64_t apart) {
  const auto until = [&](int64_t bound) {
    return std::clamp<int64_t>((bound - entry + apart - 1) / apart, 0, count);
  };
  const int64_t low = entry < s.low ? until(s.low) : 0, high = entry < s.high ? until(s.high) : 0;
  return {(entry - s.low) * s.step, (uint64_t{1} << high) - (uint64_t{1} << std::min(low, high))};
}

// Calls f(i, source i) for each of Count sources that is seen, as straight-line code. A border takes a few at the ends:
// where no more than Edge at either end are missing, the others are not looked for one by one.
template <int Count, int Edge, class F>
inline __attribute__((always_inline)) void for_seen(uint64_t seen, const float* at, int64_t apart, const F& f) {
  static_assert(Count < 64);
  constexpr int kEdge = Count > 2 * Edge ? Edge : 0;
  constexpr uint64_t kInner = (uint64_t{1} << (Count - kEdge)) - (uint64_t{1} << kEdge);
  if ((seen & kInner) == kInner) {
#pragma GCC unroll 64
    for (int i = 0; i < Count; ++i, at += apart)
      if ((i >= kEdge && i < Count - kEdge) || (seen >> i & 1)) f(i, at);
  } else {
#pragma GCC unroll 64
    for (int i = 0; i < Count; ++i, at += apart)
      if (seen >> i & 1) f(i, at);
  }
}

}  // namespace
