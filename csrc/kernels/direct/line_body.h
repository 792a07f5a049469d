// Direct convolution of few channels (the first layer of a network): the taps of a line and their channels lie side by
// side, so they are one run of numbers, and outputs of a row read such runs a fixed distance apart. No table of pointers.
#pragma once

#include "kernels/direct/channel_sums_body.h"
#include "kernels/direct/packed_body.h"
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

// The outputs of rows whose runs meet a border: all that each of them reads is copied to one run, those of several rows side by
// side, and then they are tiles like others.
class BorderOutputs {
 public:
  BorderOutputs(const DirectProblem& p, const Straight& straight)
      : p_(p), region_(*p.gather->region), straight_(straight), places_(region_.taps * p.source_channels),
        channels_(rounded(p.output_channels)), most_(std::clamp<int64_t>(kFloats / places_, 1, kMost)),
        pieces_(region_.axis[2].taps), source_(most_ * places_), sums_(most_ * channels_) {}

  // Those of a row; they may be written later, at the latest by `flush`.
  void add(const Row& row) {
    const auto& w = region_.axis[2];
    for (const auto &[first, last] : {std::pair{int64_t{0}, straight_.first}, std::pair{straight_.last, w.outputs}})
      for (int64_t j = first; j < last; ++j) {
        copy(row, j);
        output_[count_] = p_.output + row.output + w.output[j];
        for (int64_t c = 0; c < p_.output_channels; c += kFetch) __builtin_prefetch(output_[count_] + c, 1);
        if (++count_ == most_) flush();
      }
  }

  void flush() {
    if (count_ == 0) return;
    const Run run{source_.get(), places_};
    LineTile t{&run, 1, places_, 0, nullptr, nullptr, p_.activation, nullptr, channels_, 0};
    for (int64_t channel = 0; channel < p_.output_channels; channel += kBlock) {
      t.weight = p_.weight + channel * places_;
      t.bias = p_.bias ? p_.bias + channel : nullptr;
      t.output = sums_.get() + channel;
      t.width = std::min(kBlock, p_.output_channels - channel);
      run_line_tiles(t, count_);
    }
    for (int64_t i = 0; i < count_; ++i)
      std::memcpy(output_[i], sums_.get() + i * channels_, static_cast<size_t>(p_.output_channels) * sizeof(float));
    count_ = 0;
  }

 private:
  static constexpr int64_t kFloats = 8 * 1024, kMost = 2 * line_rows(kVectors);

  // Taps of a line that lie side by side, or all outside, are copied together.
  struct Piece {
    int64_t floats, offset;  // from where the line begins, or negative: outside
  };

  void copy(const Row& row, int64_t j) {
    const Gather& g = *p_.gather;
    const auto& [d, h, w] = region_.axis;
    const int64_t channels = p_.source_channels;
    int64_t pieces = 0, end = 0;
    for (int64_t t = 0; t < w.taps; ++t) {
      const int64_t offset = g.lookup[2][w.base[j] + w.shift[t]];
      const bool goes_on = pieces > 0 && (offset < 0 ? pieces_.get()[pieces - 1].offset < 0 : offset == end);
      if (!goes_on) pieces_.get()[pieces++] = {0, offset};
      pieces_.get()[pieces - 1].floats += channels;
      end = offset + channels;
    }
    float* to = source_.get() + count_ * places_;
    for (int64_t l = 0; l < d.taps * h.taps; ++l) {
      const int64_t od = g.lookup[0][d.base[row.depth] + d.shift[l / h.taps]];
      const int64_t oh = g.lookup[1][h.base[row.height] + h.shift[l % h.taps]];
      const bool inside = od >= 0 && oh >= 0;
      for (int64_t i = 0; i < pieces; ++i) {
        const Piece piece = pieces_.get()[i];
        const float* from = piece.offset < 0 ? p_.outside[2]
                            : inside         ? p_.source + (row.batch + od + oh + piece.offset)
                                             : p_.outside[oh < 0 ? 1 : 0];
        to = std::copy_n(from, piece.floats, to);
      }
    }
  }

  const DirectProblem& p_;
  const Region& region_;
  const Straight& straight_;
  int64_t places_, channels_, most_, count_ = 0;
  Scratch<Piece> pieces_;
  Scratch<float> source_, sums_;
  float* output_[kMost];
};

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
  BorderOutputs border(p, straight);
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
      border.add(row);
      find_runs(g, r, row, straight, runs, p.source, p.outside, line.get());
      if (packed.take(line.get()->pixel)) {
        packed.run(line.get()->at, p.output + row.output + w.output[straight.first], straights);
        continue;
      }
      for (int64_t from = 0; from < straights; from += some) {
        LineTile t;
        t.line = line.get();
        t.lines = lines;
        t.run = run;
        t.first = std::max<int64_t>(std::min(from, straights - kLineTile), 0);
        t.activation = p.activation;
        t.step = step;
        float* output = p.output + row.output + w.output[straight.first] + t.first * t.step;
        for (int64_t channel = 0; channel < p.output_channels; channel += kBlock) {
          t.weight = p.weight + channel * lines * run;
          t.bias = p.bias ? p.bias + channel : nullptr;
          t.output = output + channel;
          t.width = std::min(kBlock, p.output_channels - channel);
          run_line_tiles(t, std::min(some, straights - t.first));
        }
      }
    }
  }
  border.flush();
}

