#include "kernels/pool/indexed.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace convlayers {
namespace {

// Channels that lie side by side are walked together: more of them where there are tasks enough.
int64_t channel_block(const IndexedProblem& p) {
  if (p.to_strides.channel != 1) return 1;
  return p.batch * ((p.channels + 63) / 64) >= 8 ? 64 : 16;
}
int64_t channel_blocks(const IndexedProblem& p) { return (p.channels + channel_block(p) - 1) / channel_block(p); }

// Calls element(channel, number in the plane) for each element of the task's planes of indices; the batch's offsets are
// in `view`, a problem of one sample.
struct Sample {
  const int64_t* index;
  const float* from;
  float* to;
  int64_t first, last;

  Sample(const IndexedProblem& p, int64_t task) {
    const int64_t n = task / channel_blocks(p);
    first = task % channel_blocks(p) * channel_block(p);
    last = std::min(first + channel_block(p), p.channels);
    index = p.index + n * p.index_strides.batch;
    from = p.from + n * p.from_strides.batch;
    to = p.to + n * p.to_strides.batch;
  }
};

template <bool Accumulate>
bool put(const IndexedProblem& p, int64_t task) {
  const Sample s(p, task);
  // Elements are cleared shortly before the first index that names one of them, while they are near.
  int64_t cleared = 0;
  const auto clear = [&](int64_t end) {
    for (; cleared < end; ++cleared)
      for (int64_t c = s.first; c < s.last; ++c) s.to[cleared * p.to_strides.pixel + c * p.to_strides.channel] = 0.f;
  };
  bool inside = true;
  for (int64_t k = 0; k < p.indices; ++k)
    for (int64_t c = s.first; c < s.last; ++c) {
      const int64_t i = s.index[k * p.index_strides.pixel + c * p.index_strides.channel];
      if (i < 0 || i >= p.plane) {
        inside = inside && Accumulate && i == -1;
        continue;
      }
      if (i >= cleared) clear(std::min(i + 16, p.plane));
      const float value = s.from[k * p.from_strides.pixel + c * p.from_strides.channel];
      float& to = s.to[i * p.to_strides.pixel + c * p.to_strides.channel];
      to = Accumulate ? to + value : value;
    }
  clear(p.plane);
  return inside;
}

// Towards zero; what no int64 holds comes to its ends' halves, whose difference one holds.
int64_t truncated(float x) {
  constexpr float kEnd = 0x1p62f;
  return static_cast<int64_t>(std::clamp(x, -kEnd, kEnd));
}

}  // namespace

int64_t indexed_tasks(const IndexedProblem& p) { return p.batch * channel_blocks(p); }
bool scatter(const IndexedProblem& p, int64_t task) { return put<true>(p, task); }
bool unpool(const IndexedProblem& p, int64_t task) { return put<false>(p, task); }

bool gather(const IndexedProblem& p, int64_t task) {
  const Sample s(p, task);
  bool inside = true;
  for (int64_t k = 0; k < p.indices; ++k)
    for (int64_t c = s.first; c < s.last; ++c) {
      const int64_t i = s.index[k * p.index_strides.pixel + c * p.index_strides.channel];
      const bool valid = i >= 0 && i < p.plane;
      inside = inside && (valid || i == -1);
      s.to[k * p.to_strides.pixel + c * p.to_strides.channel] =
          valid ? s.from[i * p.from_strides.pixel + c * p.from_strides.channel] : 0.f;
    }
  return inside;
}

bool fractional_max_pool(const FractionalProblem& p, int64_t task) {
  const int64_t n = task / p.channels, c = task % p.channels;
  std::vector<int64_t> start[3];
  for (int a = 0; a < 3; ++a) {
    const int64_t last = p.input[a] - p.kernel[a];
    start[a].assign(static_cast<size_t>(p.output[a]), last);
    if (p.axis_of_sample[a] < 0) continue;
    const float u = p.sample[task * p.axes + p.axis_of_sample[a]];
    if (!std::isfinite(u)) return false;
    const float step = static_cast<float>(last) / static_cast<float>(p.output[a] - 1);
    for (int64_t o = 0; o + 1 < p.output[a]; ++o) {
      const int64_t at = truncated((static_cast<float>(o) + u) * step) - truncated(u * step);
      start[a][static_cast<size_t>(o)] = std::clamp<int64_t>(at, 0, last);  // rounding may reach beyond
    }
  }
  const float* from = p.from + n * p.from_strides.batch + c * p.from_strides.channel;
  float* to = p.to + n * p.to_strides.batch + c * p.to_strides.channel;
  int64_t* index = p.index + n * p.index_strides.batch + c * p.index_strides.channel;
  for (const int64_t d0 : start[0])
    for (const int64_t h0 : start[1])
      for (const int64_t w0 : start[2]) {
        float best = -INFINITY;
        int64_t where = (d0 * p.input[1] + h0) * p.input[2] + w0;
        for (int64_t d = d0; d < d0 + p.kernel[0]; ++d)
          for (int64_t h = h0; h < h0 + p.kernel[1]; ++h)
            for (int64_t w = w0; w < w0 + p.kernel[2]; ++w) {
              const int64_t i = (d * p.input[1] + h) * p.input[2] + w;
              const float x = from[i * p.from_strides.pixel];
              if (!(x > best || std::isnan(x))) continue;
              best = x;
              where = i;
            }
        *to = best;
        *index = where;
        to += p.to_strides.pixel;
        index += p.index_strides.pixel;
      }
  return true;
}

}  // namespace convlayers
