#pragma once

#include <array>
#include <utility>

#include "kernels/base/activation_body.h"
#include "kernels/depthwise/depthwise.h"
#include "kernels/depthwise/places_body.h"
#include "kernels/depthwise/slide_body.h"

namespace {

using convlayers::DepthwiseProblem;

constexpr int64_t kDepthwiseRows = 6;

// Vectors v ... v + Vectors of a tile of pixels; several share the loading of a pointer.
template <bool Own, int Rows, int Vectors>
void run_depthwise_tile(const DepthwiseProblem& p, const Places& places, const Region& r, const float* const* source,
                        float* const* output, int64_t v0) {
  const int64_t vector_floats = p.gather->filter_taps * p.source_channels * kLanes;
  Vec sum[Rows][Vectors];
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) {
    const Place& at = places[v0 + v];
    const Vec bias = p.bias ? load_first(p.bias + at.output, at.width) : Vec{};
#pragma GCC unroll 8
    for (int i = 0; i < Rows; ++i) sum[i][v] = bias;
  }
  for (int64_t j = 0; j < p.source_channels; ++j)
    for (int64_t k = 0; k < r.taps; ++k) {
      const float* weight = p.weight + v0 * vector_floats + (r.tap[k] * p.source_channels + j) * kLanes;
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) {
        const Vec w = load(weight + v * vector_floats);
        const Reader<Own> read(places[v0 + v], j);
        const Mask index = read.index(places, j);
#pragma GCC unroll 8
        for (int i = 0; i < Rows; ++i) sum[i][v] += w * read.spread(read(source[k * kDepthwiseRows + i] + read.channel), index);
      }
    }
  if (p.activation.code == ActivationCode::kIdentity) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v)
#pragma GCC unroll 8
      for (int i = 0; i < Rows; ++i) store_first(output[i] + places[v0 + v].output, sum[i][v], places[v0 + v].width);
    return;
  }
  Vec result[Rows * Vectors];
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v)
#pragma GCC unroll 8
    for (int i = 0; i < Rows; ++i) result[i * Vectors + v] = sum[i][v];
  for (int v = 0; v < Vectors; ++v) {
    const Place& at = places[v0 + v];
    for (int i = 0; i < Rows; ++i)
      store_first(output[i] + at.output, activate(result[i * Vectors + v], p.activation), at.width);
  }
}

// Vectors from ... to.
template <bool Own, int Rows>
void run_depthwise_vectors(const DepthwiseProblem& p, const Places& places, const Region& r, const float* const* source,
                           float* const* output, int64_t from, int64_t to) {
  int64_t v = from;
  if constexpr (Own)
    for (; v + 2 <= to; v += 2) run_depthwise_tile<Own, Rows, 2>(p, places, r, source, output, v);
  for (; v < to; ++v) run_depthwise_tile<Own, Rows, 1>(p, places, r, source, output, v);
}

template <bool Own>
void run_depthwise_rows(const DepthwiseProblem& p, const Places& places, const Region& r, const float* const* source,
                        float* const* output, int64_t rows, int64_t from, int64_t to) {
  switch (rows) {
    case 1: return run_depthwise_vectors<Own, 1>(p, places, r, source, output, from, to);
    case 2: return run_depthwise_vectors<Own, 2>(p, places, r, source, output, from, to);
    case 3: return run_depthwise_vectors<Own, 3>(p, places, r, source, output, from, to);
    case 4: return run_depthwise_vectors<Own, 4>(p, places, r, source, output, from, to);
    case 5: return run_depthwise_vectors<Own, 5>(p, places, r, source, output, from, to);
    default: return run_depthwise_vectors<Own, 6>(p, places, r, source, output, from, to);
  }
}

// A line of a row's sources that is not outside, and the filter's taps along it.
struct SourceLine {
  const float* at;
  const int64_t* tap;
};

