#pragma once

#include "kernels/direct/channel_sums_body.h"
#include "kernels/direct/column_body.h"
#include "kernels/direct/few_body.h"
#include "kernels/direct/line_body.h"
#include "kernels/direct/tile_body.h"

namespace {

// Tasks: chunks of pixels, and where these are few, parts of the output channels by all chunks: then weights are what there is
// much of, and a thread reads those of its own parts.
inline int64_t direct_parts(const DirectProblem& p) {
  return even_parts(p.groups * blocks(p.output_channels), std::max<int64_t>(chunks(*p.gather, kRows), 1));
}

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
    const int64_t width = std::min(kBlock, p.output_channels - block * kBlock);
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

int64_t direct_tasks(const DirectProblem& p) {
  if (takes_columns(p)) return column_tasks(p);
  if (has_few_outputs(p)) return few_tasks(p);
  return takes_lines(p) ? line_tasks(p) : chunks(*p.gather, kRows) * direct_parts(p);
}

void direct(const DirectProblem& p, int64_t begin, int64_t end) {
  if (takes_columns(p)) return column_convolution(p, begin, end);
  if (has_few_outputs(p)) return few(p, begin, end);
  const Gather& g = *p.gather;
  const int64_t parts = direct_parts(p), items = p.groups * blocks(p.output_channels), chunk_count = chunks(g, kRows);
  Tiles tiles(g);
  if (takes_lines(p)) {
    Region region = *g.region;
    region.leaves_out = false;  // pixels beside a border: few of a kind
    return line_convolution(p, begin, end, chunk_pixels(region, kRows), [&](Pixels& pixels, int64_t count) {
      run_pixels(p, region, pixels, count, 0, items, tiles);
    });
  }
  for (int64_t task = begin; task < end; ++task) {
    const Chunk chunk = find_chunk(g, task % chunk_count, kRows);
    const int64_t part = task / chunk_count;
    Pixels pixels(g, chunk);
    run_pixels(p, *chunk.region, pixels, chunk.count, items * part / parts, items * (part + 1) / parts, tiles);
  }
}

// --- gradient of the weights -------------------------------------------------------------------------------------------

// A sum of outer products: rows of the source by whole vectors of the gradient, each so many floats from where a pixel begins.
struct OuterTile {
  const float *const *source, *const *gradient;
  int64_t source_channel, gradient_channel, pixels;
  float* result;
  int64_t stride;  // of a source channel in the result
  bool adds;       // to the result, or is it
  // What to fetch into the second-level cache on the way, a line for each pixel.
  struct Line {
    const float* const* pixel;
    int64_t channel;
  } line[2];
};

template <int Rows, int Vectors>
void run_outer_tile(const OuterTile& t) {
  Vec sum[Rows][Vectors] = {};
  const OuterTile::Line first = t.line[0], second = t.line[1];
  for (int64_t p = 0; p < t.pixels; ++p) {
    __builtin_prefetch(first.pixel[p] + first.channel, 0, 1);
    __builtin_prefetch(second.pixel[p] + second.channel, 0, 1);
    const float *x = t.source[p] + t.source_channel, *y = t.gradient[p] + t.gradient_channel;
    Vec g[Vectors];
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) g[v] = load(y + v * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const Vec s = splat(x[r]);
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) sum[r][v] += s * g[v];
    }
  }
  store_sums(sum, t.result, t.stride, t.adds);
}

using OuterTileFunction = void (*)(const OuterTile&);
template <int Rows>
constexpr void fill_outer_row(OuterTileFunction (&row)[4]) {
  row[0] = run_outer_tile<Rows, 1>;
  if constexpr (kVectors > 1) row[1] = run_outer_tile<Rows, 2>;
  if constexpr (kVectors > 2) row[2] = run_outer_tile<Rows, 3>;
  if constexpr (kVectors > 3) row[3] = run_outer_tile<Rows, 4>;
}
struct OuterTileTable {
  OuterTileFunction entry[6][4] = {};
  constexpr OuterTileTable() {
    fill_outer_row<1>(entry[0]);
    fill_outer_row<2>(entry[1]);
    fill_outer_row<3>(entry[2]);
    fill_outer_row<4>(entry[3]);
    fill_outer_row<5>(entry[4]);
    fill_outer_row<6>(entry[5]);
  }
};
constexpr OuterTileTable kOuterTile;

// A segment reads all of its pixels' channels, a part of it only some: parts are for what segments are too few for.
inline int64_t direct_weight_parts(const DirectWeightProblem& p) {
  return even_parts(p.groups * blocks(p.output_channels), 2 * p.segments);
}

// Pixels side by side, whatever their distance in the tensor, an odd number of cache lines apart: at powers of two they
// would share a few sets of the cache.
inline int64_t copied_stride(int64_t channels) { return ((channels + 15) / 16 | 1) * 16; }
void copy_pixels(const float* const* pixel, int64_t pixels, int64_t channel, int64_t channels, float* to) {
  for (int64_t i = 0; i < pixels; ++i, to += copied_stride(channels)) {
    const float* from = pixel[i] + channel;
    int64_t c = 0;
    for (; c + kLanes <= channels; c += kLanes) store(to + c, load(from + c));
    if (c < channels) store_first(to + c, load_first(from + c, channels - c), channels - c);
  }
}

