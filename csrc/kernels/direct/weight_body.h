// The gradient of the weights: sums, over the pixels, of outer products of what each tap reads and of the outputs' gradient.
#pragma once

#include <iterator>

#include "kernels/direct/channel_sums_body.h"
#include "kernels/direct/line_weight_body.h"
#include "kernels/direct/outer_body.h"

namespace {

// A segment reads all of its pixels' channels, a part of it only some: parts are for what segments are too few for. Each copies
// the sources, and is to have output channels enough to be worth that, where that leaves tasks for a few threads.
constexpr int64_t kPartChannels = 64, kFewTasks = 8;
inline int64_t direct_weight_parts(const DirectWeightProblem& p) {
  const int64_t items = p.groups * blocks(p.output_channels);
  int64_t parts = even_parts(items, 2 * p.segments);
  while (parts > 1 && p.segments * parts > kFewTasks && (items % parts != 0 || items / parts * kBlock < kPartChannels)) --parts;
  return parts;
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

// What the next chunk reads is fetched while the sums of this one are made, by the loops that make them: in one go, so many lines
// would keep a tile waiting; and calls of a function that only fetches may go, as to a compiler it does nothing.
struct Ahead {
  const float* source[kChunk];
  const float* gradient[kChunk];
  int64_t count = 0, source_lines = 0, lines = 0, gradient_channel = 0;
  int64_t next = 0, pixel = 0, of_pixel = 0;  // the line to fetch next
  const float* line[kChunk / PanelTile::kEvery];
  explicit Ahead(const float* anything) { std::fill(std::begin(line), std::end(line), anything); }

  // `at_hand`: pixels of the chunk at hand. Of the gradient, its channels from ... to are read.
  void set(const DirectWeightProblem& p, const Chunk& chunk, int64_t at_hand, int64_t from, int64_t to) {
    if (chunk.region->taps == 0 || chunk.count < at_hand || !worth_fetching(p, *chunk.region)) return;
    count = at_hand;
    const Pixels pixels(*p.gather, chunk);
    for (int64_t i = 0; i < count; ++i) {
      source[i] = middle_source(*p.gather, *chunk.region, pixels, i, p.source);
      gradient[i] = p.gradient + pixels.output[i];
    }
    source_lines = (p.groups * p.source_channels + kFetch - 1) / kFetch;
    lines = source_lines + (to - from + kFetch - 1) / kFetch;
    gradient_channel = from;
  }
  // Tile `index` of `tiles` fetches its share, pixel by pixel, as far as it has room. One that has less fetches some again.
  void share(int64_t index, int64_t tiles, PanelTile& t) {
    t.line = line;
    const int64_t some = std::min<int64_t>(lines * count * (index + 1) / tiles - next, std::size(line));
    for (int64_t i = 0; i < some; ++i) {
      line[i] = of_pixel < source_lines ? source[pixel] + of_pixel * kFetch
                                        : gradient[pixel] + gradient_channel + (of_pixel - source_lines) * kFetch;
      if (++of_pixel == lines) of_pixel = 0, ++pixel;
    }
    next += some;
  }
  // Tile `index` of `tiles` fetches two lines at most: very few tiles leave the rest to the processor. One that has none to
  // fetch names what it reads itself.
  void share(int64_t index, int64_t tiles, PointerTile& t) const {
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
constexpr int64_t kSourceReaders = kPanels ? 2 : 3, kGradientReaders = kPanels ? 6 : 12;
inline bool copies_sources(const DirectWeightProblem& p, int64_t items) {
  return std::min(blocks(p.output_channels), items) >= kSourceReaders || p.groups * p.source_channels % 512 == 0;
}
// `table` holds a pointer a pixel and tap. Copies: of the pixels of a tap, one group's channels; of the gradient, a block for
// each item.
struct WeightScratch {
  Scratch<const float*> table;
  Scratch<float> source, gradient;
  const float *source_copy[kChunk], *gradient_copy[kChunk];
  Scratch<bool> begun;  // a tap: whether its sums hold something
  WeightScratch(const DirectWeightProblem& p, int64_t items)
      : table(table_size(*p.gather, 1)), source(std::max(copied_stride(p.source_channels) * kChunk, kPanelTiles * kPanelFloats)),
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

// What some pixels add to the sums of a tap, by panels; `channel_of(item)` is where an item's gradients are in those of a pixel.
// Calls before(tile) for each.
template <class Channel, class Before>
void add_panels(const DirectWeightProblem& p, const float* const* source, int64_t pixels, const float* const* gradient,
                const Channel& channel_of, const Before& before, int64_t first_item, int64_t last_item, float* panels,
                float* result, bool adds) {
  const int64_t block_count = blocks(p.output_channels), stride = rounded(p.output_channels);
  const int64_t group_floats = p.gather->filter_taps * p.source_channels * stride;
  for (int64_t item = first_item, last; item < last_item; item = last) {
    const int64_t group = item / block_count;
    last = std::min(last_item, (group + 1) * block_count);
    for (int64_t first = 0; first < p.source_channels; first += kPanelTiles * kRows) {
      const int64_t channels = std::min(int64_t{kPanelTiles} * kRows, p.source_channels - first);
      copy_panels(source, pixels, group * p.source_channels + first, channels, panels);
      for (int64_t i = item; i < last; ++i) {
        const int64_t from = i % block_count * kBlock, width = block_width(p.output_channels, i % block_count);
        PanelTile t{{pixels, result + group * group_floats + first * stride + from, stride, adds},
                    panels, gradient, channel_of(i), nullptr};
        for (int64_t c = 0; c < channels; c += kRows) {
          before(t);
          kOuterTile<PanelTile>.entry[std::min<int64_t>(kRows, channels - c) - 1][(width + kLanes - 1) / kLanes - 1](t);
          t.source += kPanelFloats;
          t.result += kRows * stride;
        }
      }
    }
  }
}

// What a chunk of pixels adds to the sums, for items first ... last; of a tap that is not `begun` it is their first.
void add_pixels(const DirectWeightProblem& p, const Region& region, const Pixels& pixels, int64_t count, int64_t first_item,
                int64_t last_item, const WeightScratch& scratch, Ahead& ahead, float* result, float* channel_sums) {
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
  const bool copies = copies_sources(p, last_item - first_item);
  const int64_t tiles = (p.source_channels + kRows - 1) / kRows, all_tiles = region.taps * (last_item - first_item) * tiles;
  // A last block that is no whole number of vectors must be copied.
  const bool copies_gradient = p.output_channels % kLanes != 0 || tiles * region.taps >= kGradientReaders;
  if (copies_gradient)
    for (int64_t i = 0; i < count; ++i)
      for (int64_t item = first_item; item < last_item; ++item) {
        const int64_t width = block_width(p.output_channels, item % block_count);
        const float* from = gradient[i] + first_channel(p, item);
        float* to = scratch.gradient.get() + ((item - first_item) * kChunk + i) * kBlock;
        for (int64_t v = 0; v < width; v += kLanes) store(to + v, load_first(from + v, width - v));
      }
  // Where an item's gradients are in those of a pixel.
  const auto channel_of = [&](int64_t item) {
    return copies_gradient ? (item - first_item) * kChunk * kBlock : first_channel(p, item);
  };
  int64_t tile_index = 0;
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
    if (kPanels && copies) {
      const auto before = [&](PanelTile& t) { ahead.share(tile_index++, all_tiles, t); };
      add_panels(p, pixel, inside, of_inside, channel_of, before, first_item, last_item, scratch.source.get(),
                 result + region.tap[k] * p.source_channels * stride, adds);
      continue;
    }
    for (int64_t item = first_item; item < last_item; ++item) {
      const int64_t group = item / block_count, from = item % block_count * kBlock;
      const int64_t width = block_width(p.output_channels, item % block_count), vectors = (width + kLanes - 1) / kLanes;
      PointerTile t{{inside, nullptr, stride, adds}, pixel, of_inside, group * p.source_channels, channel_of(item), {}};
      if (copies && (item == first_item || from == 0))
        copy_pixels(pixel, inside, t.source_channel, p.source_channels, scratch.source.get());
      if (copies) t.source = scratch.source_copy, t.source_channel = 0;
      t.result = result + group * group_floats + region.tap[k] * p.source_channels * stride + from;
      for (int64_t tile = 0; tile < tiles; ++tile) {
        ahead.share((k * (last_item - first_item) + item - first_item) * tiles + tile, all_tiles, t);
        kOuterTile<PointerTile>.entry[std::min<int64_t>(kRows, p.source_channels - tile * kRows) - 1][vectors - 1](t);
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
  if (takes_lines(p)) return line_weight(p, begin, end);
  const Gather& g = *p.gather;
  const int64_t block_count = blocks(p.output_channels), items = p.groups * block_count;
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
      Ahead ahead(p.source);
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
