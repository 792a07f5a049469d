// The rows of a band: which tiles they are cut into, and what these read.
#pragma once

#include "kernels/depthwise/row_tile_body.h"

namespace {

template <class Problem>
Share share(const Problem& p) {
  if (p.source_channels == 1 && p.output_channels == 1) return Share::kNone;
  return GroupVectors(p.groups, p.source_channels, p.output_channels, kLanes).together > 1 ? Share::kGroup : Share::kAll;
}

// Whether sources are more than the caches hold: smaller ones are near, and to fetch them ahead costs more than it saves.
constexpr int64_t kNear = int64_t{1} << 20;
inline bool far_sources(const Gather& g) {
  const Region* r = g.region;
  while (r < g.region + g.regions && (r->taps == 0 || r->pixels == 0)) ++r;
  if (r == g.region + g.regions) return false;
  int64_t image = 0, entries = r->pixels;
  for (int a = 0; a < 3; ++a) {
    const auto& axis = r->axis[a];
    image += std::max<int64_t>(g.lookup[a][axis.base[axis.outputs - 1] + axis.shift[axis.taps / 2]], 0);
    entries /= axis.outputs;
  }
  return image * entries > kNear;
}

// Near equal parts of a row's outputs: one tile each. Of each line it reads the same pieces, those of several taps first.
struct Piece {
  int64_t at, weight;  // floats from the line's beginning to the first source, and from the line's weights to the first tap's
  uint64_t seen;       // as in Window
};
struct RowPart {
  int64_t first, rows;  // the first of its outputs, and how many
  int64_t at;           // of the first source
  const Piece* piece;
  int64_t groups, singles;
};

// Those of each region, and what its tiles have in common: found once, for all bands.
class RowTiles {
 public:
  explicit RowTiles(const DepthwiseProblem& p)
      : shared_(share(p)), far_(far_sources(*p.gather)), slide_(p.gather->regions), tile_(p.gather->regions),
        begin_(p.gather->regions + 1), part_(count(p)), piece_(pieces_) {
    const int64_t tap_floats = p.source_channels * kLanes;
    RowPart* part = part_.get();
    Piece* piece = piece_.get();
    for (int64_t i = 0; i < p.gather->regions; ++i) {
      const auto& w = p.gather->region[i].axis[2];
      const Slide& s = slide(i);
      RowTile& tile = tile_.get()[i] = {};
      tile.unit = s.unit * s.straight.step;
      tile.jump = s.jump * s.straight.step;
      tile.tap = s.tap_step * tap_floats;
      tile.step = s.step;
      begin_.get()[i] = part - part_.get();
      for (int64_t k = 0; k < tiles(s); ++k)
        for (int64_t phase = 0; phase < s.every; ++phase) {
          const int64_t all = (s.last - s.first - phase + s.every - 1) / s.every, j = all * k / tiles(s);
          const int64_t some = all * (k + 1) / tiles(s) - j, first = s.first + phase + j * s.every;
          if (some == 0) continue;
          int64_t entry = w.base[first] + s.least, tap = 0;
          const auto add = [&](int64_t taps, int64_t sources, int64_t apart) {
            const Window window = find_window(s.straight, entry, sources, apart);
            const int64_t at = w.tap[s.direction < 0 ? s.last_tap - tap : tap];
            if (window.seen != 0) *piece++ = {window.at, at * tap_floats, window.seen};
            entry += taps * s.unit;
            tap += taps;
          };
          *part = {first, some, (entry - s.straight.low) * s.straight.step, piece, 0, 0};
          for (int64_t t = 0; t < s.groups; ++t) add(s.taps, (some - 1) * s.stride + s.taps, s.unit);
          part->groups = piece - part->piece;
          for (int64_t t = 0; t < s.singles; ++t) add(1, some, s.jump);
          part->singles = piece - part->piece - part->groups;
          ++part;
        }
    }
    begin_.get()[p.gather->regions] = part - part_.get();
  }
  const Slide& slide(int64_t region) const { return slide_.get()[region]; }
  RowTile& tile(int64_t region) const { return tile_.get()[region]; }
  // Vectors at a time: pixels a multiple of 1 KB apart share so few sets of the first-level cache that a line of it is gone
  // before the next vector of it is read.
  int64_t together(const Slide& s) const { return shared_ == Share::kNone && s.jump * s.straight.step % 256 == 0 ? kTogether : 1; }
  bool far() const { return far_; }
  const RowPart* begin(int64_t region) const { return part_.get() + begin_.get()[region]; }
  const RowPart* end(int64_t region) const { return part_.get() + begin_.get()[region + 1]; }