// What the next chunk reads is fetched while the sums of this one are made: a line of the cache of each of its pixels for each
// pixel that a tile passes. Fetched in one go, so many lines would keep the tile waiting.
struct Ahead {
  const float* source[kChunk];
  const float* gradient[kChunk];
  int64_t source_lines = 0, lines = 0, gradient_channel = 0;

  // `count`: pixels of the chunk at hand. Of the gradient, its channels from ... to are read.
  void set(const DirectWeightProblem& p, const Chunk& chunk, int64_t count, int64_t from, int64_t to) {
    if (chunk.region->taps == 0 || chunk.count < count) return;
    const Pixels pixels(*p.gather, chunk);
    for (int64_t i = 0; i < count; ++i) {
      source[i] = middle_source(*p.gather, *chunk.region, pixels, i, p.source);
      gradient[i] = p.gradient + pixels.output[i];
    }
    source_lines = (p.groups * p.source_channels + kFetch - 1) / kFetch;
    lines = source_lines + (to - from + kFetch - 1) / kFetch;
    gradient_channel = from;
  }
  // Tile `index` of `tiles` fetches two lines at most: very few tiles leave the rest to the processor. One that has none to
  // fetch names what it reads itself.
  void share(int64_t index, int64_t tiles, OuterTile& t) const {
    int64_t next = lines * index / tiles;
    const int64_t last = lines * (index + 1) / tiles;
    for (auto& line : t.line) {
      if (next >= last)
        line = {t.source, t.source_channel};
      else if (next < source_lines)
        line = {source, next * kFetch};
      else
        line = {gradient, gradient_channel + (next - source_lines) * kFetch};
      ++next;
    }
  }
};

// What is read often enough is copied side by side first. Sources: by so many blocks of output channels; gradients: by so many
// tiles of source channels and taps. A copy of either costs as much as half a block's, or two tiles', sums. Pixels a multiple of
// 512 floats apart share two sets of the first-level cache, and are copied in any case.
constexpr int64_t kSourceReaders = 3, kGradientReaders = 12;
// `table` holds a pointer a pixel and tap. Copies: of the pixels of a tap, one group's channels; of the gradient, a block for
// each item.
struct WeightScratch {
  Scratch<const float*> table;
  Scratch<float> source, gradient;
  const float *source_copy[kChunk], *gradient_copy[kChunk];
  Scratch<bool> begun;  // a tap: whether its sums hold something
  WeightScratch(const DirectWeightProblem& p, int64_t items)
      : table(table_size(*p.gather, 1)), source(copied_stride(p.source_channels) * kChunk),
        gradient(items * kBlock * kChunk), begun(p.gather->filter_taps) {
    for (int64_t i = 0; i < kChunk; ++i) {
      source_copy[i] = source.get() + i * copied_stride(p.source_channels);
      gradient_copy[i] = gradient.get() + i * kBlock;
    }
  }
};

// Where item number `item` begins among all output channels.
inline int64_t first_channel(const DirectWeightProblem& p, int64_t item) {
  const int64_t block_count = blocks(p.output_channels);
  return item / block_count * p.output_channels + item % block_count * kBlock;
}

