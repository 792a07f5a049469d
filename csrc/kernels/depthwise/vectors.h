// How groups of channels share vectors.
//
// In an anonymous namespace: kernels of every instruction set compile it for themselves (see base/simd.h).
#pragma once

#include <algorithm>
#include <cstdint>

namespace {

// A vector holds as many whole groups as it can of both sides; a larger group takes vectors of its own.
struct GroupVectors {
  int64_t groups, in, out, lanes;  // channels of one group
  int64_t together, each;          // groups of a vector, vectors of a group

  GroupVectors(int64_t groups_, int64_t in_, int64_t out_, int64_t lanes_)
      : groups(groups_), in(in_), out(out_), lanes(lanes_),
        together(std::max<int64_t>(1, lanes / std::max(in, out))), each((out + lanes - 1) / lanes) {}
  int64_t count() const { return (groups + together - 1) / together * each; }
  int64_t group(int64_t v) const { return v / each * together; }  // the first of a vector
  int64_t row(int64_t v) const { return v % each * lanes; }       // the first of a group's output channels
  int64_t width(int64_t v) const { return std::min(std::min(together, groups - group(v)) * out - row(v), lanes); }
};

}  // namespace
