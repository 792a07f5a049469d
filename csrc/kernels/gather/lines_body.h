// Lines: where the last axis runs straight, with no border in it.
#pragma once

#include "kernels/gather/walk_body.h"

namespace {

// The outputs of a region's rows whose taps all lie fixed steps apart: no table of pointers is needed for those.
struct Straight {
  int64_t first = 0, last = 0;   // of the outputs along the last axis
  int64_t pixel = 0, tap = 0;    // floats from the source of an output to the next, and from tap to tap

  Straight() = default;
  Straight(const Gather& g, const Region& region) {
    const auto& w = region.axis[2];
    const int64_t* lookup = g.lookup[2];
    if (w.outputs < 1 || w.taps < 1) return;
    const int64_t stride = w.outputs > 1 ? w.base[1] - w.base[0] : 1, dilation = w.taps > 1 ? w.shift[1] - w.shift[0] : 1;
    for (int64_t j = 1; j < w.outputs; ++j)
      if (w.base[j] - w.base[j - 1] != stride) return;
    for (int64_t t = 1; t < w.taps; ++t)
      if (w.shift[t] - w.shift[t - 1] != dilation) return;
    // The longest run of entries with one distance between neighbours.
    const auto [least, most] = std::minmax(w.shift[0], w.shift[w.taps - 1]);
    const int64_t begin = w.base[0] + least, end = w.base[w.outputs - 1] + most + 1;
    int64_t low = begin, high = begin, step = 0;
    for (int64_t from = begin; from < end;) {
      int64_t to = from + 1;
      if (lookup[from] >= 0)
        while (to < end && lookup[to] >= 0 && lookup[to] - lookup[to - 1] == lookup[from + 1] - lookup[from]) ++to;
      if (lookup[from] >= 0 && to - from > high - low) {
        low = from;
        high = to;
        step = to - from > 1 ? lookup[from + 1] - lookup[from] : 0;
      }
      from = to - from > 1 && to < end ? to - 1 : to;  // runs may share an entry
    }
    while (first < w.outputs && w.base[first] + least < low) ++first;
    for (last = first; last < w.outputs && w.base[last] + most < high;) ++last;
    pixel = stride * step;
    tap = dilation * step;
  }
};

// A row of outputs: all those of one batch entry and one place along the first two axes.
struct Row {
  int64_t batch, output, depth, height;  // where the source's and the output's entry begin; indices into the axes
  Row(const Gather& g, const Region& region, int64_t plane, int64_t height_) : height(height_) {
    const auto& [d, h, w] = region.axis;
    depth = plane % d.outputs;
    batch = plane / d.outputs * g.source_batch;
    output = plane / d.outputs * g.output_batch + d.output[depth] + h.output[height];
  }
};

// Rows are handled in bands of one plane (a batch entry and a place along the first axis), so many that a band's lines are
// read again while they are near, and that there are bands enough for a few threads.
struct Band {
  int64_t plane, first, last;
};
inline int64_t band_rows(const Gather& g) {
  int64_t rows = 0;
  for (int64_t i = 0; i < g.regions; ++i) rows += g.region[i].pixels / std::max<int64_t>(g.region[i].axis[2].outputs, 1);
  return std::clamp<int64_t>(rows / 32, 4, 16);
}
inline int64_t bands(const Region& r, int64_t rows) {
  const auto& [d, h, w] = r.axis;
  return r.pixels / (h.outputs * w.outputs) * ((h.outputs + rows - 1) / rows);
}
inline int64_t bands(const Gather& g) {
  int64_t total = 0;
  for (int64_t i = 0; i < g.regions; ++i) total += bands(g.region[i], band_rows(g));
  return total;
}
inline Band find_band(const Region& r, int64_t rows, int64_t index) {
  const int64_t outputs = r.axis[1].outputs, count = (outputs + rows - 1) / rows;
  return {index / count, index % count * rows, std::min(index % count * rows + rows, outputs)};
}

// What the taps of one line (a place along the first two axes of the filter) read, for output `Straight::first` of a row.
// A line outside reads one constant for all.
struct Line {
  const float* at;
  int64_t pixel, tap;
};
inline Line find_line(const Gather& g, const Region& region, const Row& row, const Straight& straight, int64_t index,
                      const float* source, const float* const (&outside)[3]) {
  const auto& [d, h, w] = region.axis;
  const int64_t od = g.lookup[0][d.base[row.depth] + d.shift[index / h.taps]];
  const int64_t oh = g.lookup[1][h.base[row.height] + h.shift[index % h.taps]];
  if (oh < 0 || od < 0) return {outside[oh < 0 ? 1 : 0], 0, 0};
  return {source + (row.batch + od + oh + g.lookup[2][w.base[straight.first] + w.shift[0]]), straight.pixel, straight.tap};
}

// The outputs of a row that are not straight, a few at a time: f(pixels, how many).
template <class F>
void for_bent(const Region& region, const Row& row, const Straight& straight, int64_t most, Pixels& pixels,
              const F& f) {
  const auto& [d, h, w] = region.axis;
  int64_t count = 0;
  for (int64_t j = 0; j < w.outputs; ++j) {
    if (j == straight.first) j = straight.last;
    if (j == w.outputs) break;
    pixels.output[count] = row.output + w.output[j];
    pixels.batch[count] = row.batch;
    pixels.base[0][count] = d.base[row.depth];
    pixels.base[1][count] = h.base[row.height];
    pixels.base[2][count] = w.base[j];
    if (++count < most) continue;
    f(count);
    count = 0;
  }
  if (count > 0) f(count);
}

}  // namespace