// Some outputs of a row.
struct RowTile {
  const SourceLine* line;
  int64_t lines;
  const Window* window;  // of each group of taps, then of each single one
  int64_t unit, jump;    // floats from tap to tap, from output to output
  int64_t groups, singles, direction;
  float* const* output;
  // What the row below will be the first to read: as stretches of memory, of which each vector of channels fetches a
  // part, or pixel by pixel. It is fetched to the second-level cache: pixels of a power of two of channels share a few sets
  // of the first, and would drive out each other and what is being read. A stride of 2 makes two of each line, and two lines.
  const float* below[4];
  int64_t belows, stretch, apart;
};

// Steps that one load serves: as many as registers hold weights of.
constexpr int steps_together(int taps) { return kVectors == 4 && taps <= 5 ? 2 : 1; }

// Of one vector, Rows outputs: each source is read once a step for all that share it through the Taps of a group.
template <bool Own, int Rows, int Taps, int Stride>
void run_row_tile(const DepthwiseProblem& p, const Places& places, const RowTile& s, int64_t v) {
  constexpr int kSources = (Rows - 1) * Stride + Taps;
  const Place at = places[v];
  constexpr int kTogether = Own ? 1 : steps_together(Taps);
  const int64_t steps = Own ? 1 : p.source_channels, tap_floats = steps * kLanes, unit = s.unit, jump = s.jump;
  const float* weight = p.weight + v * p.gather->filter_taps * tap_floats;
  Vec sum[Rows];
  const Vec bias = p.bias ? load_first(p.bias + at.output, at.width) : Vec{};
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) sum[i] = bias;
  for (int64_t b = 0; b < s.belows; ++b)
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) __builtin_prefetch(s.below[b] + at.source * s.stretch + i * s.apart, 0, 2);
  for (int64_t l = 0; l < s.lines; ++l) {
    const int64_t* tap = s.line[l].tap;
    const Window* window = s.window;
    if constexpr (Taps > 1)
      for (int64_t k = 0; k < s.groups; ++k, ++window, tap += Taps * s.direction) {
        if (window->seen == 0) continue;
        for_steps<Own, kTogether>(at, steps, [&]<int Steps>(std::integral_constant<int, Steps>, const Reader<Own>& read,
                                                            int64_t j) __attribute__((always_inline)) {
          Vec w[Steps][Taps];
          Mask index[Steps];
#pragma GCC unroll 8
          for (int q = 0; q < Steps; ++q) {
            index[q] = read.index(places, j + q);
#pragma GCC unroll 8
            for (int t = 0; t < Taps; ++t) w[q][t] = load(weight + tap[t * s.direction] * tap_floats + (j + q) * kLanes);
          }
          const float* from = s.line[l].at + window->at + read.channel;
          for_seen<kSources, Taps / 2>(window->seen, from, unit, [&](int i, const float* pixel) __attribute__((always_inline)) {
            const Vec source = read(pixel);
#pragma GCC unroll 8
            for (int q = 0; q < Steps; ++q) {
              const Vec x = read.spread(source, index[q]);
#pragma GCC unroll 8
              for (int t = 0; t < Taps; ++t)
                if (i >= t && (i - t) % Stride == 0 && (i - t) / Stride < Rows) sum[(i - t) / Stride] += w[q][t] * x;
            }
          });
        });
      }
    for (int64_t k = 0; k < s.singles; ++k, ++window, tap += s.direction) {
      if (window->seen == 0) continue;
      for_steps<Own, kTogether>(at, steps, [&]<int Steps>(std::integral_constant<int, Steps>, const Reader<Own>& read,
                                                          int64_t j) __attribute__((always_inline)) {
        Vec w[Steps];
        Mask index[Steps];
#pragma GCC unroll 8
        for (int q = 0; q < Steps; ++q) {
          index[q] = read.index(places, j + q);
          w[q] = load(weight + *tap * tap_floats + (j + q) * kLanes);
        }
        const float* from = s.line[l].at + window->at + read.channel;
        for_seen<Rows, 0>(window->seen, from, jump, [&](int i, const float* pixel) __attribute__((always_inline)) {
          const Vec source = read(pixel);
#pragma GCC unroll 8
          for (int q = 0; q < Steps; ++q) sum[i] += w[q] * read.spread(source, index[q]);
        });
      });
    }
  }
  if (at.width >= kLanes) {
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) store(s.output[i] + at.output, sum[i]);
  } else {
#pragma GCC unroll 16
    for (int i = 0; i < Rows; ++i) store_first(s.output[i] + at.output, sum[i], at.width);
  }
  if (p.activation.code == convlayers::ActivationCode::kIdentity) return;
  for (int i = 0; i < Rows; ++i) {
    float* to = s.output[i] + at.output;
    store_first(to, activate(load_first(to, at.width), p.activation), at.width);
  }
}

