// 1x1 convolutions of very few channels, in and out: a lane is an output channel of one of several pixels that lie side by side.
// Its sum is made in the same order as elsewhere.
#pragma once

#include "kernels/direct/tile_body.h"

namespace {

class PackedPixels {
 public:
  // `step`: floats from a pixel's output to the next.
  PackedPixels(const DirectProblem& p, int64_t step)
      : from_(p.source_channels), to_(p.output_channels), pixels_(kLanes / to_), activation_(p.activation) {
    // The sources of as many pixels as a vector has outputs for are to come in one vector.
    fit_ = p.gather->filter_taps == 1 && to_ <= kLanes / 2 && from_ <= to_ && step == to_;
    if (!fit_) return;
    for (int64_t l = 0; l < kLanes; ++l) {
      const int64_t pixel = l / to_, o = l % to_;
      const bool used = pixel < pixels_;
      bias_[l] = used && p.bias ? p.bias[o] : 0.f;
      for (int64_t c = 0; c < from_; ++c) {
        weight_[c][l] = used ? p.weight[c * kLanes + o] : 0.f;
        place_[c][l] = used ? static_cast<int32_t>(pixel * from_ + c) : 0;
      }
    }
  }
  // Whether they can be packed, the sources of two neighbours being so many floats apart.
  bool take(int64_t pixel) const { return fit_ && pixel == from_; }
  // `count` pixels side by side. What a vector writes beyond its pixels, the next one writes again.
  void run(const float* source, float* output, int64_t count) const {
    for (; count > 0; count -= pixels_, source += pixels_ * from_, output += pixels_ * to_) {
      const Vec x = load_first(source, std::min(count, pixels_) * from_);
      Vec sum = bias_;
      for (int64_t c = 0; c < from_; ++c) sum += permute(x, place_[c]) * weight_[c];
      store_first(output, activate(sum, activation_), count * to_);
    }
  }

 private:
  int64_t from_, to_, pixels_;
  bool fit_;
  Activation activation_;
  Vec bias_, weight_[kLanes / 2];
  Mask place_[kLanes / 2];
};

}  // namespace
