// Lines: where the last axis runs straight, with no border in it.
#pragma once

#include "kernels/gather/walk_body.h"

namespace {

// The outputs of a region's rows whose taps all lie fixed steps apart: no table of pointers is needed for those.
struct Straight {
  int64_t first = 0, last = 0;   // of the outputs along the last axis
  int64_t pixel = 0, tap = 0;    // floats from the source of an output to the next, and from tap to tap
  int64_t stride = 1, dilation = 1;  // the same in entries of the lookup
  int64_t low = 0, high = 0;     // the entries whose sources lie `step` floats apart
  int64_t step = 0;
  bool alone = false;            // whether all other entries are outside

  Straight() = default;
  Straight(const Gather& g, const Region& region) {
    const auto& w = region.axis[2];
    const int64_t* lookup = g.lookup[2];
    if (w.outputs < 1 || w.taps < 1) return;
    if (w.outputs > 1) stride = w.base[1] - w.base[0];
    if (w.taps > 1) dilation = w.shift[1] - w.shift[0];
    for (int64_t j = 1; j < w.outputs; ++j)
      if (w.base[j] - w.base[j - 1] != stride) return;
    for (int64_t t = 1; t < w.taps; ++t)
      if (w.shift[t] - w.shift[t - 1] != dilation) return;
    // The longest run of entries with one distance between neighbours.
    const auto [least, most] = std::minmax(w.shift[0], w.shift[w.taps - 1]);
    const int64_t begin = w.base[0] + least, end = w.base[w.outputs - 1] + most + 1;
    low = high = begin;
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
    alone = low < high;
    for (int64_t i = begin; i < end; ++i) alone = alone && (lookup[i] < 0 || (i >= low && i < high));
  }
};

// A row of outputs: all those of one batch entry and one place along the first two axes.
struct Row {
  int64_t batch, output, depth, height;  // where the source's and the output's entry begin; indices into the axes
  Row(const Gather& g, const Region& region, int64_t entry, int64_t depth_, int64_t height_)
      : batch(entry * g.source_strides.batch), depth(depth_), height(height_) {
    output = entry * g.output_strides.batch + region.axis[0].output[depth] + region.axis[1].output[height];
  }
};

// The outputs are cut into bands: of one batch entry, one place along the first axis, and so many rows that what they
// share is read again while it is near, and that there are bands enough for a few threads. All regions are cut alike, so
// that a band is whole in the output: its regions are the phases of one stretch.
struct Band {
  int64_t batch, depth, first, last;  // rows first ... last
};
class Bands {
 public:
  explicit Bands(const Gather& g) {
    int64_t most = 0, entries = 0;
    for (int64_t i = 0; i < g.regions; ++i) {
      const Region& r = g.region[i];
      most = std::max(most, r.axis[1].outputs);
      depths_ = std::max(depths_, r.axis[0].outputs);
      entries = r.pixels / (r.axis[0].outputs * r.axis[1].outputs * r.axis[2].outputs);
    }
    const int64_t rows = std::clamp<int64_t>(entries * depths_ * most / 32, 4, 16);
    heights_ = std::max<int64_t>(1, (most + rows - 1) / rows);
    rows_ = (most + heights_ - 1) / heights_;
    count_ = entries * heights_ * depths_;
  }
  int64_t count() const { return count_; }
  int64_t rows() const { return rows_; }  // at most, of a band
  // Places along the first axis follow each other: they share most of their sources.
  Band find(const Region& r, int64_t index) const {
    const int64_t d = index % depths_, h = index / depths_ % heights_;
    const int64_t depth = r.axis[0].outputs * d / depths_, height = r.axis[1].outputs;
    const int64_t first = height * h / heights_;
    const bool none = depth == r.axis[0].outputs * (d + 1) / depths_;
    return {index / depths_ / heights_, depth, first, none ? first : height * (h + 1) / heights_};
  }

 private:
  int64_t depths_ = 1, heights_ = 1, rows_ = 0, count_ = 0;
};

// A line of taps (a place along the first two axes of the filter), as a row reads it: where the source of entry `low` lies,
// or the constant that lies outside.
struct Line {
  const float* at;
  bool outside;
};
inline Line find_line(const Gather& g, const Region& region, const Row& row, const Straight& straight, int64_t index,
                      const float* source, const float* const (&outside)[3]) {
  const auto& [d, h, w] = region.axis;
  const int64_t od = g.lookup[0][d.base[row.depth] + d.shift[index / h.taps]];
  const int64_t oh = g.lookup[1][h.base[row.height] + h.shift[index % h.taps]];
  if (oh < 0 || od < 0) return {outside[oh < 0 ? 1 : 0], true};
  return {source + (row.batch + od + oh + g.lookup[2][straight.low]), false};
}

// The outputs of a row, but for first ... last, a few at a time: f(pixels, how many).
template <class F>
void for_others(const Region& region, const Row& row, int64_t first, int64_t last, int64_t most, Pixels& pixels,
                const F& f) {
  const auto& [d, h, w] = region.axis;
  int64_t count = 0;
  for (int64_t j = first > 0 ? 0 : last; j < w.outputs; j = j + 1 == first ? last : j + 1) {
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
