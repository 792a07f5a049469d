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
  }
  int64_t count_;
  Scratch<Place> place_;
  Mask lane_;
};

// Which lanes of a vector read the same: none, each has a channel of its own (depthwise); those of a group, where a vector is of
// several; or all, where it is of one.
enum class Share { kNone, kGroup, kAll };

// How a vector reads channel `step` of its groups. Whole: all lanes have a channel.
template <Share Shared, bool Whole = false>
struct Reader {
  int64_t channel;  // of a pixel, the first of the vector's groups
  Lanes lanes;

  explicit Reader(const Place& at) : channel(at.source), lanes(at.source_width) {}
  // What is read of a pixel for some steps: a vector, which each step permutes; or nothing yet, since it costs a load less to read
  // one channel into all lanes.
  auto operator()(const float* pixel) const {
    if constexpr (Shared == Share::kAll)
      return pixel;
    else if constexpr (Whole)
      return load(pixel);
    else
      return load(pixel, lanes);
  }
  // What was read, to the lanes that it is for.
  using Index = std::conditional_t<Shared == Share::kAll, int64_t, Mask>;
  static Index index(const Places& places, int64_t step) {
    if constexpr (Shared == Share::kAll)
      return step;
    else
      return places.lane() + static_cast<int32_t>(step);
  }
  static Vec spread(Vec v, Mask index) {
    if constexpr (Shared == Share::kNone) return v;
    return permute(v, index);
  }
  static Vec spread(const float* pixel, int64_t index) { return splat(pixel[index]); }
};

// Calls f(how many, first step) for all steps, Together at a time and then singly: one load serves several.
template <int Together, class F>
inline __attribute__((always_inline)) void for_steps(int64_t steps, const F& f) {
  int64_t j = 0;
  for (; j + Together <= steps; j += Together) f(std::integral_constant<int, Together>(), j);
  if constexpr (Together > 1)
    for (; j < steps; ++j) f(std::integral_constant<int, 1>(), j);
}

}  // namespace
