// What a window sees, and which windows see an input, by arithmetic: no tables.
#pragma once

#include <algorithm>

#include "kernels/pool/pool.h"

namespace {

using convlayers::WindowAxis;

// begin, begin + step, ... : count coordinates.
struct Span {
  int64_t begin, count, step;
};

inline int64_t floor_quotient(int64_t a, int64_t b) { return a / b - (a % b < 0); }
inline int64_t ceil_quotient(int64_t a, int64_t b) { return a / b + (a % b > 0); }

// A distance that is a whole number of dilations; a division costs as much as many elements.
inline int64_t steps(const WindowAxis& w, int64_t distance) {
  return w.dilation == 1 ? distance : distance / w.dilation;
}

// How many elements of a window lie before a point this far from its start.
inline int64_t steps_before(const WindowAxis& w, int64_t distance) {
  const int64_t steps = w.dilation == 1 ? distance : ceil_quotient(distance, w.dilation);
  return std::clamp<int64_t>(steps, 0, w.kernel);
}

// The inputs that output o sees.
inline Span window_of(const WindowAxis& w, int64_t o) {
  if (w.kernel == 0) {
    const int64_t begin = o * w.input / w.output;
    return {begin, ceil_quotient((o + 1) * w.input, w.output) - begin, 1};
  }
  const int64_t start = o * w.stride - w.low;
  const int64_t first = steps_before(w, -start), last = steps_before(w, w.input - start);
  return {start + first * w.dilation, std::max<int64_t>(last - first, 0), w.dilation};
}

// The outputs that see input i.
inline Span outputs_of(const WindowAxis& w, int64_t i) {
  if (w.output == 0) return {0, 0, 1};
  if (w.kernel == 0) {
    const int64_t begin = i * w.output / w.input;
    return {begin, ((i + 1) * w.output - 1) / w.input - begin + 1, 1};
  }
  const int64_t p = i + w.low, reach = (w.kernel - 1) * w.dilation;
  int64_t first = std::max<int64_t>(ceil_quotient(p - reach, w.stride), 0);
  const int64_t last = std::min(floor_quotient(p, w.stride), w.output - 1);
  if (w.period > 1 || w.common > 1) {
    if (p % w.common != 0) return {0, 0, 1};
    const auto phase = static_cast<int64_t>(static_cast<__int128>(p / w.common % w.period) * w.inverse % w.period);
    const int64_t ahead = (phase - first % w.period + w.period) % w.period;
    first += ahead;
  }
  return {first, last < first ? 0 : (last - first) / w.period + 1, w.period};
}

// Where the sources begin and end that results first, ..., last - 1 read: inputs, or, adjoint, outputs.
inline Span sources_between(const WindowAxis& w, bool adjoint, int64_t first, int64_t last) {
  const int64_t all = adjoint ? w.output : w.input, from = adjoint ? w.input : w.output;
  if (from == 0 || all == 0) return {0, 0, 1};
  int64_t begin, end;
  if (w.kernel == 0) {
    begin = first * all / from;
    end = ceil_quotient(last * all, from);
  } else {
    const int64_t reach = (w.kernel - 1) * w.dilation;
    begin = adjoint ? ceil_quotient(first + w.low - reach, w.stride) : first * w.stride - w.low;
    end = adjoint ? floor_quotient(last - 1 + w.low, w.stride) + 1 : (last - 1) * w.stride - w.low + reach + 1;
  }
  begin = std::clamp<int64_t>(begin, 0, all);
  return {begin, std::clamp<int64_t>(end, begin, all) - begin, 1};
}

// div(o): how many elements of the window count, at least 1.
inline int64_t divisor_of(const WindowAxis& w, int64_t o) {
  if (w.kernel == 0 || !w.count_padding) return std::max<int64_t>(window_of(w, o).count, 1);
  return std::max<int64_t>(steps_before(w, w.input + w.high - (o * w.stride - w.low)), 1);
}

}  // namespace