using RowTileFunction = void (*)(const DepthwiseProblem&, const Places&, const RowTile&, int64_t);
template <bool Own, int Taps, int Stride, int... Rows>
constexpr std::array<RowTileFunction, sizeof...(Rows)> row_tiles(std::integer_sequence<int, Rows...>) {
  return {run_row_tile<Own, Rows + 1, Taps, Stride>...};
}
// As many sums as registers hold beside weights and a source.
constexpr int kStraightRows = kVectors == 4 ? 14 : 10;
template <bool Own, int Taps, int Stride>
constexpr auto kRowTile = row_tiles<Own, Taps, Stride>(std::make_integer_sequence<int, kStraightRows>{});
template <bool Own>
inline RowTileFunction row_tile(const Slide& s, int64_t rows) {
  const auto row = static_cast<size_t>(rows - 1);
  switch (s.taps) {
    case 2: return kRowTile<Own, 2, 1>[row];
    case 3: return s.stride == 1 ? kRowTile<Own, 3, 1>[row] : kRowTile<Own, 3, 2>[row];
    case 5: return s.stride == 1 ? kRowTile<Own, 5, 1>[row] : kRowTile<Own, 5, 2>[row];
    case 7: return kRowTile<Own, 7, 1>[row];
    default: return kRowTile<Own, 1, 1>[row];
  }
}

// Whether a lane reads its own channel and no other.
template <class Problem>
bool reads_own(const Problem& p) {
  return p.source_channels == 1 && p.output_channels == 1;
}
template <class Problem>
int64_t vector_count(const Problem& p) {
  return GroupVectors(p.groups, p.source_channels, p.output_channels, kLanes).count();
}

// Vectors that are worth a task of their own.
constexpr int64_t kStrip = 4;

// Tasks: bands of rows, and where these are few, parts of the vectors.
inline int64_t depthwise_parts(int64_t tasks, int64_t vectors) {
  const int64_t n = std::max<int64_t>(tasks, 1);
  return std::clamp<int64_t>((kTasks + n - 1) / n, 1, (vectors + kStrip - 1) / kStrip);
}
int64_t depthwise_tasks(const DepthwiseProblem& p) {
  const int64_t n = Bands(*p.gather).count();
  return n * depthwise_parts(n, vector_count(p));
}

// The sources of a row, line by line; how many. -1: some are outside, where the border is not of zeros.
constexpr int64_t kBordered = -1;
inline int64_t fill_row(const DepthwiseProblem& p, const Region& r, const Slide& s, const Row& row, SourceLine* line) {
  int64_t count = 0;
  for (int64_t l = 0; l < r.taps / r.axis[2].taps; ++l) {
    const Line found = find_line(*p.gather, r, row, s.straight, l, p.source, p.outside);
    if (!found.outside)
      line[count++] = {found.at, s.first_tap(r, l)};
    else if (*found.at != 0)
      return kBordered;
  }
  return count;
}

