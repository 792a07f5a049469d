// Direct convolution of few channels (the first layer of a network): the taps of a line and their channels lie side by
// side, so they are one run of numbers, and outputs of a row read such runs a fixed distance apart. No table of pointers.
#pragma once

#include "kernels/direct/tile_body.h"
#include "kernels/gather/lines_body.h"

namespace {

constexpr int64_t kLineChannels = 16, kLongRow = 16, kFar = int64_t{4} << 20;

// Whether a problem is such a one: one region with every tap, one group, some outputs whose runs hold no border. A 1x1 is one
// where output channels are few or rows are long, and longer where they come from memory: else tiles take their pixels across
// rows. So do taps that a dilation parts.
template <class Problem>
inline bool takes_lines(const Problem& p) {
  const Gather& g = *p.gather;
  const bool single = g.filter_taps == 1;
  if (g.regions != 1 || p.groups > 1 || p.source_channels > kLineChannels * (single ? 2 : 1)) return false;
  const Region& r = g.region[0];
  const int64_t long_row = r.pixels * p.output_channels < kFar ? kLongRow : 2 * kLongRow;
  if (single && r.axis[2].outputs < long_row && p.output_channels > kBlock) return false;
  if (r.axis[2].taps < 1 || !convlayers::has_every_tap(g, r)) return false;
  const Straight straight(g, r);
  const bool one_run = r.axis[2].taps == 1 || straight.tap == p.source_channels;
  return straight.first < straight.last && (one_run || r.axis[2].outputs >= kLongRow);
}

// How the taps are cut into runs: a line of them is one where they lie side by side, each tap where they do not.
struct Runs {
  int64_t taps, each, count;  // of a run; runs of a line; in all
  Runs(const Region& r, const Straight& s, int64_t channels)
      : taps(s.tap == channels ? r.axis[2].taps : 1), each(r.axis[2].taps / taps), count(r.taps / taps) {}
};

// Outputs of a tile, by its vectors: as many sums as registers hold beside the weights.
constexpr int line_rows(int vectors) { return kVectors == 4 ? std::min(24 / vectors, 15) : 12 / vectors; }
constexpr int kLineTile = 4;  // fewer take as long

// Where a run lies for the first straight output, and how far on for the next; on a line outside, all read one.
struct Run {
  const float* at;
  int64_t pixel;
};
inline void find_runs(const Gather& g, const Region& r, const Row& row, const Straight& s, const Runs& runs, const float* source,
                      const float* const (&outside)[3], Run* run) {
  const auto& w = r.axis[2];
  for (int64_t l = 0; l < runs.count / runs.each; ++l) {
    const Line line = find_line(g, r, row, s, l, source, outside);
    for (int64_t t = 0; t < runs.each; ++t)
      *run++ = line.outside ? Run{line.at, 0} : Run{line.at + (w.base[s.first] + w.shift[t] - s.low) * s.step, s.pixel};
  }
}

struct LineTile {
  const Run* line;
  int64_t lines, run;    // runs, and numbers in each
  int64_t first;         // output, counted from the first that is straight
  const float* weight;   // [line][place in the run][vectors]
  const float* bias;
  Activation activation;
  float* output;         // of `first`
  int64_t step, width;   // to the next output; channels of the block
};

// Outputs j, j + 1...
template <int Rows, int Vectors>
void run_line_tile(const LineTile& t, int64_t j) {
  float* const output = t.output + j * t.step;
  for (int r = 0; r < Rows; ++r)
    for (int c = 0; c < Vectors * kLanes; c += kFetch) __builtin_prefetch(output + (r + Rows) * t.step + c, 1);
  Vec sum[Rows][Vectors];
  begin_sums(sum, t.bias, t.width);
  const float* weight = t.weight;
  for (int64_t l = 0; l < t.lines; ++l) {
    const int64_t pixel = t.line[l].pixel;
    // A pointer for three rows each: an address has room for one register and twice it.
    const float* at[(Rows + 2) / 3];
    for (int r = 0; r < Rows; r += 3) at[r / 3] = t.line[l].at + (t.first + j + r) * pixel;
    // What the next tile reads, where pixels are more than a line of the cache apart: too far for the processor to foresee.
    if (pixel > 16)
      for (int64_t i = Rows * pixel; i < 2 * Rows * pixel; i += 16) __builtin_prefetch(at[0] + i);
    for (int64_t i = 0; i < t.run; ++i, weight += Vectors * kLanes) {
      Vec w[Vectors];
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) w[v] = load(weight + v * kLanes);
#pragma GCC unroll 24
      for (int r = 0; r < Rows; ++r) {
        const Vec x = splat(at[r / 3][r % 3 * pixel]);
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v) sum[r][v] += x * w[v];
      }
#pragma GCC unroll 8
      for (auto& a : at) ++a;
    }
  }
  finish_sums(sum, t.activation, [&](int r) { return output + r * t.step; }, t.width);
}

// `count` outputs side by side. The last tile may begin before the one before it ends, and then writes the same again.
template <int Vectors>
void run_line_tiles_of(const LineTile& t, int64_t count) {
  constexpr int kMost = line_rows(Vectors);
  const auto cover = [&](int64_t rows, void (*tile)(const LineTile&, int64_t)) {
    for (int64_t j = 0; j < count; j += rows) tile(t, std::min(j, count - rows));
  };
  if (count >= kMost)
    cover(kMost, run_line_tile<kMost, Vectors>);
  else if (count >= kLineTile)
    cover(kLineTile, run_line_tile<kLineTile, Vectors>);
  else
    cover(1, run_line_tile<1, Vectors>);
}

void run_line_tiles(const LineTile& t, int64_t count) {
  switch ((t.width + kLanes - 1) / kLanes) {
    case 1: return run_line_tiles_of<1>(t, count);
    case 2: return run_line_tiles_of<2>(t, count);
#if CONVLAYERS_VECTORS > 2
    case 3: return run_line_tiles_of<3>(t, count);
    default: return run_line_tiles_of<4>(t, count);
#endif
  }
}

}  // namespace
