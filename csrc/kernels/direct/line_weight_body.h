// The gradient of the weights of a direct convolution of few channels, whose runs of taps lie a fixed distance apart.
#pragma once

#include "kernels/direct/border_body.h"
#include "kernels/direct/channel_sums_body.h"

namespace {

// What the next row reads, its gradients and the line of taps that this row does not read: fetched while the sums of this one are
// made, a part of it in each pass over the row.
struct NextRow {
  const float *source = nullptr, *gradient = nullptr;
  int64_t source_lines = 0, gradient_lines = 0;
  bool any() const { return source_lines + gradient_lines > 0; }
  // Where a pass begins, and by how many floats it goes on at each of its outputs.
  struct Part {
    const float* at = nullptr;
    int64_t step = 0;
  };
  Part part(int64_t pass, int64_t passes, int64_t outputs) const {
    const int64_t lines = source_lines + gradient_lines, first = lines * pass / passes, all = passes * outputs;
    return {first < source_lines ? source + first * kFetch : gradient + (first - source_lines) * kFetch,
            std::min((lines * kFetch + all - 1) / all, kFetch)};
  }
};

// The gradients of a row's straight outputs, for a block of channels, and where the sums go: result[place][channel], where place i
// of line l is l * run + i.
struct RowSums {
  const Run* line;
  int64_t lines, run;  // runs, and numbers in each
  const float* gradient;
  int64_t step, count;  // floats to the next output; outputs
  int64_t width;        // channels of the block
  float* result;
  int64_t stride;  // floats from a place's sums to the next
};

// Rows places by vectors of the gradient. Together: the places lie side by side. Fetches: there is a next row.
template <int Rows, int Vectors, bool Together, bool Fetches>
void sum_places(const RowSums& t, const Run* place, float* result, NextRow::Part ahead) {
  Vec sum[Rows][Vectors] = {};
  const float *x[Rows], *gradient = t.gradient;
  for (int r = 0; r < Rows; ++r) x[r] = place[r].at;
  constexpr int kLast = (Vectors - 1) * kLanes;
  const Lanes last(t.width - kLast);
  for (int64_t j = 0; j < t.count; ++j, gradient += t.step) {
    if (Fetches) __builtin_prefetch(ahead.at + j * ahead.step, 0, 2);
    Vec g[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v + 1 < Vectors; ++v) g[v] = load(gradient + v * kLanes);
    g[Vectors - 1] = load(gradient + kLast, last);
#pragma GCC unroll 24
    for (int r = 0; r < Rows; ++r) {
      const Vec s = splat(Together ? x[0][r] : *x[r]);
      if (!Together) x[r] += place[r].pixel;
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sum[r][v] += s * g[v];
    }
    if (Together) x[0] += place[0].pixel;
  }
  store_sums(sum, result, t.stride, true);
}

// All places; what the next row reads is fetched in the passes of block `block` of so many.
template <int Vectors>
void sum_row(const RowSums& t, const NextRow& next, int64_t block, int64_t block_count) {
  constexpr int kMost = kVectors == 4 ? (Vectors == 1 ? 12 : Vectors == 2 ? 9 : 6) : Vectors == 1 ? 8 : 6;
  // Places of one line at a time, but of several lines where a run is too short to fill the registers.
  const bool together = 2 * t.run > kMost;
  const int64_t places = together ? t.run : t.lines * t.run, tiles = (places + kMost - 1) / kMost;
  Run place[kMost];
  const int64_t groups = together ? t.lines : 1;
  for (int64_t l = 0; l < groups; ++l)
    for (int64_t i = 0; i < tiles; ++i) {
      const int64_t first = l * t.run + places * i / tiles, rows = l * t.run + places * (i + 1) / tiles - first;
      for (int64_t r = 0; r < rows; ++r) {
        const Run& from = t.line[(first + r) / t.run];
        place[r] = {from.at + (first + r) % t.run, from.pixel};
      }
      float* to = t.result + first * t.stride;
      NextRow::Part ahead;
      if (next.any()) ahead = next.part((block * groups + l) * tiles + i, block_count * groups * tiles, t.count);
      const auto sum = [&]<int... R>(std::integer_sequence<int, R...>) {
        const auto one = [&]<int Rows>(std::integral_constant<int, Rows>) {
          if (!together)
            sum_places<Rows, Vectors, false, false>(t, place, to, ahead);
          else if (next.any())
            sum_places<Rows, Vectors, true, true>(t, place, to, ahead);
          else
            sum_places<Rows, Vectors, true, false>(t, place, to, ahead);
          return true;
        };
        (void)((rows == R + 1 && one(std::integral_constant<int, R + 1>{})) || ...);
      };
      sum(std::make_integer_sequence<int, kMost>{});
    }
}

// Of all channels.
void sum_rows(RowSums t, int64_t channels, const NextRow& next) {
  const float* const gradient = t.gradient;
  float* const result = t.result;
  for (int64_t block = 0; block < blocks(channels); ++block) {
    t.gradient = gradient + block * kBlock;
    t.result = result + block * kBlock;
    t.width = block_width(channels, block);
    switch ((t.width + kLanes - 1) / kLanes) {
      case 1: sum_row<1>(t, next, block, blocks(channels)); break;
      case 2: sum_row<2>(t, next, block, blocks(channels)); break;
#if CONVLAYERS_VECTORS > 2
      case 3: sum_row<3>(t, next, block, blocks(channels)); break;
      default: sum_row<4>(t, next, block, blocks(channels));
#endif
    }
  }
}

// Tasks: segments of the bands, each with sums of its own.
void line_weight(const DirectWeightProblem& p, int64_t begin, int64_t end) {
  const Gather& g = *p.gather;
  const Region& r = g.region[0];
  const Straight straight(g, r);
  const auto& w = r.axis[2];
  const Runs runs(r, straight, p.source_channels);
  const int64_t run = runs.taps * p.source_channels, places = r.taps * p.source_channels;
  const int64_t stride = rounded(p.output_channels);
  const Bands bands(g);
  const Scratch<Run> line(runs.count);
  const int64_t step = w.outputs > 1 ? w.output[1] - w.output[0] : 0, straights = straight.last - straight.first;
  BorderRuns border(p, straight);
  const Scratch<float> gradients(border.most() * stride);
  const auto added = [&](int64_t index, int64_t output) {
    std::copy_n(p.gradient + output, p.output_channels, gradients.get() + index * stride);
  };
  const auto sum_border = [&](float* result) {
    const Run at = border.run();
    sum_rows({&at, 1, at.pixel, gradients.get(), stride, border.count(), 0, result, stride}, p.output_channels, {});
  };
  for (int64_t segment = begin; segment < end; ++segment) {
    float* result = p.result + segment * places * stride;
    std::memset(result, 0, static_cast<size_t>(places * stride) * sizeof(float));
    float* channel_sums = p.channel_sums ? p.channel_sums + segment * p.output_channels : nullptr;
    if (channel_sums) clear(channel_sums, p.output_channels);
    const int64_t count = bands.count();
    for (int64_t index = count * segment / p.segments; index < count * (segment + 1) / p.segments; ++index) {
      const Band band = bands.find(r, index);
      for (int64_t h = band.first; h < band.last; ++h) {
        const Row row(g, r, band.batch, band.depth, h);
        find_runs(g, r, row, straight, runs, p.source, p.outside, line.get());
        NextRow next;
        if (h + 1 < band.last && worth_fetching(p, r)) {
          const Row below(g, r, band.batch, band.depth, h + 1);
          next.source = find_line(g, r, below, straight, runs.count / runs.each - 1, p.source, p.outside).at;
          next.source_lines = (straights * straight.pixel + kFetch - 1) / kFetch;
          next.gradient = p.gradient + below.output + w.output[straight.first];
          next.gradient_lines = (straights * step + kFetch - 1) / kFetch;
        }
        const float* gradient = p.gradient + row.output + w.output[straight.first];
        sum_rows({line.get(), runs.count, run, gradient, step, straights, 0, result, stride}, p.output_channels, next);
        border.add(row, added, [&] { sum_border(result); });
        if (channel_sums) add_channels(p.gradient + row.output, w.output, w.outputs, p.output_channels, channel_sums);
      }
    }
    border.end([&] { sum_border(result); });
  }
}

}  // namespace