// --- gradient of the weights -------------------------------------------------------------------------------------------

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

// Sums over `count` outputs of a row: Rows places of runs (place i of line l is l * run + i), by vectors of the gradient.
// Together: the places lie side by side. Fetches: there is a next row.
template <int Rows, int Vectors, bool Together, bool Fetches>
void sum_places(const Run* place, const float* gradient, int64_t step, int64_t count, int64_t width, float* result,
                int64_t stride, NextRow::Part ahead) {
  Vec sum[Rows][Vectors] = {};
  const float* x[Rows];
  for (int r = 0; r < Rows; ++r) x[r] = place[r].at;
  for (int64_t j = 0; j < count; ++j, gradient += step) {
    if (Fetches) __builtin_prefetch(ahead.at + j * ahead.step, 0, 2);
    Vec g[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) g[v] = load_first(gradient + v * kLanes, width - v * kLanes);
#pragma GCC unroll 24
    for (int r = 0; r < Rows; ++r) {
      const Vec s = splat(Together ? x[0][r] : *x[r]);
      if (!Together) x[r] += place[r].pixel;
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) sum[r][v] += s * g[v];
    }
    if (Together) x[0] += place[0].pixel;
  }
  store_sums(sum, result, stride, true);
}

// The straight outputs of one row, into result[place][output channel, rounded up].
template <int Vectors>
void sum_row(const Run* line, int64_t lines, int64_t run, const float* gradient, int64_t step, int64_t count,
             int64_t width, float* result, int64_t stride, const NextRow& next, int64_t block, int64_t block_count) {
  constexpr int kMost = kVectors == 4 ? (Vectors == 1 ? 12 : Vectors == 2 ? 9 : 6) : Vectors == 1 ? 8 : 5;
  // Places of one line at a time, but of several lines where a run is too short to fill the registers.
  const bool together = 2 * run > kMost;
  const int64_t places = together ? run : lines * run, tiles = (places + kMost - 1) / kMost;
  Run place[kMost];
  const int64_t groups = together ? lines : 1;
  for (int64_t l = 0; l < groups; ++l)
    for (int64_t i = 0; i < tiles; ++i) {
      const int64_t first = l * run + places * i / tiles, rows = l * run + places * (i + 1) / tiles - first;
      for (int64_t r = 0; r < rows; ++r) {
        const Run& from = line[(first + r) / run];
        place[r] = {from.at + (first + r) % run, from.pixel};
      }
      float* to = result + first * stride;
      NextRow::Part ahead;
      if (next.any()) ahead = next.part((block * groups + l) * tiles + i, block_count * groups * tiles, count);
      const auto sum = [&]<int... R>(std::integer_sequence<int, R...>) {
        const auto one = [&]<int Rows>(std::integral_constant<int, Rows>) {
          const auto all = [&](auto sum_of) { sum_of(place, gradient, step, count, width, to, stride, ahead); };
          if (!together)
            all(sum_places<Rows, Vectors, false, false>);
          else if (next.any())
            all(sum_places<Rows, Vectors, true, true>);
          else
            all(sum_places<Rows, Vectors, true, false>);
          return true;
        };
        (void)((rows == R + 1 && one(std::integral_constant<int, R + 1>{})) || ...);
      };
      sum(std::make_integer_sequence<int, kMost>{});
    }
}

// Tasks: segments of the bands, each with sums of its own.
// `bent(pixels, count, sums)` adds the outputs of a row whose runs meet a border.
template <class Bent>
void line_weight(const DirectWeightProblem& p, int64_t begin, int64_t end, int64_t most, const Bent& bent) {
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
  Pixels pixels;
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
        for (int64_t channel = 0; channel < p.output_channels; channel += kBlock) {
          const int64_t width = std::min(kBlock, p.output_channels - channel);
          const float* gradient = p.gradient + row.output + w.output[straight.first] + channel;
          const auto sum = [&](auto sum_of) {
            sum_of(line.get(), runs.count, run, gradient, step, straights, width, result + channel, stride, next,
                   channel / kBlock, blocks(p.output_channels));
          };
          switch ((width + kLanes - 1) / kLanes) {
            case 1: sum(sum_row<1>); break;
            case 2: sum(sum_row<2>); break;
#if CONVLAYERS_VECTORS > 2
            case 3: sum(sum_row<3>); break;
            default: sum(sum_row<4>);
#endif
          }
        }
        for_others(r, row, straight.first, straight.last, most, pixels, [&](int64_t some) { bent(pixels, some, result); });
        if (channel_sums) add_channels(p.gradient + row.output, w.output, w.outputs, p.output_channels, channel_sums);
      }
    }
  }
}

}  // namespace