// What a chunk of pixels adds to the sums, for items first ... last; of a tap that is not `begun` it is their first.
void add_pixels(const DirectWeightProblem& p, const Region& region, const Pixels& pixels, int64_t count, int64_t first_item,
                int64_t last_item, const WeightScratch& scratch, const Ahead& ahead, float* result, float* channel_sums) {
  if (channel_sums) {
    const int64_t from = first_channel(p, first_item), to = first_channel(p, last_item);
    add_channels(p.gradient + from, pixels.output, count, to - from, channel_sums + from);
  }
  if (region.taps == 0) return;  // a phase of a stride
  bool* begun = scratch.begun.get();
  const Gather& g = *p.gather;
  const int64_t block_count = blocks(p.output_channels), stride = rounded(p.output_channels);
  const int64_t group_floats = g.filter_taps * p.source_channels * stride;
  find_sources(g, region, pixels, 0, count, p.source, p.outside, scratch.table.get());
  const float *gradient[kChunk], *of_inside[kChunk];
  for (int64_t i = 0; i < count; ++i) gradient[i] = p.gradient + pixels.output[i];
  const bool copies =
      std::min(block_count, last_item - first_item) >= kSourceReaders || p.groups * p.source_channels % 512 == 0;
  const int64_t tiles = (p.source_channels + kRows - 1) / kRows, all_tiles = region.taps * (last_item - first_item) * tiles;
  // A last block that is no whole number of vectors must be copied.
  const bool copies_gradient = p.output_channels % kLanes != 0 || tiles * region.taps >= kGradientReaders;
  if (copies_gradient)
    for (int64_t item = first_item; item < last_item; ++item) {
      const int64_t from = item % block_count * kBlock, width = std::min(kBlock, p.output_channels - from);
      const int64_t channel = item / block_count * p.output_channels + from;
      float* to = scratch.gradient.get() + (item - first_item) * kChunk * kBlock;
      for (int64_t i = 0; i < count; ++i, to += kBlock)
        for (int64_t v = 0; v < width; v += kLanes) store(to + v, load_first(gradient[i] + channel + v, width - v));
    }
  for (int64_t k = 0; k < region.taps; ++k) {
    // Pixels whose tap lies inside.
    const float** pixel = scratch.table.get() + k * count;
    int64_t inside = 0;
    for (int64_t i = 0; i < count; ++i) {
      if (!pixel[i]) continue;
      pixel[inside] = pixel[i];
      of_inside[inside++] = copies_gradient ? scratch.gradient_copy[i] : gradient[i];
    }
    if (inside == 0) continue;
    const bool adds = begun[region.tap[k]];
    begun[region.tap[k]] = true;
    for (int64_t item = first_item; item < last_item; ++item) {
      const int64_t group = item / block_count, from = item % block_count * kBlock;
      const int64_t width = std::min(kBlock, p.output_channels - from), vectors = (width + kLanes - 1) / kLanes;
      OuterTile t{pixel, of_inside, group * p.source_channels, group * p.output_channels + from, inside, nullptr, stride, adds, {}};
      if (copies && (item == first_item || from == 0))
        copy_pixels(pixel, inside, t.source_channel, p.source_channels, scratch.source.get());
      if (copies) t.source = scratch.source_copy, t.source_channel = 0;
      if (copies_gradient) t.gradient_channel = (item - first_item) * kChunk * kBlock;
      t.result = result + group * group_floats + region.tap[k] * p.source_channels * stride + from;
      for (int64_t tile = 0; tile < tiles; ++tile) {
        ahead.share((k * (last_item - first_item) + item - first_item) * tiles + tile, all_tiles, t);
        kOuterTile.entry[std::min<int64_t>(kRows, p.source_channels - tile * kRows) - 1][vectors - 1](t);
        t.source_channel += kRows;
        t.result += kRows * stride;
      }
    }
  }
}

int64_t direct_weight_tasks(const DirectWeightProblem& p) {
  return p.segments * (takes_lines(p) ? 1 : direct_weight_parts(p));
}

void direct_weight(const DirectWeightProblem& p, int64_t begin, int64_t end) {
  const Gather& g = *p.gather;
  const int64_t block_count = blocks(p.output_channels), items = p.groups * block_count;
  if (takes_lines(p)) {
    const WeightScratch scratch(p, items);
    std::fill_n(scratch.begun.get(), g.filter_taps, true);
    return line_weight(p, begin, end, chunk_pixels(*g.region, 1),
                       [&](const Pixels& pixels, int64_t count, float* result) {
                         add_pixels(p, *g.region, pixels, count, 0, items, scratch, Ahead(), result, nullptr);
                       });
  }
  const int64_t parts = direct_weight_parts(p), stride = rounded(p.output_channels);
  const int64_t group_floats = g.filter_taps * p.source_channels * stride, chunk_count = chunks(g, 1);
  const WeightScratch scratch(p, (items + parts - 1) / parts);
  for (int64_t task = begin; task < end; ++task) {
    const int64_t segment = task / parts, part = task % parts;
    const int64_t first_item = items * part / parts, last_item = items * (part + 1) / parts;
    float* result = p.result + segment * p.groups * group_floats;
    float* channel_sums = p.channel_sums ? p.channel_sums + segment * p.groups * p.output_channels : nullptr;
    if (const int64_t from = first_channel(p, first_item); channel_sums)
      clear(channel_sums + from, first_channel(p, last_item) - from);
    std::fill_n(scratch.begun.get(), g.filter_taps, false);
    const int64_t last = chunk_count * (segment + 1) / p.segments;
    for (int64_t c = chunk_count * segment / p.segments; c < last; ++c) {
      const Chunk chunk = find_chunk(g, c, 1);
      const Pixels pixels(g, chunk);
      Ahead ahead;
      if (c + 1 < last)
        ahead.set(p, find_chunk(g, c + 1, 1), chunk.count, first_item * kBlock,
                  std::min(last_item * kBlock, p.groups * p.output_channels));
      add_pixels(p, *chunk.region, pixels, chunk.count, first_item, last_item, scratch, ahead, result, channel_sums);
    }
    for (int64_t tap = 0; tap < g.filter_taps; ++tap) {
      if (scratch.begun.get()[tap]) continue;
      for (int64_t item = first_item; item < last_item; ++item) {
        const int64_t from = item % block_count * kBlock, count = std::min(kBlock, stride - from);
        float* to = result + item / block_count * group_floats + tap * p.source_channels * stride + from;
        for (int64_t row = 0; row < p.source_channels; ++row)
          std::memset(to + row * stride, 0, static_cast<size_t>(count) * sizeof(float));
      }
    }
  }
}

}  // namespace
