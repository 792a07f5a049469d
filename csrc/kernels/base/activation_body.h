// Activations on one vector. Polynomials are of our own fitting or classical (named where used); each is within a few
// units in the last place of the function, checked against float64 by tests/test_activations.py.
#pragma once

#include <cmath>

#include "kernels/base/activation.h"
#include "kernels/base/simd.h"

namespace {

using convlayers::Activation;
using convlayers::ActivationCode;

inline Vec select(Mask m, Vec a, Vec b) { return m ? a : b; }
// NaN in x stays NaN: comparisons with it are false and x is the last alternative.
inline Vec clamp(Vec x, float low, float high) {
  x = select(x < low, splat(low), x);
  return select(x > high, splat(high), x);
}

// exp(x): x = n ln2 + r, |r| <= ln2 / 2, Taylor's polynomial of degree 7 in r (truncation below 2^-27).
inline Vec exponential(Vec x) {
  const Vec y = clamp(x, -87.3f, 88.7f);
  const Vec magic = splat(12582912.f);  // 1.5 * 2^23: adding it rounds to an integer
  const Vec n = (y * 1.44269504f + magic) - magic;
  const Vec r = (y - n * 0.693359375f) + n * 2.12194440e-4f;
  Vec p = splat(1.f / 5040);
  p = p * r + 1.f / 720;
  p = p * r + 1.f / 120;
  p = p * r + 1.f / 24;
  p = p * r + 1.f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.f;
  p = p * r + 1.f;
  // 2^n in two steps, since n may be 128.
  const Mask whole = __builtin_convertvector(n, Mask);
  const Mask half = whole >> 1;
  const Mask one = ((half + 127) << 23), two = ((whole - half + 127) << 23);
  Vec a, b;
  std::memcpy(&a, &one, sizeof a);
  std::memcpy(&b, &two, sizeof b);
  Vec result = p * a * b;
  result = select(x > 88.7228394f, splat(INFINITY), result);
  result = select(x < -87.3f, splat(0.f), result);
  return select(x != x, x, result);
}

// tanh: an odd polynomial (continued fraction cut at x^2 / 11) near zero, 1 - 2 / (exp(2|x|) + 1) elsewhere.
inline Vec hyperbolic_tangent(Vec x) {
  const Vec size = select(x < 0.f, -x, x);
  const Vec square = x * x;
  const Vec near = x / (1.f + square / (3.f + square / (5.f + square / (7.f + square / 9.f))));
  const Vec far = 1.f - 2.f / (exponential(2.f * size) + 1.f);
  return select(size < 0.625f, near, select(x < 0.f, -far, far));
}

inline Vec logistic(Vec x) { return 1.f / (1.f + exponential(-x)); }

// exp(x) - 1 for x <= 0, by tanh: expm1(x) = 2 t / (1 - t), t = tanh(x / 2), which keeps its digits near zero.
inline Vec exponential_minus_one(Vec x) {
  const Vec t = hyperbolic_tangent(0.5f * x);
  return 2.f * t / (1.f - t);
}

template <class F>
inline Vec by_lane(Vec x, F f) {
  for (int i = 0; i < kLanes; ++i) x[i] = f(x[i]);
  return x;
}

__attribute__((noinline)) Vec transcendental(Vec x, Activation a) {
  switch (a.code) {
    case ActivationCode::kTanh:
      return hyperbolic_tangent(x);
    case ActivationCode::kSigmoid:
      return logistic(x);
    case ActivationCode::kSilu:
      return x / (1.f + exponential(-x));
    case ActivationCode::kGelu:
      return by_lane(x, [](float v) { return 0.5f * v * std::erfc(-v * 0.70710678f); });
    case ActivationCode::kGeluTanh:
      // (1 + tanh(u)) / 2 as 1 / (1 + exp(-2u)), which keeps its digits where the tanh nears -1.
      return x / (1.f + exponential(-1.59576912f * (x + 0.044715f * x * x * x)));
    case ActivationCode::kElu:
      return select(x > 0.f, x, a.alpha * exponential_minus_one(x));
    case ActivationCode::kSoftplus:
      return by_lane(x, [](float v) { return v > 20.f ? v : std::log1p(std::exp(v)); });
    case ActivationCode::kMish:
      return by_lane(x, [](float v) { return v * std::tanh(v > 20.f ? v : std::log1p(std::exp(v))); });
    default:
      return x;
  }
}

inline Vec activate(Vec x, Activation a) {
  switch (a.code) {
    case ActivationCode::kIdentity:
      return x;
    case ActivationCode::kRelu:
      return select(x < 0.f, splat(0.f), x);
    case ActivationCode::kLeakyRelu:
      return select(x > 0.f, x, x * a.alpha);
    case ActivationCode::kHardtanh:
      return clamp(x, a.alpha, a.beta);
    case ActivationCode::kHardswish:
      return x * (clamp(x + 3.f, 0.f, 6.f) / 6.f);  // in this order, large x does not overflow
    case ActivationCode::kHardsigmoid:
      return clamp(x + 3.f, 0.f, 6.f) / 6.f;
    default:
      return transcendental(x, a);
  }
}

}  // namespace
