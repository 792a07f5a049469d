// Direct convolution to very few output channels (the gradient of a first layer's input, a map of one channel): a lane is a
// source channel here, and a sum's lanes are added at its end.
#pragma once

#include <utility>

#include "kernels/direct/tile_body.h"

namespace {

constexpr int64_t kFew = 4;

// Of few products, adding up the lanes would take longest (measured).
inline bool has_few_outputs(const DirectProblem& p) {
  constexpr int64_t kChannels = 16;
  return p.groups == 1 && p.output_channels <= kFew && p.source_channels >= kChannels &&
         p.source_channels * p.gather->filter_taps >= 2 * kLanes;
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

// Output channels o ... o + Outputs of a tile of pixels. Weights are [block of source channels][filter tap][output channel][source
// channel of the block].
template <int Rows, int Outputs>
void run_few_tile(const DirectProblem& p, const Reads& reads, int64_t o, float* const* output) {
  constexpr int kSums = Rows * Outputs;
  Vec sum[Rows][Outputs] = {};
  const int64_t channels = p.source_channels, each = p.gather->filter_taps * p.output_channels;
  // Source channel c of those of a block of so many.
  const auto add = [&](const float* const* at, int64_t c, int64_t lanes, const float* w, int64_t width)
      __attribute__((always_inline)) {
    Vec tap[Outputs];
#pragma GCC unroll 4
    for (int i = 0; i < Outputs; ++i) tap[i] = load(w + i * width);
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
    const int64_t row = reads.tap[k].filter * p.output_channels + o;
    int64_t c = 0;
    for (; c + kBlock <= channels; c += kBlock) {
      const float* w = p.weight + c * each + row * kBlock;
#pragma GCC unroll 4
      for (int64_t v = 0; v < kBlock; v += kLanes) add(at, c + v, kLanes, w + v, kBlock);
    }
    const int64_t width = rounded(channels - c);
    const float* w = p.weight + c * each + row * width;
    for (; c < channels; c += kLanes, w += kLanes) add(at, c, channels - c, w, width);
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

using FewTile = void (*)(const DirectProblem&, const Reads&, int64_t, float* const*);
template <int Outputs>
constexpr FewTile kFewTile[6] = {run_few_tile<1, Outputs>, run_few_tile<2, Outputs>, run_few_tile<3, Outputs>,
                                 run_few_tile<4, Outputs>, run_few_tile<5, Outputs>, run_few_tile<6, Outputs>};

int64_t few_tasks(const DirectProblem& p) { return chunks(*p.gather, kRows); }

void few(const DirectProblem& p, int64_t begin, int64_t end) {
  const Gather& g = *p.gather;
  const int64_t outputs = p.output_channels;
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
          outputs - o == 4 ? kFewTile<4>[row](p, e.reads, o, output) : kFewTile<3>[row](p, e.reads, o, output);
      for (; o + 2 <= outputs; o += 2) kFewTile<2>[row](p, e.reads, o, output);
      if (o < outputs) kFewTile<1>[row](p, e.reads, o, output);
    }
  }
}

}  // namespace