// The tiles of each region's rows, near equal parts of the outputs that share sources: found once, for all bands.
struct RowPart {
  int64_t first, rows;  // the first of its outputs, and how many
  const Window* window;
};
class RowTiles {
 public:
  explicit RowTiles(const DepthwiseProblem& p)
      : slide_(p.gather->regions), begin_(p.gather->regions + 1), part_(count(p)), window_(windows_) {
    Window* window = window_.get();
    for (int64_t i = 0; i < p.gather->regions; ++i) {
      const Slide& s = slide(i);
      const int64_t* base = p.gather->region[i].axis[2].base;
      RowPart* part = part_.get() + begin_.get()[i];
      for (int64_t k = 0; k < tiles(s); ++k)
        for (int64_t phase = 0; phase < s.every; ++phase) {
          const int64_t all = (s.last - s.first - phase + s.every - 1) / s.every, j = all * k / tiles(s);
          const int64_t some = all * (k + 1) / tiles(s) - j, first = s.first + phase + j * s.every;
          *part++ = {first, some, window};
          if (some == 0) continue;
          int64_t entry = base[first] + s.least;
          for (int64_t t = 0; t < s.groups; ++t, entry += s.taps * s.unit)
            *window++ = find_window(s.straight, entry, (some - 1) * s.stride + s.taps, s.unit);
          for (int64_t t = 0; t < s.singles; ++t, entry += s.unit) *window++ = find_window(s.straight, entry, some, s.jump);
        }
    }
  }
  const Slide& slide(int64_t region) const { return slide_.get()[region]; }
  const RowPart* begin(int64_t region) const { return part_.get() + begin_.get()[region]; }
  const RowPart* end(int64_t region) const { return part_.get() + begin_.get()[region + 1]; }

 private:
  static int64_t tiles(const Slide& s) {
    return ((std::max<int64_t>(s.last - s.first, 0) + s.every - 1) / s.every + kStraightRows - 1) / kStraightRows;
  }
  int64_t count(const DepthwiseProblem& p) {
    int64_t parts = 0;
    for (int64_t i = 0; i < p.gather->regions; ++i) {
      const Slide s(*p.gather, p.gather->region[i], p.outside);
      slide_.get()[i] = s;
      begin_.get()[i] = parts;
      parts += tiles(s) * s.every;
      windows_ += tiles(s) * s.every * (s.groups + s.singles);
    }
    return begin_.get()[p.gather->regions] = parts;
  }
  int64_t windows_ = 0;
  Scratch<Slide> slide_;
  Scratch<int64_t> begin_;  // of each region's parts
  Scratch<RowPart> part_;
  Scratch<Window> window_;
};

// What the bands of one region need.
struct DepthwiseScratch {
  Scratch<const float*> table;
  Scratch<SourceLine> line;  // [row][line]
  int64_t lines[17];         // of each row of a band, and of the one below it
  Pixels pixels;
};

