// The transforms of minimal filtering along one axis, for P points: 0, pairs +-p, infinity. Along a pair only the signs of
// odd powers differ, so each pair is an even and an odd part. P = 1 is no transform.
#pragma once

#include "kernels/base/simd.h"
#include "kernels/winograd/winograd.h"

namespace {

// Coefficients, from the points: with N(x) = x (x^2 - p1^2) (x^2 - p2^2)..., B' has those of N(x) / (x - f) for a point f
// and of N(x) for infinity, G the powers of f over N'(f), A' the powers of f.
template <int P>
struct Points {
  static constexpr int kPairs = (P - 2) / 2;
  double pair[kPairs + 1] = {};
  float zero[kPairs + 1] = {};              // of x^(2k) in N(x) / x
  float even[kPairs][kPairs] = {};          // of x^(2k + 2) in N(x) / (x - p); the odd part is p times that of x^(2k + 1)
  float odd[kPairs][kPairs] = {};
  double slope[kPairs] = {}, slope_zero = 1;  // N'(p), N'(0)

  constexpr Points() {
    if (P == 6) pair[0] = 0.70710678118654752440, pair[1] = 1.41421356237309504880;
    if (P == 8) pair[0] = 0.5, pair[1] = 1, pair[2] = 2;
    double product[kPairs + 1] = {1};
    for (int i = 0; i < kPairs; ++i) times(product, pair[i]);
    for (int k = 0; k <= kPairs; ++k) zero[k] = static_cast<float>(product[k]);
    slope_zero = product[0];
    for (int i = 0; i < kPairs; ++i) {
      double others[kPairs + 1] = {1};
      slope[i] = 2 * pair[i] * pair[i];
      for (int j = 0; j < kPairs; ++j)
        if (j != i) times(others, pair[j]), slope[i] *= pair[i] * pair[i] - pair[j] * pair[j];
      for (int k = 0; k < kPairs; ++k) {
        even[i][k] = static_cast<float>(others[k]);
        odd[i][k] = static_cast<float>(pair[i] * others[k]);
      }
    }
  }
  // A polynomial in x^2, times x^2 - p^2.
  static constexpr void times(double (&polynomial)[kPairs + 1], double p) {
    for (int k = kPairs; k >= 0; --k) polynomial[k] = (k > 0 ? polynomial[k - 1] : 0) - p * p * polynomial[k];
  }
  constexpr double power(int i, int k) const { return k == 0 ? 1 : pair[i] * power(i, k - 1); }
  constexpr float tap(int i, int k) const { return static_cast<float>(power(i, k) / slope[i]); }
  constexpr float output(int i, int k) const { return static_cast<float>(power(i, k)); }
};
template <int P>
constexpr Points<P> kPoints;

// B' d, in place.
template <int P>
inline __attribute__((always_inline)) void transform_sources(Vec (&d)[P]) {
  if constexpr (P > 1) {
    constexpr int kPairs = Points<P>::kPairs;
    Vec even[kPairs], odd[kPairs], zero = d[P - 2], infinity = d[P - 1];
#pragma GCC unroll 8
    for (int i = 0; i < kPairs; ++i) {
      even[i] = d[P - 2];
      odd[i] = kPoints<P>.odd[i][kPairs - 1] * d[P - 3];
#pragma GCC unroll 8
      for (int k = 0; k + 1 < kPairs; ++k) {
        even[i] += kPoints<P>.even[i][k] * d[2 * k + 2];
        odd[i] += kPoints<P>.odd[i][k] * d[2 * k + 1];
      }
    }
#pragma GCC unroll 8
    for (int k = 0; k < kPairs; ++k) {
      zero += kPoints<P>.zero[k] * d[2 * k];
      infinity += kPoints<P>.zero[k] * d[2 * k + 1];
    }
    d[0] = zero;
    d[P - 1] = infinity;
#pragma GCC unroll 8
    for (int i = 0; i < kPairs; ++i) {
      d[2 * i + 1] = even[i] + odd[i];
      d[2 * i + 2] = even[i] - odd[i];
    }
  }
}

// G w, for K taps.
template <int P, int K>
inline __attribute__((always_inline)) void transform_taps(const Vec (&w)[K], Vec (&u)[P]) {
  if constexpr (P == 1) {
    u[0] = w[0];
  } else {
    u[0] = static_cast<float>(1 / kPoints<P>.slope_zero) * w[0];
    u[P - 1] = w[K - 1];
#pragma GCC unroll 8
    for (int i = 0; i < Points<P>::kPairs; ++i) {
      Vec even = kPoints<P>.tap(i, 0) * w[0], odd = kPoints<P>.tap(i, 1) * w[1];
#pragma GCC unroll 8
      for (int k = 2; k < K; k += 2) even += kPoints<P>.tap(i, k) * w[k];
#pragma GCC unroll 8
      for (int k = 3; k < K; k += 2) odd += kPoints<P>.tap(i, k) * w[k];
      u[2 * i + 1] = even + odd;
      u[2 * i + 2] = even - odd;
    }
  }
}

// A' m, for M outputs.
template <int P, int M>
inline __attribute__((always_inline)) void transform_products(const Vec (&m)[P], Vec (&y)[M]) {
  if constexpr (P == 1) {
    y[0] = m[0];
  } else {
    constexpr int kPairs = Points<P>::kPairs;
    Vec sum[kPairs], difference[kPairs];
#pragma GCC unroll 8
    for (int i = 0; i < kPairs; ++i) {
      sum[i] = m[2 * i + 1] + m[2 * i + 2];
      difference[i] = m[2 * i + 1] - m[2 * i + 2];
    }
#pragma GCC unroll 8
    for (int k = 0; k < M; ++k) {
      const Vec(&part)[kPairs] = k % 2 ? difference : sum;
      y[k] = k == 0 ? m[0] + part[0] : k == M - 1 ? m[P - 1] + kPoints<P>.output(0, k) * part[0]
                                                  : kPoints<P>.output(0, k) * part[0];
#pragma GCC unroll 8
      for (int i = 1; i < kPairs; ++i) y[k] += kPoints<P>.output(i, k) * part[i];
    }
  }
}

}  // namespace
