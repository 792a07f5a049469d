// One vector of floats, in the vector extensions that GCC and Clang share.
//
// Included by the files under isa/ only, which define CONVLAYERS_LANES first. Everything sits in an anonymous namespace:
// code compiled for one instruction set must never be merged by the linker with the same code compiled for another.
#pragma once

#include <cstdint>
#include <cstring>

namespace {

constexpr int kLanes = CONVLAYERS_LANES;

typedef float Vec __attribute__((vector_size(CONVLAYERS_LANES * 4)));
typedef int32_t Mask __attribute__((vector_size(CONVLAYERS_LANES * 4)));
typedef float UnalignedVec __attribute__((vector_size(CONVLAYERS_LANES * 4), aligned(4), may_alias));

inline Vec load(const float* p) { return *reinterpret_cast<const UnalignedVec*>(p); }
inline void store(float* p, Vec v) { *reinterpret_cast<UnalignedVec*>(p) = v; }
// x - 0 is x, and compilers know it; x + 0 is not (it would lose the sign of a zero).
inline Vec splat(float x) { return x - Vec{}; }

// The first n lanes (0 < n <= kLanes); lanes beyond are zero, memory beyond is not touched.
inline Vec load_first(const float* p, int64_t n) {
  if (n >= kLanes) return load(p);
  Vec v{};
  std::memcpy(&v, p, static_cast<size_t>(n) * sizeof(float));
  return v;
}
inline void store_first(float* p, Vec v, int64_t n) {
  if (n >= kLanes) return store(p, v);
  std::memcpy(p, &v, static_cast<size_t>(n) * sizeof(float));
}

}  // namespace
