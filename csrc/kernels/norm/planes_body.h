// Batch normalisation of planes: contiguous, a task is a channel. Formulas: norm.h.
#pragma once

#include "kernels/norm/rows_body.h"

namespace {

constexpr int64_t kNormPiece = 4096;  // elements that are summed in float

int64_t batch_norm_plane_tasks(const BatchNormProblem& p) { return p.channels; }
int64_t batch_norm_grad_plane_tasks(const BatchNormGradProblem& p) { return p.channels; }

// The lanes beyond the first n are zero.
inline Vec keep_first(Vec v, int64_t n) {
  Mask lane;
  for (int i = 0; i < kLanes; ++i) lane[i] = i;
  return select(lane < static_cast<int32_t>(n), v, Vec{});
}

inline double total(const Vec (&sums)[4]) {
  const Vec sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  double result = 0;
  for (int i = 0; i < kLanes; ++i) result += static_cast<double>(sum[i]);
  return result;
}

// Calls start(at) where a block of the channel's elements begins, term(at, lanes, sum, product), which adds to two sums,
// for each of its vectors, and finish(count, sum, product) where it ends.
template <class Start, class Term, class Finish>
inline void sum_blocks(const BatchNorm& p, int64_t channel, const Start& start, const Term& term, const Finish& finish) {
  constexpr std::integral_constant<int64_t, kLanes> whole{};
  Vec sum[4]{}, product[4]{};
  int64_t count = 0;
  for (int64_t n = 0; n < p.batch; ++n)
    for (int64_t first = 0; first < p.pixels; first += kNormPiece) {
      const int64_t at = (n * p.channels + channel) * p.pixels + first, size = std::min(p.pixels - first, kNormPiece);
      if (count == 0) start(at);
      int64_t i = 0;
      for (; i + 4 * kLanes <= size; i += 4 * kLanes)
#pragma GCC unroll 4
        for (int v = 0; v < 4; ++v) term(at + i + v * kLanes, whole, sum[v], product[v]);
      for_vectors(i, size, [&](int64_t j, auto lanes) { term(at + j, lanes, sum[0], product[0]); });
      count += size;
      if (count < kNormPiece && n + 1 < p.batch) continue;
      finish(count, total(sum), total(product));
      count = 0;
      for (int v = 0; v < 4; ++v) sum[v] = product[v] = Vec{};
    }
}

// Calls f(at, lanes) for each vector of the channel, the last plane first: it is still near. Whole vectors are aligned
// where they are streamed; elsewhere the last of a plane overlaps the one before it, which costs less than a masked one.
template <class F>
inline void for_planes_backwards(const BatchNorm& p, int64_t channel, const F& f) {
  for (int64_t n = p.batch; n-- > 0;) {
    const int64_t at = (n * p.channels + channel) * p.pixels;
    if (!p.stream && p.pixels >= kLanes) {
      constexpr std::integral_constant<int64_t, kLanes> whole{};
      for (int64_t i = 0; i < p.pixels; i += kLanes) f(at + std::min(i, p.pixels - kLanes), whole);
      continue;
    }
    const int64_t head = std::min((kLanes - at % kLanes) % kLanes, p.pixels);
    if (head > 0) f(at, head);
    for_vectors(at + head, at + p.pixels, f);
  }
  if (p.stream) end_stream();
}

inline void plane_statistics(const BatchNormProblem& p, int64_t channel) {
  double mean = 0, squares = 0, before = 0;
  float pivot = 0;
  sum_blocks(
      p, channel, [&](int64_t at) { pivot = p.input[at]; },
      [&](int64_t at, auto lanes, Vec& s, Vec& q) {
        Vec d = load_first(p.input + at, lanes) - pivot;
        if (lanes < kLanes) d = keep_first(d, lanes);
        s += d;
        q += d * d;
      },
      [&](int64_t elements, double sum, double square) {
        const auto here = static_cast<double>(elements);
        const double shift = sum / here, delta = static_cast<double>(pivot) + shift - mean;
        const double share = here / (before + here);
        mean += delta * share;
        squares += std::max(square - shift * sum, 0.0) + delta * delta * (before * share);
        before += here;
      });
  p.mean[channel] = mean;
  p.variance[channel] = squares / before;
}

void batch_norm_planes(const BatchNormProblem& p, int64_t begin, int64_t end) {
  for (int64_t channel = begin; channel < end; ++channel) {
    if (p.training) plane_statistics(p, channel);
    const auto [pivot, scale, shift] = convlayers::affine(p, channel);
    const Vec around = splat(pivot), by = splat(scale), plus = splat(shift);
    for_activation(p.activation, [&](const auto& act) {
      if (p.residual)
        for_planes_backwards(p, channel, [&](int64_t at, auto lanes) {
          const Vec z = (load_first(p.input + at, lanes) - around) * by + plus + load_first(p.residual + at, lanes);
          put(p, p.output + at, activate(z, act()), lanes);
        });
      else
        for_planes_backwards(p, channel, [&](int64_t at, auto lanes) {
          const Vec z = (load_first(p.input + at, lanes) - around) * by + plus;
          put(p, p.output + at, activate(z, act()), lanes);
        });
    });
  }
}

template <bool Output, bool Residual, class Act>
inline void grad_plane(const BatchNormGradProblem& p, int64_t channel, const Act& act) {
  const auto [pivot, scale, shift] = convlayers::affine(p, channel);
  const Vec around = splat(pivot), by = splat(scale), plus = splat(shift);
  double sum = 0, product = 0;
  sum_blocks(
      p, channel, [](int64_t) {},
      [&](int64_t at, auto lanes, Vec& s, Vec& q) {
        const Vec distance = load_first(p.input + at, lanes) - around;
        const Vec g = grad_of_z<Output>(p, at, distance, by, plus, lanes, act);  // lanes beyond: gradient 0
        if constexpr (Residual) store_first(p.grad_residual + at, g, lanes);
        s += g;
        q += g * distance;
      },
      [&](int64_t, double s, double q) {
        sum += s;
        product += q;
      });
  const auto [slope, offset] = convlayers::finish_grad(p, channel, sum, product);
  const Vec steep = splat(slope), off = splat(offset);
  for_planes_backwards(p, channel, [&](int64_t at, auto lanes) {
    const Vec distance = load_first(p.input + at, lanes) - around;
    Vec g;
    if constexpr (Residual)
      g = load_first(p.grad_residual + at, lanes);
    else
      g = grad_of_z<Output>(p, at, distance, by, plus, lanes, act);
    put(p, p.grad_input + at, g * by - (distance * steep + off), lanes);
  });
}

void batch_norm_grad_planes(const BatchNormGradProblem& p, int64_t begin, int64_t end) {
  for (int64_t channel = begin; channel < end; ++channel)
    for_activation(p.activation, [&](const auto& act) {
      if (p.grad_residual)
        grad_plane<true, true>(p, channel, act);
      else if (p.output)
        grad_plane<true, false>(p, channel, act);
      else
        grad_plane<false, false>(p, channel, act);
    });
}

}  // namespace
