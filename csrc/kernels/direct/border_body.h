// The outputs of a row whose runs of taps meet a border.
#pragma once

#include "kernels/direct/line_body.h"

namespace {

// All that each of them reads is copied to one run, those of several rows side by side: then they are like others.
class BorderRuns {
 public:
  template <class Problem>
  BorderRuns(const Problem& p, const Straight& straight)
      : gather_(*p.gather), region_(*p.gather->region), straight_(straight), source_(p.source), outside_(p.outside),
        channels_(p.source_channels), places_(region_.taps * channels_),
        most_(std::clamp<int64_t>(kFloats / places_, 1, kMost)), pieces_(region_.axis[2].taps), copy_(most_ * places_) {}

  static constexpr int64_t kMost = 24;
  int64_t most() const { return most_; }
  int64_t count() const { return count_; }
  // The first of them; the next lie as far apart as each is long.
  Run run() const { return {copy_.get(), places_}; }

  // Takes those of a row, calls added(index, output) for each, and full() where there is room for no more: they begin anew then.
  template <class Added, class Full>
  void add(const Row& row, const Added& added, const Full& full) {
    const int64_t ends[][2] = {{0, straight_.first}, {straight_.last, region_.axis[2].outputs}};
    for (const auto& [first, last] : ends)
      for (int64_t j = first; j < last; ++j) {
        copy(row, j);
        added(count_, row.output + region_.axis[2].output[j]);
        if (++count_ == most_) end(full);
      }
  }
  // Calls full() for those that are left.
  template <class Full>
  void end(const Full& full) {
    if (count_ > 0) full();
    count_ = 0;
  }

 private:
  static constexpr int64_t kFloats = 16 * 1024;

  // Taps of a line that lie side by side, or all outside, are copied together.
  struct Piece {
    int64_t floats, offset;  // from where the line begins, or negative: outside
  };

  void copy(const Row& row, int64_t j) {
    const auto& [d, h, w] = region_.axis;
    int64_t pieces = 0, end = 0;
    for (int64_t t = 0; t < w.taps; ++t) {
      const int64_t offset = gather_.lookup[2][w.base[j] + w.shift[t]];
      const bool goes_on = pieces > 0 && (offset < 0 ? pieces_.get()[pieces - 1].offset < 0 : offset == end);
      if (!goes_on) pieces_.get()[pieces++] = {0, offset};
      pieces_.get()[pieces - 1].floats += channels_;
      end = offset + channels_;
    }
    float* to = copy_.get() + count_ * places_;
    for (int64_t l = 0; l < d.taps * h.taps; ++l) {
      const int64_t od = gather_.lookup[0][d.base[row.depth] + d.shift[l / h.taps]];
      const int64_t oh = gather_.lookup[1][h.base[row.height] + h.shift[l % h.taps]];
      const bool inside = od >= 0 && oh >= 0;
      for (int64_t i = 0; i < pieces; ++i) {
        const auto [floats, offset] = pieces_.get()[i];
        const float* from = offset < 0 ? outside_[2]
                            : inside   ? source_ + (row.batch + od + oh + offset)
                                       : outside_[oh < 0 ? 1 : 0];
        to = std::copy_n(from, floats, to);
      }
    }
  }

  const Gather& gather_;
  const Region& region_;
  const Straight& straight_;
  const float* source_;
  const float* const (&outside_)[3];
  int64_t channels_, places_, most_, count_ = 0;
  Scratch<Piece> pieces_;
  Scratch<float> copy_;
};

}  // namespace