// A band's rows, one after the other: their outputs are written, and most sources read, as they lie in memory.
template <bool Own>
void run_rows(const DepthwiseProblem& p, const Places& places, const RowTiles& tiles, int64_t region, const Band& band,
              const DepthwiseScratch& scratch, int64_t from, int64_t to) {
  const Region& r = p.gather->region[region];
  const Slide& s = tiles.slide(region);
  const auto& w = r.axis[2];
  const int64_t most = r.taps / w.taps;
  float* output[kStraightRows];
  RowTile tile{nullptr, 0, nullptr, s.unit * s.straight.step, s.jump * s.straight.step,
               s.groups, s.singles, s.direction, output, {}, 0, 1, 0};
  const bool strided = s.stride == 2 && s.every == 1;
  const int64_t pixel = strided ? tile.unit : tile.jump;
  const bool dense = Own && to - from == places.count() && pixel <= to * kLanes;
  for (int64_t h = band.first; h < band.last; ++h) {
    const int64_t row = h - band.first, next = row + (h + 1 < r.axis[1].outputs ? 1 : 0);
    if (scratch.lines[row] == kBordered) continue;
    tile.line = scratch.line.get() + row * most;
    tile.lines = scratch.lines[row];
    // Sources ascend with the lines, or, in a gradient, descend.
    const SourceLine* under = scratch.line.get() + next * most;
    const auto find_last = [](const SourceLine* line, int64_t lines, const float* none) {
      return lines > 0 ? std::max(line[0].at, line[lines - 1].at) : none;
    };
    const int64_t unders = scratch.lines[next];
    const float* below[2] = {find_last(under, unders, p.source), nullptr};
    if (strided && unders > 1) {
      const float* second = under[0].at > under[unders - 1].at ? under[1].at : under[unders - 2].at;
      if (second > find_last(tile.line, tile.lines, below[0])) below[1] = second;
    }
    float* to_row = p.output + Row(*p.gather, r, band.batch, band.depth, h).output;
    for (const RowPart* part = tiles.begin(region); part < tiles.end(region); ++part) {
      if (part->rows == 0) continue;
      for (int64_t k = 0; k < part->rows; ++k) output[k] = to_row + w.output[part->first + k * s.every];
      tile.window = part->window;
      tile.belows = 0;
      for (const float* line : below)
        for (int64_t half = 0; line && half <= strided; ++half)
          tile.below[tile.belows++] = line + tile.window->at + half * pixel * (dense ? part->rows : 1);
      tile.stretch = dense ? part->rows : 1;
      tile.apart = dense ? kLanes : tile.jump;
      const RowTileFunction run = row_tile<Own>(s, part->rows);
      for (int64_t v = from; v < to; ++v) run(p, places, tile, v);
    }
  }
}

template <bool Own>
void run_depthwise(const DepthwiseProblem& p, int64_t begin, int64_t end) {
  const Gather& g = *p.gather;
  const Bands bands(g);
  const Places places(p.groups, p.source_channels, p.output_channels);
  const int64_t vectors = places.count(), parts = depthwise_parts(bands.count(), vectors);
  int64_t most_taps = 0;
  for (int64_t i = 0; i < g.regions; ++i) most_taps = std::max(most_taps, g.region[i].taps);
  DepthwiseScratch scratch{
      Scratch<const float*>(most_taps * kDepthwiseRows), Scratch<SourceLine>(most_taps * (bands.rows() + 1)), {}, {}};
  const RowTiles tiles(p);
  for (int64_t task = begin; task < end; ++task) {
    const int64_t from = vectors * (task % parts) / parts, to = vectors * (task % parts + 1) / parts;
    for (int64_t i = 0; i < g.regions; ++i) {
      const Region& r = g.region[i];
      const Slide& s = tiles.slide(i);
      const Band band = bands.find(r, task / parts);
      const bool slides = s.first < s.last && band.first < band.last;
      if (slides) {
        for (int64_t h = band.first; h < std::min(band.last + 1, r.axis[1].outputs); ++h)
          scratch.lines[h - band.first] = fill_row(p, r, s, Row(g, r, band.batch, band.depth, h),
                                                   scratch.line.get() + (h - band.first) * (r.taps / r.axis[2].taps));
        run_rows<Own>(p, places, tiles, i, band, scratch, from, to);
      }
      const auto others = [&](int64_t count) {
        float* output[kDepthwiseRows];
        const float** table = scratch.table.get();
        fill_sources(g, r, scratch.pixels, 0, count, p.source, p.outside, table, kDepthwiseRows,
                     [](int64_t k) { return k; });
        for (int64_t k = 0; k < count; ++k) output[k] = p.output + scratch.pixels.output[k];
        run_depthwise_rows<Own>(p, places, r, table, output, count, from, to);
      };
      for (int64_t h = band.first; h < band.last; ++h) {
        const bool done = slides && scratch.lines[h - band.first] != kBordered;
        for_others(r, Row(g, r, band.batch, band.depth, h), done ? s.first : 0, done ? s.last : 0, kDepthwiseRows,
                   scratch.pixels, others);
      }
    }
  }
}

void depthwise(const DepthwiseProblem& p, int64_t begin, int64_t end) {
  reads_own(p) ? run_depthwise<true>(p, begin, end) : run_depthwise<false>(p, begin, end);
}

}  // namespace
