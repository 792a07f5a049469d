// The register tile of the direct kernels: a few pixels by a few vectors of output channels.
#pragma once

#include "kernels/base/activation_body.h"
#include "kernels/direct/direct.h"
#include "kernels/gather/walk_body.h"

namespace {

using convlayers::DirectProblem;
using convlayers::DirectWeightProblem;

// The register tile: kRows pixels (or source channels) by kVectors vectors of output channels.
constexpr int kRows = CONVLAYERS_ROWS;
constexpr int kVectors = CONVLAYERS_VECTORS;
constexpr int64_t kBlock = int64_t{kVectors} * kLanes;
// Enough tasks that a few threads finish together, counted from the problem alone.
constexpr int64_t kTasks = 32;
// In how many parts, all alike, to cut `items` so that there are enough tasks with `others` of each part.
inline int64_t even_parts(int64_t items, int64_t others) {
  int64_t parts = std::min(items, (kTasks + others - 1) / others);
  while (parts > 0 && items % parts != 0) ++parts;
  return parts;
}

inline int64_t blocks(int64_t channels) { return (channels + kBlock - 1) / kBlock; }
// Of so many channels, those of a block: the last may have fewer.
inline int64_t block_width(int64_t channels, int64_t block) { return std::min(kBlock, channels - block * kBlock); }
inline int64_t rounded(int64_t channels) { return (channels + kLanes - 1) / kLanes * kLanes; }

// What a tile reads: pixel r for tap k at source[tap[k].at + r].
struct Reads {
  struct Tap {
    int32_t at, filter;  // the filter's index
  };
  int64_t taps;
  const Tap* tap;
  const float* const* source;
};

// The tiles of a chunk of pixels. Zeros beyond a border add nothing: taps that lie there for all pixels of a tile are left out.
// So tiles are of pixels of one kind; where these are few, of several kinds if that takes less time.
class Tiles {
 public:
  struct Entry {
    int64_t first, rows;
    Reads reads;
  };
  // Sources of so many channels are read apart where they can be; with 0 of them, where they lie.
  explicit Tiles(const Gather& g, int64_t channels = 0)
      : tap_(2 * table_size(g, kRows)), source_(table_size(g, kRows)),
        row_(g.filter_taps == 1 && channels >= kLeastApart && channels <= kMostApart ? channels + 16 : 0),
        rows_(row_ * kChunk) {}

  void find(const Gather& g, const Region& region, Pixels& pixels, int64_t count, const float* input,
            const float* const (&outside)[3]) {
    if (region.leaves_out) group_kinds(pixels, count);
    const float** source = source_.get();
    find_sources(g, region, pixels, 0, count, input, outside, source);
    Reads::Tap* tap = tap_.get();
    // The taps that lie inside for one of `rows` pixels.
    const auto list = [&](int64_t first, int64_t rows) {
      Reads reads{0, tap, source + first};
      for (int64_t k = 0; k < region.taps; ++k) {
        bool inside = false;
        for (int64_t i = first; i < first + rows; ++i) inside = inside || source[k * count + i];
        if (inside) tap[reads.taps++] = {static_cast<int32_t>(k * count), static_cast<int32_t>(region.tap[k])};
      }
      tap += reads.taps;
      return reads;
    };
    count_ = 0;
    for (int64_t first = 0, last; first < count; first = last) {
      for (last = region.leaves_out ? first + 1 : count; last < count && pixels.kind[last] == pixels.kind[first];) ++last;
      const int64_t of_kind = last - first;
      const Reads reads = list(first, 1);
      if (count_ > 0 && entry_[count_ - 1].rows + of_kind <= kRows) {
        Entry& e = entry_[count_ - 1];
        const Reads both = list(e.first, e.rows + of_kind);
        if (cost(e.rows + of_kind, both) <= cost(e.rows, e.reads) + cost(of_kind, reads)) {
          e = {e.first, e.rows + of_kind, both};
          continue;
        }
      }
      const int64_t parts = (of_kind + kRows - 1) / kRows, most = (of_kind + parts - 1) / parts;
      for (int64_t i = first; i < last; i += most) {
        entry_[count_] = {i, std::min(most, last - i), reads};
        entry_[count_++].reads.source = source + i;
      }
    }
    for (int64_t i = 0; region.leaves_out && i < region.taps * count; ++i)
      if (!source[i]) source[i] = outside[0];
    if (row_ > 0 && region.taps == 1 && count > 1 && (source[1] - source[0]) % kWay == 0)
      for (int64_t i = 0; i < count; ++i) {
        float* row = rows_.get() + i * row_;
        std::memcpy(row, source[i], static_cast<size_t>(row_ - 16) * sizeof(float));
        source[i] = row;
      }
  }
  const Entry* begin() const { return entry_; }
  const Entry* end() const { return entry_ + count_; }

