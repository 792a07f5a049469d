// Walks the pixels of a gather: where each pixel's output lies, and where each tap of it reads.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <new>

#include "kernels/gather/gather.h"

namespace {

using convlayers::Gather;
using convlayers::Region;

// Memory for a task. Not a std::vector: its code, compiled here for one instruction set, could be linked into others.
template <class T>
class Scratch {
 public:
  explicit Scratch(int64_t count)
      : data_(static_cast<T*>(std::aligned_alloc(64, (static_cast<size_t>(count) * sizeof(T) + 127) / 64 * 64))) {
    if (!data_) throw std::bad_alloc();
  }
  ~Scratch() { std::free(data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* get() const { return data_; }

 private:
  T* data_;
};

// Pixels are handled in chunks. A chunk's table of source pointers is to stay in the first-level cache, beside its data.
constexpr int64_t kChunk = 128;
constexpr int64_t kTableBytes = 32 * 1024;

// Pixels a chunk of this region: `most_pixels` or fewer, a multiple of `multiple`, and much the same in all of them, so that
// the last is no rest.
inline int64_t chunk_pixels(const Region& r, int64_t multiple, int64_t most_pixels = kChunk) {
  const int64_t fit = kTableBytes / static_cast<int64_t>(sizeof(float*)) / std::max<int64_t>(r.taps, 1);
  const int64_t most = std::max(multiple, std::min(most_pixels, fit) / multiple * multiple);
  const int64_t count = std::max<int64_t>((r.pixels + most - 1) / most, 1);
  return std::max(multiple, (r.pixels + count * multiple - 1) / (count * multiple) * multiple);
}
inline int64_t chunks(const Region& r, int64_t multiple, int64_t most_pixels = kChunk) {
  const int64_t pixels = chunk_pixels(r, multiple, most_pixels);
  return (r.pixels + pixels - 1) / pixels;
}
inline int64_t chunks(const Gather& g, int64_t multiple, int64_t most_pixels = kChunk) {
  int64_t total = 0;
  for (int64_t i = 0; i < g.regions; ++i) total += chunks(g.region[i], multiple, most_pixels);
  return total;
}

// Source pointers of the largest chunk.
inline int64_t table_size(const Gather& g, int64_t multiple) {
  int64_t taps = 0;
  for (int64_t i = 0; i < g.regions; ++i) taps = std::max(taps, g.region[i].taps);
  return std::max(kTableBytes / static_cast<int64_t>(sizeof(float*)), taps * multiple);
}

// Chunk number `index` of a gather: its region, its first pixel and how many. Regions take turns, a slice of each at a time:
// the phases of a stride cost differently, and interleave in memory.
constexpr int64_t kSlices = 64;
struct Chunk {
  const Region* region;
  int64_t first, count;
};
inline Chunk find_chunk(const Gather& g, int64_t index, int64_t multiple, int64_t most_pixels = kChunk) {
  const int64_t slices = g.regions > 1 ? kSlices : 1;
  const auto before = [&](int64_t slice) {
    int64_t total = 0;
    for (int64_t i = 0; i < g.regions; ++i) total += chunks(g.region[i], multiple, most_pixels) * slice / slices;
    return total;
  };
  int64_t slice = 0;
  for (int64_t step = slices / 2; step > 0; step /= 2)
    if (before(slice + step) <= index) slice += step;
  index -= before(slice);
  const Region* r = g.region;
  for (;; ++r) {
    const int64_t n = chunks(*r, multiple, most_pixels);
    const int64_t first = n * slice / slices, last = n * (slice + 1) / slices;
    if (index < last - first) {
      index += first;
      break;
    }
    index -= last - first;
  }
  const int64_t pixels = chunk_pixels(*r, multiple, most_pixels), first = index * pixels;
  return {r, first, std::min(pixels, r->pixels - first)};
}

// The pixels of a chunk: offsets of their outputs, what their taps look up, and which of these lie inside.
struct Pixels {
  int64_t output[kChunk], batch[kChunk], base[3][kChunk], kind[kChunk];

  Pixels() = default;
  Pixels(const Gather& g, const Chunk& chunk) {
    const auto& [d, h, w] = chunk.region->axis;
    int64_t rest = chunk.first;
    int64_t jw = rest % w.outputs;
    rest /= w.outputs;
    int64_t jh = rest % h.outputs;
    rest /= h.outputs;
    int64_t jd = rest % d.outputs, n = rest / d.outputs;
    for (int64_t i = 0; i < chunk.count; ++i) {
      output[i] = n * g.output_strides.batch + d.output[jd] + h.output[jh] + w.output[jw];
      batch[i] = n * g.source_strides.batch;
      base[0][i] = d.base[jd];
      base[1][i] = h.base[jh];
      base[2][i] = w.base[jw];
      if (chunk.region->leaves_out) kind[i] = d.kind[jd] + h.kind[jh] + w.kind[jw];
      if (++jw < w.outputs) continue;
      jw = 0;
      if (++jh < h.outputs) continue;
      jh = 0;
      if (++jd < d.outputs) continue;
      jd = 0;
      ++n;
    }
  }
  void swap(int64_t i, int64_t j) {
    for (int64_t* of : {output, batch, base[0], base[1], base[2], kind}) std::swap(of[i], of[j]);
  }
};

// Puts pixels that have the same taps inside next to each other, the kinds as they come; most stay where they are.
inline void group_kinds(Pixels& p, int64_t count) {
  for (int64_t first = 0; first < count;) {
    const int64_t kind = p.kind[first];
    for (int64_t last = count - 1;; p.swap(first, last)) {
      while (first < count && p.kind[first] == kind) ++first;
      while (last > first && p.kind[last] != kind) --last;
      if (last <= first) break;
    }
  }
}

// source[tap * tap_stride + index(i)]: where each tap of pixel first + i reads, for `count` pixels. A source outside along
// several axes takes the constant of the last of them.
template <class Index>
inline void fill_sources(const Gather& g, const Region& region, const Pixels& p, int64_t first, int64_t count,
                         const float* input, const float* const (&outside)[3], const float** source, int64_t tap_stride,
                         Index index) {
  const auto& [d, h, w] = region.axis;
  int64_t plane[kChunk];
  const float* beyond[kChunk];
  for (int64_t td = 0; td < d.taps; ++td)
    for (int64_t th = 0; th < h.taps; ++th) {
      for (int64_t i = 0; i < count; ++i) {
        const int64_t j = first + i;
        const int64_t od = g.lookup[0][p.base[0][j] + d.shift[td]], oh = g.lookup[1][p.base[1][j] + h.shift[th]];
        plane[i] = (od < 0 || oh < 0) ? convlayers::kOutside : p.batch[j] + od + oh;
        beyond[i] = oh < 0 ? outside[1] : outside[0];
      }
      for (int64_t tw = 0; tw < w.taps; ++tw, source += tap_stride)
        for (int64_t i = 0; i < count; ++i) {
          const int64_t ow = g.lookup[2][p.base[2][first + i] + w.shift[tw]];
          source[index(i)] = ow < 0 ? outside[2] : plane[i] < 0 ? beyond[i] : input + (plane[i] + ow);
        }
    }
}

// The same, source[tap * count + i], and null where a tap may be left out.
inline void find_sources(const Gather& g, const Region& region, const Pixels& p, int64_t first, int64_t count,
                         const float* input, const float* const (&outside)[3], const float** source) {
  constexpr const float* kNone[3] = {};
  fill_sources(g, region, p, first, count, input, region.leaves_out ? kNone : outside, source, count,
               [](int64_t i) { return i; });
}

// What the middle tap of pixel i reads: where its neighbourhood lies.
inline const float* middle_source(const Gather& g, const Region& region, const Pixels& p, int64_t i, const float* input) {
  int64_t at = p.batch[i];
  for (int a = 0; a < 3; ++a) {
    const auto& axis = region.axis[a];
    if (axis.taps == 0) return input;
    at += std::max<int64_t>(g.lookup[a][p.base[a][i] + axis.shift[axis.taps / 2]], 0);
  }
  return input + at;
}

}  // namespace
