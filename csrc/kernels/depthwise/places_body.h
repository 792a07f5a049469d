// The vectors of a problem in groups, and how a lane finds its group's channels.
#pragma once

#include <type_traits>

#include "kernels/base/simd.h"
#include "kernels/depthwise/vectors.h"
#include "kernels/gather/walk_body.h"

namespace {

// One vector: where its channels begin on both sides, and how many they are.
struct Place {
  int64_t source, source_width, output, width;
};

// All of a problem's, found once, by steps: divisions take longer than some tiles.
class Places {
 public:
  Places(int64_t groups, int64_t in, int64_t out) : Places(GroupVectors(groups, in, out, kLanes)) {}
  int64_t count() const { return count_; }
  const Place& operator[](int64_t v) const { return place_.get()[v]; }
  Mask lane() const { return lane_; }  // where each lane's group begins in a vector of sources

 private:
  explicit Places(const GroupVectors& g) : count_(g.count()), place_(count_) {
    Place* place = place_.get();
    for (int64_t group = 0; group < g.groups; group += g.together) {
      const int64_t some = std::min(g.together, g.groups - group);
      for (int64_t row = 0; row < some * g.out; row += kLanes)
        *place++ = {group * g.in, some * g.in, group * g.out + row, std::min<int64_t>(some * g.out - row, kLanes)};
    }
    for (int64_t l = 0; l < kLanes; ++l) lane_[l] = static_cast<int32_t>(l < g.together * g.out ? l / g.out * g.in : 0);
    if (g.together == 1) lane_ = Mask{};
  }
  int64_t count_;
  Scratch<Place> place_;
  Mask lane_;
};

// How a vector reads channel `step` of its groups. Own: a lane's group is one channel, its own. Whole: all lanes have one.
template <bool Own, bool Whole = false>
struct Reader {
  int64_t channel;  // of the pixel, where the load begins
  Lanes lanes;

  Reader(const Place& at, int64_t step) : channel(at.source + from(step)), lanes(at.source_width - from(step)) {}
  Vec operator()(const float* pixel) const {
    if constexpr (Whole) return load(pixel);
    return load(pixel, lanes);
  }
  // A group of more channels than a vector's is read a vector at a time.
  static int64_t from(int64_t step) { return Own ? 0 : step & -int64_t{kLanes}; }
  // What was read, to the lanes that it is for.
  static Mask index(const Places& places, int64_t step) {
    return places.lane() + static_cast<int32_t>(step - from(step));
  }
  static Vec spread(Vec v, Mask index) {
    if constexpr (Own) return v;
    return permute(v, index);
  }
};

// Calls f(how many, reader, first step) for all steps, Together at a time and then singly: one load serves several.
template <bool Own, bool Whole, int Together, class F>
inline __attribute__((always_inline)) void for_steps(const Place& at, int64_t steps, const F& f) {
  if constexpr (Own) {
    f(std::integral_constant<int, 1>(), Reader<Own, Whole>(at, 0), 0);
  } else {
    for (int64_t from = 0; from < steps; from += kLanes) {
      const Reader<Own> read(at, from);
      const int64_t end = std::min<int64_t>(from + kLanes, steps);
      int64_t j = from;
      for (; j + Together <= end; j += Together) f(std::integral_constant<int, Together>(), read, j);
      if constexpr (Together > 1)
        for (; j < end; ++j) f(std::integral_constant<int, 1>(), read, j);
    }
  }
}

}  // namespace