 private:
  // A tile of few pixels takes as long as it takes to read its weights.
  static int64_t cost(int64_t rows, const Reads& reads) { return std::max<int64_t>(rows, kRows / 2) * reads.taps; }

  // Floats a multiple of this apart share a set of the first-level cache, where a tile's pixels and the next one's drive one
  // another out: a quarter of the time of a 1x1. Such pixels are copied to rows that lie otherwise, if they are not too long.
  static constexpr int64_t kWay = 1024, kLeastApart = kBlock <= 16 ? 256 : INT64_MAX, kMostApart = 3072;

  Scratch<Reads::Tap> tap_;
  Scratch<const float*> source_;
  int64_t row_;  // floats of a copy, or 0
  Scratch<float> rows_;
  Entry entry_[kChunk];
  int64_t count_ = 0;
};

struct Tile {
  Reads reads;
  const float* const* next;  // the next tile's source, where it has as many rows, or the same
  const float* weight;       // of this block: [filter tap][channel][vectors]
  int64_t channel, channels;
  const float* bias;
  Activation activation;
  float* const* output;  // [rows]
  int64_t width;         // channels of the block
};

// Sums stay in registers only where every index of theirs is a constant: loops over them are unrolled in full.

// The sums begin at the bias, or at zero. Of a block's vectors, all but the last are whole.
template <int Rows, int Vectors>
inline void begin_sums(Vec (&sum)[Rows][Vectors], const float* bias, int64_t width) {
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) {
    Vec b{};
    if (bias) b = v + 1 < Vectors ? load(bias + v * kLanes) : load_first(bias + v * kLanes, width - v * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) sum[r][v] = b;
  }
}

// Writes the sums of row r to output(r), and applies the activation there; the most usual one in registers.
template <int Rows, int Vectors, class Output>
inline void finish_sums(Vec (&sum)[Rows][Vectors], Activation activation, const Output& output, int64_t width) {
  if (activation.code == ActivationCode::kRelu) {
    activation.code = ActivationCode::kIdentity;
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sum[r][v] = activate(sum[r][v], {ActivationCode::kRelu});
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
    float* to = output(r);
#pragma GCC unroll 4
    for (int v = 0; v + 1 < Vectors; ++v) store(to + v * kLanes, sum[r][v]);
    constexpr int kLast = (Vectors - 1) * kLanes;
    store_first(to + kLast, sum[r][Vectors - 1], width - kLast);
  }
  if (activation.code == ActivationCode::kIdentity) return;
  for (int r = 0; r < Rows; ++r)
    for (int64_t v = 0; v < width; v += kLanes) {
      float* to = output(r) + v;
      store_first(to, activate(load_first(to, width - v), activation), width - v);
    }
}

// Writes the sums to rows so many floats apart, whole vectors, or adds them to what is there.
template <int Rows, int Vectors>
inline void store_sums(const Vec (&sum)[Rows][Vectors], float* result, int64_t stride, bool adds) {
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r, result += stride)
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      float* to = result + v * kLanes;
      store(to, adds ? load(to) + sum[r][v] : sum[r][v]);
    }
}

// Memory that is not in the cache yet is fetched while the sums are made, a little at a time: the outputs, and what the next
// tile reads.
constexpr int64_t kFetch = 16;

