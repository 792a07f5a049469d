// Batch normalisation of rows: channels last, a lane is a channel. Formulas: norm.h.
#pragma once

#include <algorithm>
#include <type_traits>

#include "kernels/base/activation_grad_body.h"
#include "kernels/norm/norm.h"

namespace {

using convlayers::BatchNorm;
using convlayers::BatchNormGradProblem;
using convlayers::BatchNormProblem;
using convlayers::RowSplit;

constexpr int64_t kNormBlock = 128;    // rows that are summed in float
constexpr int64_t kNormChannels = 512;  // channels whose sums are held at a time

int64_t batch_norm_tasks(const BatchNormProblem& p) { return RowSplit(p).tasks; }
int64_t batch_norm_grad_tasks(const BatchNormGradProblem& p) { return RowSplit(p).tasks; }

// Calls f(channel, lanes) for each vector of channels begin to end; `lanes` is a constant but for the last.
template <class F>
inline void for_vectors(int64_t begin, int64_t end, const F& f) {
  int64_t c = begin;
  for (; c + kLanes <= end; c += kLanes) f(c, std::integral_constant<int64_t, kLanes>{});
  if (c < end) f(c, end - c);
}

// Calls f(row, rows) for rows begin to end; `rows` is a constant. Long rows are walked a few together, which share what
// is known of their channels; short ones one by one, since several of them in one page confuse the prefetcher.
template <class F>
inline void for_rows(const BatchNorm& p, int64_t begin, int64_t end, const F& f) {
  constexpr int64_t kLong = 1024;
  int64_t r = begin;
  if (p.channels >= kLong)
    for (; r + 4 <= end; r += 4) f(r, std::integral_constant<int, 4>{});
  for (; r < end; ++r) f(r, std::integral_constant<int, 1>{});
}

// Mean and sum of squared differences of the task's rows.
void batch_norm_statistics(const BatchNormProblem& p, int64_t begin, int64_t end) {
  const RowSplit split(p);
  const int64_t channels = p.channels;
  float sum[kNormChannels], squares[kNormChannels];
  for (int64_t task = begin; task < end; ++task) {
    double* mean = p.partial + task * 2 * channels;
    double* all = mean + channels;
    const int64_t first = split.begin(task), last = split.begin(task + 1);
    for (int64_t row = first; row < last; row += kNormBlock) {
      const int64_t rows = std::min(kNormBlock, last - row);
      const float* pivot = p.input + row * channels;
      for (int64_t low = 0; low < channels; low += kNormChannels) {
        const int64_t high = std::min(low + kNormChannels, channels);
        std::memset(sum, 0, sizeof sum);
        std::memset(squares, 0, sizeof squares);
        for_rows(p, 0, rows, [&](int64_t r, auto count) {
          const float* x = pivot + r * channels;
          for_vectors(low, high, [&](int64_t c, auto lanes) {
            const Vec around = load_first(pivot + c, lanes);
            Vec s{}, q{};
            for (int i = 0; i < count; ++i) {
              const Vec d = load_first(x + i * channels + c, lanes) - around;
              s += d;
              q += d * d;
            }
            store_first(sum + c - low, load_first(sum + c - low, lanes) + s, lanes);
            store_first(squares + c - low, load_first(squares + c - low, lanes) + q, lanes);
          });
        });
        const auto before = static_cast<double>(row - first), here = static_cast<double>(rows);
        const double share = here / (before + here);
        for (int64_t c = low; c < high; ++c) {
          const double shift = static_cast<double>(sum[c - low]) / here;
          const double block = static_cast<double>(squares[c - low]) - shift * static_cast<double>(sum[c - low]);
          if (row == first) mean[c] = all[c] = 0;
          const double delta = static_cast<double>(pivot[c]) + shift - mean[c];
          mean[c] += delta * share;
          all[c] += std::max(block, 0.0) + delta * delta * (before * share);
        }
      }
    }
  }
}

// Stores a result: all lanes of it are aligned where it goes past the caches.
inline void put(const BatchNorm& p, float* to, Vec v, int64_t lanes) {
  if (p.stream && lanes == kLanes)
    stream(to, v);
  else
    store_first(to, v, lanes);
}

// Tasks and their rows go backwards: what the statistics read last is still near.
template <class F>
inline void for_blocks_backwards(const BatchNorm& p, int64_t begin, int64_t end, const F& f) {
  const RowSplit split(p);
  for (int64_t task = end; task-- > begin;) {
    const int64_t first = split.begin(task);
    for (int64_t high = split.begin(task + 1); high > first; high -= kNormBlock)
      f(std::max(high - kNormBlock, first), high);
  }
  if (p.stream) end_stream();
}

template <bool Residual, class Act>
inline void apply_rows(const BatchNormProblem& p, int64_t begin, int64_t end, const Act& act) {
  const int64_t channels = p.channels;
  const float *pivot = p.coefficients, *scale = pivot + channels, *shift = scale + channels;
  for_rows(p, begin, end, [&](int64_t row, auto count) {
    for_vectors(0, channels, [&](int64_t c, auto lanes) {
      const Vec around = load_first(pivot + c, lanes), by = load_first(scale + c, lanes);
      const Vec plus = load_first(shift + c, lanes);
      for (int i = 0; i < count; ++i) {
        const int64_t at = (row + i) * channels + c;
        Vec z = (load_first(p.input + at, lanes) - around) * by + plus;
        if constexpr (Residual) z += load_first(p.residual + at, lanes);
        put(p, p.output + at, activate(z, act()), lanes);
      }
    });
  });
}

void batch_norm_apply(const BatchNormProblem& p, int64_t begin, int64_t end) {
  for_activation(p.activation, [&](const auto& act) {
    for_blocks_backwards(p, begin, end, [&](int64_t low, int64_t high) {
      if (p.residual)
        apply_rows<true>(p, low, high, act);
      else
        apply_rows<false>(p, low, high, act);
    });
  });
}

// The gradient of z at x, read or computed as g was before.
template <bool Output, class Act>
inline Vec grad_of_z(const BatchNormGradProblem& p, int64_t at, Vec distance, Vec scale, Vec shift, const auto& lanes,
                     const Act& act) {
  const Vec grad = load_first(p.grad + at, lanes);
  if constexpr (Output) return activation_grad(grad, load_first(p.output + at, lanes), act());
  return activation_grad(grad, activate(distance * scale + shift, act()), act());
}

template <bool Output, bool Residual, class Act>
inline void grad_sums_of_rows(const BatchNormGradProblem& p, int64_t begin, int64_t end, int64_t low, int64_t high,
                              float* sum, float* product, const Act& act) {
  const int64_t channels = p.channels;
  const float *pivot = p.coefficients, *scale = pivot + channels, *shift = scale + channels;
  for_rows(p, begin, end, [&](int64_t row, auto count) {
    for_vectors(low, high, [&](int64_t c, auto lanes) {
      const Vec around = load_first(pivot + c, lanes), by = load_first(scale + c, lanes);
      const Vec plus = load_first(shift + c, lanes);
      Vec s{}, q{};
      for (int i = 0; i < count; ++i) {
        const int64_t at = (row + i) * channels + c;
        const Vec distance = load_first(p.input + at, lanes) - around;
        const Vec g = grad_of_z<Output>(p, at, distance, by, plus, lanes, act);
        if constexpr (Residual) store_first(p.grad_residual + at, g, lanes);
        s += g;
        q += g * distance;
      }
      store_first(sum + c - low, load_first(sum + c - low, lanes) + s, lanes);
      store_first(product + c - low, load_first(product + c - low, lanes) + q, lanes);
    });
  });
}

void batch_norm_grad_sums(const BatchNormGradProblem& p, int64_t begin, int64_t end) {
  const RowSplit split(p);
  const int64_t channels = p.channels;
  float sum[kNormChannels], product[kNormChannels];
  for (int64_t task = begin; task < end; ++task) {
    double* sums = p.partial + task * 2 * channels;
    double* products = sums + channels;
    std::fill(sums, sums + 2 * channels, 0.0);
    const int64_t first = split.begin(task), last = split.begin(task + 1);
    for (int64_t row = first; row < last; row += kNormBlock)
      for (int64_t low = 0; low < channels; low += kNormChannels) {
        const int64_t stop = std::min(row + kNormBlock, last), high = std::min(low + kNormChannels, channels);
        std::memset(sum, 0, sizeof sum);
        std::memset(product, 0, sizeof product);
        for_activation(p.activation, [&](const auto& act) {
          if (p.grad_residual && p.output)
            grad_sums_of_rows<true, true>(p, row, stop, low, high, sum, product, act);
          else if (p.output)
            grad_sums_of_rows<true, false>(p, row, stop, low, high, sum, product, act);
          else
            grad_sums_of_rows<false, false>(p, row, stop, low, high, sum, product, act);
        });
        for (int64_t c = low; c < high; ++c) {
          sums[c] += static_cast<double>(sum[c - low]);
          products[c] += static_cast<double>(product[c - low]);
        }
      }
  }
}

// Where the gradient of the residual was stored, that is g.
template <bool Output, bool Residual, class Act>
inline void grad_apply_rows(const BatchNormGradProblem& p, int64_t begin, int64_t end, const Act& act) {
  const int64_t channels = p.channels;
  const float *pivot = p.coefficients, *scale = pivot + channels, *shift = scale + channels;
  const float *slope = shift + channels, *offset = slope + channels;
  for_rows(p, begin, end, [&](int64_t row, auto count) {
    for_vectors(0, channels, [&](int64_t c, auto lanes) {
      const Vec around = load_first(pivot + c, lanes), by = load_first(scale + c, lanes);
      const Vec plus = load_first(shift + c, lanes);
      const Vec steep = load_first(slope + c, lanes), off = load_first(offset + c, lanes);
      for (int i = 0; i < count; ++i) {
        const int64_t at = (row + i) * channels + c;
        const Vec distance = load_first(p.input + at, lanes) - around;
        Vec g;
        if constexpr (Residual)
          g = load_first(p.grad_residual + at, lanes);
        else
          g = grad_of_z<Output>(p, at, distance, by, plus, lanes, act);
        put(p, p.grad_input + at, g * by - (distance * steep + off), lanes);
      }
    });
  });
}

void batch_norm_grad_apply(const BatchNormGradProblem& p, int64_t begin, int64_t end) {
  for_activation(p.activation, [&](const auto& act) {
    for_blocks_backwards(p, begin, end, [&](int64_t low, int64_t high) {
      if (p.grad_residual)
        grad_apply_rows<false, true>(p, low, high, act);
      else if (p.output)
        grad_apply_rows<true, false>(p, low, high, act);
      else
        grad_apply_rows<false, false>(p, low, high, act);
    });
  });
}

}  // namespace
