// Direct convolution of few channels: rows of outputs whose runs of taps lie a fixed distance apart, and those beside a border.
#pragma once

#include "kernels/direct/border_body.h"
#include "kernels/direct/packed_body.h"

namespace {

// `count` outputs side by side, of all channels.
void run_lines(const DirectProblem& p, LineTile t, int64_t count) {
  float* const output = t.output;
  for (int64_t block = 0; block < blocks(p.output_channels); ++block) {
    const int64_t channel = block * kBlock;
    t.weight = p.weight + channel * t.lines * t.run;
    t.bias = p.bias ? p.bias + channel : nullptr;
    t.output = output + channel;
    t.width = block_width(p.output_channels, block);
    run_line_tiles(t, count);
  }
}

// Tasks: bands of rows.
int64_t line_tasks(const DirectProblem& p) { return Bands(*p.gather).count(); }

void line_convolution(const DirectProblem& p, int64_t begin, int64_t end) {
  const Gather& g = *p.gather;
  const Region& r = g.region[0];
  const Straight straight(g, r);
  const auto& w = r.axis[2];
  const Runs runs(r, straight, p.source_channels);
  const int64_t lines = runs.count, run = runs.taps * p.source_channels;
  const Bands bands(g);
  const Scratch<Run> line(lines);
  BorderRuns border(p, straight);
  // They are written to the side first.
  const int64_t whole = rounded(p.output_channels);
  const Scratch<float> sums(border.most() * whole);
  float* output_of[BorderRuns::kMost];
  const auto added = [&](int64_t index, int64_t output) {
    output_of[index] = p.output + output;
    for (int64_t c = 0; c < p.output_channels; c += kFetch) __builtin_prefetch(output_of[index] + c, 1);
  };
  const auto run_border = [&] {
    const Run at = border.run();
    run_lines(p, {&at, 1, at.pixel, 0, nullptr, nullptr, p.activation, sums.get(), whole, 0}, border.count());
    for (int64_t i = 0; i < border.count(); ++i) std::copy_n(sums.get() + i * whole, p.output_channels, output_of[i]);
  };
  // Outputs of all their channels at a time, where the first-level cache holds all weights: so they are written in the order of
  // memory. Else a row of one block of channels.
  constexpr int64_t kWeights = 8 * 1024, kSome = 12;
  const int64_t step = w.outputs > 1 ? w.output[1] - w.output[0] : 0, straights = straight.last - straight.first;
  const int64_t some = p.output_channels > kBlock && lines * run * p.output_channels <= kWeights ? kSome : straights;
  const PackedPixels packed(p, step);
  for (int64_t task = begin; task < end; ++task) {
    const Band band = bands.find(r, task);
    for (int64_t h = band.first; h < band.last; ++h) {
      const Row row(g, r, band.batch, band.depth, h);
      border.add(row, added, run_border);
      find_runs(g, r, row, straight, runs, p.source, p.outside, line.get());
      if (packed.take(line.get()->pixel)) {
        packed.run(line.get()->at, p.output + row.output + w.output[straight.first], straights);
        continue;
      }
      for (int64_t from = 0; from < straights; from += some) {
        const int64_t first = std::max<int64_t>(std::min(from, straights - kLineTile), 0);
        float* output = p.output + row.output + w.output[straight.first] + first * step;
        run_lines(p, {line.get(), lines, run, first, nullptr, nullptr, p.activation, output, step, 0},
                  std::min(some, straights - first));
      }
    }
  }
  border.end(run_border);
}

}  // namespace