// Whether the gradient of the weights fetches what it reads next: it reads each pixel for a short while only, and waits for memory
// otherwise. Fewer floats than these are near in any case.
inline bool worth_fetching(const DirectWeightProblem& p, const Region& r) {
  constexpr int64_t kFloats = int64_t{512} << 10;
  return r.pixels * p.groups * (p.source_channels + p.output_channels) > kFloats;
}

template <int Rows, int Vectors>
void run_tile(const Tile& t) {
  Vec sum[Rows][Vectors];
  begin_sums(sum, t.bias, t.width);
  const Reads& reads = t.reads;
  // Lines of the outputs to fetch at a time, so that all are when the sums are there; one is fetched at once.
  constexpr int64_t kLines = (Vectors * kLanes + kFetch - 1) / kFetch;
  int64_t some = 0, fetched = 0;
  if constexpr (kLines == 1) {
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) __builtin_prefetch(t.output[r], 1);
  } else {
    const int64_t times = std::max<int64_t>(reads.taps * ((t.channels + kFetch - 1) / kFetch), 1);
    some = (kLines + times - 1) / times;
  }
  for (int64_t k = 0; k < reads.taps; ++k) {
    const auto [at, filter] = reads.tap[k];
    const float* source[Rows];
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) source[r] = reads.source[at + r] + t.channel;
    const float* weight = t.weight + filter * t.channels * (Vectors * kLanes);
    // Of the next tile, pixels that lie side by side are fetched from end to end, as memory is read fastest, others a line of each
    // at a time, as though all were as far apart; where one lies outside, only the first.
    constexpr int64_t kFarApart = int64_t{1} << 16;
    const float* ahead = t.next[at] + t.channel;
    const int64_t apart = (t.next[at + Rows - 1] - t.next[at]) / std::max(Rows - 1, 1);
    const bool side_by_side = apart >= t.channels && apart <= t.channels + kFetch;
    const int64_t ahead_row = side_by_side ? kFetch : apart > 0 && apart < kFarApart ? apart : 0;
    const int64_t ahead_step = side_by_side ? Rows * kFetch : kFetch;
    for (int64_t from = 0; from < t.channels; from += kFetch) {
      if constexpr (kLines > 1)
        for (const int64_t until = std::min<int64_t>(fetched + some, kLines); fetched < until; ++fetched)
          for (int r = 0; r < Rows; ++r) __builtin_prefetch(t.output[r] + fetched * kFetch, 1);
      for (int r = 0; r < Rows; ++r) __builtin_prefetch(ahead + r * ahead_row);
      ahead += ahead_step;
      const int64_t to = std::min(from + kFetch, t.channels);
      for (int64_t c = from; c < to; ++c, weight += Vectors * kLanes) {
        Vec w[Vectors];
        if constexpr (kLines == 1) __builtin_prefetch(weight + 16 * Vectors * kLanes);
#pragma GCC unroll 8
        for (int v = 0; v < Vectors; ++v) w[v] = load(weight + v * kLanes);
#pragma GCC unroll 16
        for (int r = 0; r < Rows; ++r) {
          const Vec x = splat(source[r][c]);
#pragma GCC unroll 8
          for (int v = 0; v < Vectors; ++v) sum[r][v] += x * w[v];
        }
      }
    }
  }
  finish_sums(sum, t.activation, [&](int r) { return t.output[r]; }, t.width);
}

// table[rows - 1][vectors - 1]
using TileFunction = void (*)(const Tile&);
template <int Rows>
constexpr void fill_row(TileFunction (&row)[4]) {
  row[0] = run_tile<Rows, 1>;
  if constexpr (kVectors > 1) row[1] = run_tile<Rows, 2>;
  if constexpr (kVectors > 2) row[2] = run_tile<Rows, 3>;
  if constexpr (kVectors > 3) row[3] = run_tile<Rows, 4>;
}
struct TileTable {
  TileFunction entry[6][4] = {};
  constexpr TileTable() {
    fill_row<1>(entry[0]);
    fill_row<2>(entry[1]);
    fill_row<3>(entry[2]);
    fill_row<4>(entry[3]);
    fill_row<5>(entry[4]);
    fill_row<6>(entry[5]);
  }
};
constexpr TileTable kTile;
static_assert(kRows <= 6 && kVectors <= 4);

}  // namespace
