#pragma once

#include "kernels/direct/column_body.h"
#include "kernels/direct/few_body.h"
#include "kernels/direct/line_convolution_body.h"
#include "kernels/direct/tile_body.h"

namespace {

// Pixels of a chunk are read again for every block of output channels: those of a 1x1 of many channels are to stay in the
// second-level cache meanwhile. Narrow blocks are many.
inline int64_t chunk_most(const DirectProblem& p) {
  constexpr int64_t kFloats = 24 * 1024, kLeast = 24;
  if (kBlock > 16 || p.gather->filter_taps > 1 || p.gather->regions > 1) return kChunk;
  return std::clamp(kFloats / (p.groups * p.source_channels), kLeast, kChunk);
}
inline int64_t direct_chunks(const DirectProblem& p) { return chunks(*p.gather, kRows, chunk_most(p)); }

// Tasks: chunks of pixels, and where these are few, parts of the output channels by all chunks: then weights are what there is
// much of, and a thread reads those of its own parts.
inline int64_t direct_parts(const DirectProblem& p) {
  return even_parts(p.groups * blocks(p.output_channels), std::max<int64_t>(direct_chunks(p), 1));
}

constexpr int64_t kWorthCopies = 64;  // output channels that read a copied pixel

// The outputs of a chunk of pixels: items first ... last, counted over groups and blocks of output channels.
void run_pixels(const DirectProblem& p, const Region& region, Pixels& pixels, int64_t count, int64_t first_item,
                int64_t last_item, Tiles& tiles) {
  const Gather& g = *p.gather;
  const int64_t block_count = blocks(p.output_channels);
  const int64_t group_floats = g.filter_taps * p.source_channels * rounded(p.output_channels);
  tiles.find(g, region, pixels, count, p.source, p.outside);
  // What no tap reaches: pixels outside, and some phases of a stride.
  const auto blank = [&](const Tiles::Entry& e) {
    return e.reads.taps == 0 && !p.bias && p.activation.code == ActivationCode::kIdentity;
  };
  const auto channel_of = [&](int64_t item) {
    return item / block_count * p.output_channels + item % block_count * kBlock;
  };
  const int64_t from = channel_of(first_item), to = channel_of(last_item);
  for (const Tiles::Entry& e : tiles)
    for (int64_t r = 0; r < e.rows && blank(e); ++r)
      std::memset(p.output + pixels.output[e.first + r] + from, 0, static_cast<size_t>(to - from) * sizeof(float));
  for (int64_t item = first_item; item < last_item; ++item) {
    const int64_t group = item / block_count, block = item % block_count;
    const int64_t width = block_width(p.output_channels, block);
    const int64_t vectors = (width + kLanes - 1) / kLanes;
    const int64_t channel = channel_of(item);
    Tile t;
    t.weight = p.weight + group * group_floats + block * kBlock * g.filter_taps * p.source_channels;
    t.channel = group * p.source_channels;
    t.channels = p.source_channels;
    t.bias = p.bias ? p.bias + channel : nullptr;
    t.activation = p.activation;
    t.width = width;
    for (const Tiles::Entry& e : tiles) {
      if (blank(e)) continue;
      float* output[kRows];
      for (int64_t r = 0; r < e.rows; ++r) output[r] = p.output + pixels.output[e.first + r] + channel;
      t.output = output;
      t.reads = e.reads;
      const Tiles::Entry* next = &e + 1;
      t.next = next != tiles.end() && next->rows == e.rows ? next->reads.source : e.reads.source;
      kTile.entry[e.rows - 1][vectors - 1](t);
    }
  }
}

bool lanes_are_sources(const DirectProblem& p) { return has_few_outputs(p) && !takes_columns(p); }

int64_t direct_tasks(const DirectProblem& p) {
  if (takes_columns(p)) return column_tasks(p);
  if (has_few_outputs(p)) return few_tasks(p);
  return takes_lines(p) ? line_tasks(p) : direct_chunks(p) * direct_parts(p);
}

void direct(const DirectProblem& p, int64_t begin, int64_t end) {
  if (takes_columns(p)) return column_convolution(p, begin, end);
  if (has_few_outputs(p)) return few(p, begin, end);
  if (takes_lines(p)) return line_convolution(p, begin, end);
  const Gather& g = *p.gather;
  const int64_t parts = direct_parts(p), items = p.groups * blocks(p.output_channels), chunk_count = direct_chunks(p);
  Tiles tiles(g, p.groups == 1 && p.output_channels >= kWorthCopies ? p.source_channels : 0);
  for (int64_t task = begin; task < end; ++task) {
    const Chunk chunk = find_chunk(g, task % chunk_count, kRows, chunk_most(p));
    const int64_t part = task / chunk_count;
    Pixels pixels(g, chunk);
    run_pixels(p, *chunk.region, pixels, chunk.count, items * part / parts, items * (part + 1) / parts, tiles);
  }
}

}  // namespace