 private:
  int64_t tiles(const Slide& s) const {
    const int64_t most = kStraightRows / together(s);
    return ((std::max<int64_t>(s.last - s.first, 0) + s.every - 1) / s.every + most - 1) / most;
  }
  int64_t count(const DepthwiseProblem& p) {
    int64_t parts = 0;
    for (int64_t i = 0; i < p.gather->regions; ++i) {
      const Slide s(*p.gather, p.gather->region[i], p.outside);
      slide_.get()[i] = s;
      parts += tiles(s) * s.every;
      pieces_ += tiles(s) * s.every * (s.groups + s.singles);
    }
    return parts;
  }
  Share shared_;
  bool far_;
  int64_t pieces_ = 0;
  Scratch<Slide> slide_;
  Scratch<RowTile> tile_;
  Scratch<int64_t> begin_;  // of each region's parts
  Scratch<RowPart> part_;
  Scratch<Piece> piece_;
};

// A line of a row's sources that is not outside, and the weights along it.
struct SourceLine {
  const float* at;
  int64_t weight;
};

// The lines of a row.
struct SourceLines {
  SourceLine* line;
  int64_t count;
  bool straight;  // false where nothing slides, or some lines are outside and the border is not of zeros: then there are none

  void find(const DepthwiseProblem& p, const Region& r, const Slide& s, const Row& row) {
    const auto& w = r.axis[2];
    count = 0;
    straight = s.first < s.last;
    for (int64_t l = 0; straight && l < r.taps / w.taps; ++l) {
      const Line found = find_line(*p.gather, r, row, s.straight, l, p.source, p.outside);
      if (!found.outside)
        line[count++] = {found.at, (r.tap[l * w.taps] - w.tap[0]) * p.source_channels * kLanes};
      else
        straight = *found.at == 0;
    }
    if (!straight) count = 0;
  }
  // The last in memory, and the one before it: sources ascend with the lines, or, in a gradient, descend.
  const float* last() const { return count > 0 ? std::max(line[0].at, line[count - 1].at) : nullptr; }
  const float* second() const {
    if (count < 2) return nullptr;
    return line[0].at > line[count - 1].at ? line[1].at : line[count - 2].at;
  }
};

// A region's rows, one after the other: the lines of this one, and of the one below, which are fetched ahead.
struct RowLines {
  SourceLines here, below;

  void find(const DepthwiseProblem& p, const Region& r, const Slide& s, const Band& band, int64_t h) {
    if (h == band.first)
      here.find(p, r, s, Row(*p.gather, r, band.batch, band.depth, h));
    else
      std::swap(here, below);
    below.count = 0;
    below.straight = false;
    if (h + 1 < r.axis[1].outputs) below.find(p, r, s, Row(*p.gather, r, band.batch, band.depth, h + 1));
  }
};

// The outputs of one part of a row, of vectors from ... to.
template <Share Shared>
void run_part(const DepthwiseProblem& p, const Places& places, const RowTiles& tiles, int64_t region, const RowPart& part,
              const RowLines& lines, float* output, Term* term, int64_t from, int64_t to) {
  const Slide& s = tiles.slide(region);
  const SourceLines& here = lines.here;
  RowTile& tile = tiles.tile(region);
  tile.output = output + p.gather->region[region].axis[2].output[part.first];
  tile.term = term;
  const auto find_terms = [&](const Piece* begin, int64_t count) {
    for (int64_t l = 0; l < here.count; ++l)
      for (const Piece* piece = begin; piece < begin + count; ++piece)
        *term++ = {here.line[l].at + piece->at, here.line[l].weight + piece->weight, piece->seen};
    return here.count * count;
  };
  tile.groups = find_terms(part.piece, part.groups);
  tile.singles = find_terms(part.piece + part.groups, part.singles);
  if (tiles.far()) {
    const bool strided = s.stride == 2 && s.every == 1;
    const int64_t pixel = strided ? tile.unit : tile.jump;
    tile.dense = Shared == Share::kNone && to - from == places.count() && pixel <= to * kLanes;
    tile.stretch = tile.dense ? part.rows : 1;
    tile.apart = tile.dense ? kLineFloats : tile.jump;
    tile.belows = 0;
    const float *last = lines.below.last(), *second = strided ? lines.below.second() : nullptr;
    for (const float* line : {last, second && second > here.last() ? second : nullptr})
      for (int64_t half = 0; line && half <= strided; ++half)
        tile.below[tile.belows++] = line + part.at + half * pixel * tile.stretch;
  }
  run_row_tiles<Shared>(p, places, s, tiles.together(s), part.rows, tile, from, to);
}

}  // namespace
