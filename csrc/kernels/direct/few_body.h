// Direct convolution to very few output channels (the gradient of a first layer's input, a map of one channel): a lane is a
// source channel here, and a sum's lanes are added at its end.
#pragma once

#include <utility>

#include "kernels/direct/tile_body.h"

namespace {

constexpr int64_t kFew = 4;

inline bool has_few_outputs(const DirectProblem& p) {
  return p.groups == 1 && p.output_channels <= kFew && p.source_channels >= 2 * kLanes;
}

// Each block of 2 * Half lanes of two vectors, its halves added: the first one's blocks, then the second one's.
template <int Half, int... L>
inline Vec add_halves(Vec a, Vec b, std::integer_sequence<int, L...>) {
  constexpr auto lane = [](int l) { return l / (kLanes / 2) * kLanes + l % (kLanes / 2) / Half * 2 * Half + l % Half; };
  return __builtin_shufflevector(a, b, lane(L)...) + __builtin_shufflevector(a, b, lane(L) + Half...);
}
// The sums of the lanes of as many vectors as one has lanes.
template <int Half = kLanes / 2>
inline Vec sums_of_lanes(const Vec (&v)[2 * Half]) {
  Vec sum[Half];
#pragma GCC unroll 16
  for (int i = 0; i < Half; ++i) sum[i] = add_halves<Half>(v[2 * i], v[2 * i + 1], std::make_integer_sequence<int, kLanes>());
  if constexpr (Half > 1)
    return sums_of_lanes<Half / 2>(sum);
  else
    return sum[0];
}

// Output channels o ... o + Outputs of a tile of pixels; weight is [filter tap][output channel][source channel, rounded up].
template <int Rows, int Outputs>
void run_few_tile(const DirectProblem& p, const Reads& reads, const float* weight, int64_t padded, int64_t o,
                  float* const* output) {
  constexpr int kSums = Rows * Outputs;
  Vec sum[Rows][Outputs] = {};
  const int64_t channels = p.source_channels, whole = channels / kLanes * kLanes;
  const auto add = [&](const float* const* at, const float* w, int64_t c, int64_t lanes) __attribute__((always_inline)) {
    Vec tap[Outputs];
#pragma GCC unroll 4
    for (int i = 0; i < Outputs; ++i) tap[i] = load(w + i * padded + c);
#pragma GCC unroll 8
    for (int row = 0; row < Rows; ++row) {
      const Vec x = load_first(at[row] + c, lanes);
#pragma GCC unroll 4
      for (int i = 0; i < Outputs; ++i) sum[row][i] += x * tap[i];
    }
  };
  for (int64_t k = 0; k < reads.taps; ++k) {
    const float* at[Rows];
    for (int row = 0; row < Rows; ++row) at[row] = reads.source[reads.tap[k].at + row];
    const float* w = weight + (reads.tap[k].filter * p.output_channels + o) * padded;
    for (int64_t c = 0; c < whole; c += kLanes) add(at, w, c, kLanes);
    if (whole < channels) add(at, w, whole, channels - whole);
  }
  float y[kSums + kLanes];  // [row][output]
#pragma GCC unroll 8
  for (int first = 0; first < kSums; first += kLanes) {
    Vec part[kLanes], bias{};
#pragma GCC unroll 16
    for (int l = 0; l < kLanes; ++l) part[l] = first + l < kSums ? sum[(first + l) / Outputs % Rows][(first + l) % Outputs] : Vec{};
    if (p.bias)
      for (int l = 0; l < kLanes; ++l) bias[l] = p.bias[o + (first + l) % Outputs];
    store(y + first, activate(sums_of_lanes(part) + bias, p.activation));
  }
#pragma GCC unroll 8
  for (int row = 0; row < Rows; ++row)
#pragma GCC unroll 4
    for (int i = 0; i < Outputs; ++i) output[row][o + i] = y[row * Outputs + i];
}

using FewTile = void (*)(const DirectProblem&, const Reads&, const float*, int64_t, int64_t, float* const*);
template <int Outputs>
constexpr FewTile kFewTile[6] = {run_few_tile<1, Outputs>, run_few_tile<2, Outputs>, run_few_tile<3, Outputs>,
                                 run_few_tile<4, Outputs>, run_few_tile<5, Outputs>, run_few_tile<6, Outputs>};

int64_t few_tasks(const DirectProblem& p) { return chunks(*p.gather, kRows); }

void few(const DirectProblem& p, int64_t begin, int64_t end) {
  const Gather& g = *p.gather;
  const int64_t padded = rounded(p.source_channels), outputs = p.output_channels;
  const int64_t width = rounded(outputs);  // of a packed row
  const Scratch<float> weight(g.filter_taps * outputs * padded);
  std::fill(weight.get(), weight.get() + g.filter_taps * outputs * padded, 0.f);
  for (int64_t t = 0; t < g.filter_taps; ++t)
    for (int64_t c = 0; c < p.source_channels; ++c)
      for (int64_t o = 0; o < outputs; ++o)
        weight.get()[(t * outputs + o) * padded + c] = p.weight[(t * p.source_channels + c) * width + o];
  constexpr int64_t kAhead = 2;  // tiles
  Tiles tiles(g);
  for (int64_t task = begin; task < end; ++task) {
    const Chunk chunk = find_chunk(g, task, kRows);
    Pixels pixels(g, chunk);
    tiles.find(g, *chunk.region, pixels, chunk.count, p.source, p.outside);
    for (const Tiles::Entry& e : tiles) {
      const int64_t row = e.rows - 1;
      // Few products a number: the processor waits for it unless it was fetched.
      if (const Tiles::Entry* next = &e + kAhead; next < tiles.end() && next->reads.taps > 0)
        for (int64_t r = 0; r < next->rows; ++r)
          for (int64_t c = 0; c < p.source_channels; c += kFetch)
            __builtin_prefetch(next->reads.source[next->reads.tap[next->reads.taps / 2].at + r] + c);
      float* output[kRows];
      for (int64_t i = 0; i < e.rows; ++i) output[i] = p.output + pixels.output[e.first + i];
      int64_t o = 0;
      if constexpr (kVectors > 2)
        for (; o + 3 <= outputs; o += outputs - o == 4 ? 4 : 3)
          outputs - o == 4 ? kFewTile<4>[row](p, e.reads, weight.get(), padded, o, output)
                           : kFewTile<3>[row](p, e.reads, weight.get(), padded, o, output);
      for (; o + 2 <= outputs; o += 2) kFewTile<2>[row](p, e.reads, weight.get(), padded, o, output);
      if (o < outputs) kFewTile<1>[row](p, e.reads, weight.get(), padded, o, output);
    }
  }
}

}  // namespace
