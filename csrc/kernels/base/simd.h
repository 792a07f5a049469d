// One vector of floats, in the vector extensions that GCC and Clang share.
//
// For the .cpp files in isa/ only, before which the header of an instruction set (also there) is included. That defines
//   CONVLAYERS_LANES    floats in a vector,
//   CONVLAYERS_ROWS, CONVLAYERS_VECTORS   the register tile: rows times vectors of sums, the vectors of weights and one of a
//                       repeated input, in as many registers as the instruction set has,
//   CONVLAYERS_PART     the name of the function that enters some kernels into the instruction set's table.
// Everything sits in an anonymous namespace: code compiled for one instruction set must never be merged by the linker with the
// same code compiled for another.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace {

constexpr int kLanes = CONVLAYERS_LANES;

typedef float Vec __attribute__((vector_size(CONVLAYERS_LANES * 4)));
typedef int32_t Mask __attribute__((vector_size(CONVLAYERS_LANES * 4)));
typedef float UnalignedVec __attribute__((vector_size(CONVLAYERS_LANES * 4), aligned(4), may_alias));

inline Vec load(const float* p) { return *reinterpret_cast<const UnalignedVec*>(p); }
inline void store(float* p, Vec v) { *reinterpret_cast<UnalignedVec*>(p) = v; }
// A store past the caches, to an address that is a multiple of the vector's size; end_stream() before another thread reads.
inline void stream(float* p, Vec v) {
#if defined(__AVX512F__)
  _mm512_stream_ps(p, reinterpret_cast<__m512>(v));
#elif defined(__AVX2__)
  _mm256_stream_ps(p, reinterpret_cast<__m256>(v));
#else
  store(p, v);
#endif
}
inline void end_stream() {
#if defined(__AVX2__)
  _mm_sfence();
#endif
}
inline void clear(float* sums, int64_t count) { std::memset(sums, 0, static_cast<size_t>(count) * sizeof(float)); }
// x - 0 is x, and compilers know it; x + 0 is not (it would lose the sign of a zero).
inline Vec splat(float x) { return x - Vec{}; }

// Lane l is v[index[l]].
inline Vec permute(Vec v, Mask index) {
#if defined(__AVX512F__)
  // Masked by all lanes: GCC 12 warns of the plain one's undefined operand.
  return reinterpret_cast<Vec>(
      _mm512_maskz_permutexvar_ps(0xffff, reinterpret_cast<__m512i>(index), reinterpret_cast<__m512>(v)));
#elif defined(__AVX2__)
  return reinterpret_cast<Vec>(_mm256_permutevar8x32_ps(reinterpret_cast<__m256>(v), reinterpret_cast<__m256i>(index)));
#else
  Vec result;
  for (int i = 0; i < kLanes; ++i) result[i] = v[index[i]];
  return result;
#endif
}

// The first n lanes (0 < n <= kLanes, or more for a whole vector); lanes beyond are zero, memory beyond is not touched.
// A copy of n floats would be a call. For many loads of one n, `Lanes` holds it.
#if defined(__AVX512F__)
static_assert(kLanes == 16);
inline __mmask16 first_lanes(int64_t n) { return static_cast<__mmask16>(n >= kLanes ? 0xffff : (1 << n) - 1); }
inline Vec load_first(const float* p, int64_t n) {
  if (n >= kLanes) return load(p);
  return reinterpret_cast<Vec>(_mm512_maskz_loadu_ps(first_lanes(n), p));
}
struct Lanes {
  __mmask16 mask;
  explicit Lanes(int64_t n) : mask(first_lanes(n)) {}
};
inline Vec load(const float* p, Lanes lanes) { return reinterpret_cast<Vec>(_mm512_maskz_loadu_ps(lanes.mask, p)); }
inline void store_first(float* p, Vec v, int64_t n) {
  if (n >= kLanes) return store(p, v);
  _mm512_mask_storeu_ps(p, first_lanes(n), reinterpret_cast<__m512>(v));
}
#elif defined(__AVX2__)
static_assert(kLanes == 8);
inline __m256i first_lanes(int64_t n) {
  const Mask lane = {0, 1, 2, 3, 4, 5, 6, 7};
  return reinterpret_cast<__m256i>(lane < static_cast<int32_t>(n < kLanes ? n : kLanes));
}
struct Lanes {
  __m256i mask;
  explicit Lanes(int64_t n) : mask(first_lanes(n)) {}
};
inline Vec load(const float* p, Lanes lanes) { return reinterpret_cast<Vec>(_mm256_maskload_ps(p, lanes.mask)); }
inline Vec load_first(const float* p, int64_t n) {
  if (n >= kLanes) return load(p);
  return reinterpret_cast<Vec>(_mm256_maskload_ps(p, first_lanes(n)));
}
// In parts: on Zen 3 a masked store takes two to four times as long (measured).
inline void store_first(float* p, Vec v, int64_t n) {
  if (n >= kLanes) return store(p, v);
  if (n <= 0) return;
  __m128 part = _mm256_castps256_ps128(reinterpret_cast<__m256>(v));
  if (n & 4) {
    _mm_storeu_ps(p, part);
    p += 4;
    part = _mm256_extractf128_ps(reinterpret_cast<__m256>(v), 1);
  }
  if (n & 2) {
    _mm_storel_pi(reinterpret_cast<__m64*>(p), part);
    p += 2;
    part = _mm_movehl_ps(part, part);
  }
  if (n & 1) _mm_store_ss(p, part);
}
#else
inline Vec load_first(const float* p, int64_t n) {
  if (n >= kLanes) return load(p);
  Vec v{};
  for (int64_t i = 0; i < kLanes; ++i)
    if (i < n) v[i] = p[i];
  return v;
}
struct Lanes {
  int64_t count;
  explicit Lanes(int64_t n) : count(n) {}
};
inline Vec load(const float* p, Lanes lanes) { return load_first(p, lanes.count); }
inline void store_first(float* p, Vec v, int64_t n) {
  if (n >= kLanes) return store(p, v);
  for (int64_t i = 0; i < kLanes; ++i)
    if (i < n) p[i] = v[i];
}
#endif

}  // namespace
