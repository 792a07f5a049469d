#pragma once

#include "kernels/depthwise/rows_body.h"

namespace {

constexpr int64_t kDepthwiseRows = 6;

// Vectors v ... v + Vectors of a tile of pixels; several share the loading of a pointer.
template <Share Shared, int Rows, int Vectors>
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
        const Reader<Shared> read(places[v0 + v]);
        const auto index = read.index(places, j);
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
template <Share Shared, int Rows>
void run_depthwise_vectors(const DepthwiseProblem& p, const Places& places, const Region& r, const float* const* source,
                           float* const* output, int64_t from, int64_t to) {
  int64_t v = from;
  if constexpr (Shared == Share::kNone)
    for (; v + 2 <= to; v += 2) run_depthwise_tile<Shared, Rows, 2>(p, places, r, source, output, v);
  for (; v < to; ++v) run_depthwise_tile<Shared, Rows, 1>(p, places, r, source, output, v);
}

template <Share Shared>
void run_depthwise_rows(const DepthwiseProblem& p, const Places& places, const Region& r, const float* const* source,
                        float* const* output, int64_t rows, int64_t from, int64_t to) {
  switch (rows) {
    case 1: return run_depthwise_vectors<Shared, 1>(p, places, r, source, output, from, to);
    case 2: return run_depthwise_vectors<Shared, 2>(p, places, r, source, output, from, to);
    case 3: return run_depthwise_vectors<Shared, 3>(p, places, r, source, output, from, to);
    case 4: return run_depthwise_vectors<Shared, 4>(p, places, r, source, output, from, to);
    case 5: return run_depthwise_vectors<Shared, 5>(p, places, r, source, output, from, to);
    default: return run_depthwise_vectors<Shared, 6>(p, places, r, source, output, from, to);
  }
}

template <class Problem>
int64_t vector_count(const Problem& p) {
  return GroupVectors(p.groups, p.source_channels, p.output_channels, kLanes).count();
}

// Tasks: where there are few, the vectors are cut in parts of `strip` channels or more, one after the other.
inline int64_t depthwise_parts(int64_t tasks, int64_t vectors, int64_t strip) {
  const int64_t n = std::max<int64_t>(tasks, 1);
  return std::clamp<int64_t>((kTasks + n - 1) / n, 1, std::max<int64_t>(1, vectors * kLanes / strip));
}

// Of bands of rows. In narrow strips of channels, memory is read and written in too short pieces.
constexpr int64_t kStrip = 512;
inline int64_t depthwise_tasks(const DepthwiseProblem& p) {
  const int64_t n = Bands(*p.gather).count();
  return n * depthwise_parts(n, vector_count(p), kStrip);
}

// Whether two regions are of the same rows: then they are phases along the last axis.
inline bool share_rows(const Region& a, const Region& b) {
  return a.axis[0].output == b.axis[0].output && a.axis[1].output == b.axis[1].output;
}

template <Share Shared>
void run_depthwise(const DepthwiseProblem& p, int64_t begin, int64_t end) {
  const Gather& g = *p.gather;
  const Bands bands(g);
  const Places places(p.groups, p.source_channels, p.output_channels);
  const int64_t vectors = places.count(), parts = depthwise_parts(bands.count(), vectors, kStrip);
  const auto lines_of = [](const Region& r) { return r.taps > 0 ? r.taps / r.axis[2].taps : 0; };
  int64_t most_taps = 0, all_lines = 0;
  for (int64_t i = 0; i < g.regions; ++i) {
    most_taps = std::max(most_taps, g.region[i].taps);
    all_lines += lines_of(g.region[i]);
  }
  const Scratch<const float*> table(most_taps * kDepthwiseRows);
  const Scratch<Term> term(most_taps);
  const Scratch<SourceLine> line(2 * all_lines);  // of a row and the one below
  const Scratch<RowLines> lines(g.regions);
  SourceLine* next = line.get();
  for (int64_t i = 0; i < g.regions; ++i) {
    const int64_t count = lines_of(g.region[i]);
    lines.get()[i] = {{next, 0, false}, {next + count, 0, false}};
    next += 2 * count;
  }
  const RowTiles tiles(p);
  Pixels pixels;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t strip = task / bands.count(), from = vectors * strip / parts, to = vectors * (strip + 1) / parts;
    // Regions are the phases of one stretch of the output: they take turns by rows, and along those that they share, so that
    // what they read, and the memory that they write, is near.
    for (int64_t k = 0; k < bands.rows(); ++k)
      for (int64_t first = 0, last = 0; first < g.regions; first = last) {
        while (last < g.regions && share_rows(g.region[first], g.region[last])) ++last;
        const Band band = bands.find(g.region[first], task % bands.count());
        const int64_t h = band.first + k;
        if (h >= band.last) continue;
        float* output = p.output + Row(g, g.region[first], band.batch, band.depth, h).output;
        for (int64_t i = first; i < last; ++i) lines.get()[i].find(p, g.region[i], tiles.slide(i), band, h);
        bool more = true;
        for (int64_t j = 0; more; ++j) {
          more = false;
          for (int64_t i = first; i < last; ++i) {
            const RowLines& of = lines.get()[i];
            const RowPart* part = tiles.begin(i) + j;
            if (!of.here.straight || part >= tiles.end(i)) continue;
            run_part<Shared>(p, places, tiles, i, *part, of, output, term.get(), from, to);
            more = true;
          }
        }
        for (int64_t i = first; i < last; ++i) {
          const Region& r = g.region[i];
          const bool straight = lines.get()[i].here.straight;
          for_others(r, Row(g, r, band.batch, band.depth, h), straight ? tiles.slide(i).first : 0,
                     straight ? tiles.slide(i).last : 0, kDepthwiseRows, pixels, [&](int64_t count) {
                       float* to_output[kDepthwiseRows];
                       fill_sources(g, r, pixels, 0, count, p.source, p.outside, table.get(), kDepthwiseRows,
                                    [](int64_t j) { return j; });
                       for (int64_t j = 0; j < count; ++j) to_output[j] = p.output + pixels.output[j];
                       run_depthwise_rows<Shared>(p, places, r, table.get(), to_output, count, from, to);
                     });
        }
      }
  }
}

inline void depthwise(const DepthwiseProblem& p, int64_t begin, int64_t end) {
  switch (share(p)) {
    case Share::kNone: return run_depthwise<Share::kNone>(p, begin, end);
    case Share::kGroup: return run_depthwise<Share::kGroup>(p, begin, end);
    case Share::kAll: return run_depthwise<Share::kAll>(p, begin, end);
  }
}

}  // namespace
