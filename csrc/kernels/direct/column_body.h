// Direct convolution to few output channels where sources spread over outputs (the gradient of a first layer's input, a
// transposed convolution to a picture): a source pixel's products with all taps and output channels are the columns of one
// matrix product, and are then added up where they belong. Lanes are columns: few of them are idle.
//
//     column(s, t, o) = sum over channels c of  weight(t, c, o) source(s, c),   output(p, o) = sum over s, t that meet in p
#pragma once

#include "kernels/direct/line_body.h"

namespace {

// Columns pay while output channels alone would leave half of a vector idle.
inline bool takes_columns(const DirectProblem& p) {
  const Gather& g = *p.gather;
  return g.spreads && p.groups == 1 && p.output_channels <= kLanes / 2 && p.source_channels >= 4 && g.filter_taps > 1;
}

// Weights of one tap of the first axis: [block of columns][source channel][column of the block].
void pack_columns(const DirectProblem& p, int64_t first_tap, int64_t taps, float* packed) {
  const int64_t outputs = p.output_channels, padded = rounded(outputs), columns = taps * outputs;
  for (int64_t block = 0; block < columns; block += kBlock) {
    const int64_t width = rounded(std::min(kBlock, columns - block));
    for (int64_t c = 0; c < p.source_channels; ++c, packed += width)
      for (int64_t i = 0; i < width; ++i) {
        const int64_t tap = first_tap + (block + i) / outputs, o = (block + i) % outputs;
        packed[i] = block + i < columns ? p.weight[(tap * p.source_channels + c) * padded + o] : 0.f;
      }
  }
}

// Tasks: bands of output rows, of one plane each; several sources reach into two bands and are multiplied twice.
struct ColumnCut {
  int64_t rows, bands, planes;
  explicit ColumnCut(const Gather& g) {
    const auto& [d, h, w] = g.spread;
    int64_t pixels = 0;
    for (int64_t i = 0; i < g.regions; ++i) pixels += g.region[i].pixels;
    planes = pixels / (h.output * w.output);
    rows = std::clamp<int64_t>(planes * h.output / 16, 8, 64);
    bands = (h.output + rows - 1) / rows;
  }
};
int64_t column_tasks(const DirectProblem& p) {
  const ColumnCut cut(*p.gather);
  return cut.planes * cut.bands;
}

// to[i] += from[i] for a few numbers.
inline void add_run(const float* from, float* to, int64_t count) {
  int64_t i = 0;
  for (; i + kLanes < count; i += kLanes) store(to + i, load(to + i) + load(from + i));
  store_first(to + i, load_first(to + i, count - i) + load_first(from + i, count - i), count - i);
}

// Adds the columns of pixels first ... first + count of a source row, [pixel][stride], to an output row. A run is what lies
// side by side: a line of taps, or a single tap where taps are apart. Neighbours overlap, so those come next that do not:
// memory just written cannot be read at once.
void fold_row(const Gather& g, int64_t channels, const float* columns, int64_t stride, int64_t first, int64_t count,
              float* row) {
  const auto& w = g.spread[2];
  const int64_t taps = w.dilation == 1 ? w.kernel : 1, runs = w.kernel / taps, run = taps * channels;
  const int64_t apart = std::max<int64_t>((taps + w.stride - 1) / w.stride, 1);
  for (int64_t r = 0; r < runs; ++r) {
    const int64_t start = first * w.stride + r * w.dilation - w.low;  // where the run of the first pixel belongs
    // Pixels whose runs lie inside: inner ... outer.
    const int64_t inner = std::clamp<int64_t>((-start + w.stride - 1) / w.stride, 0, count);
    const int64_t room = w.output - taps - start;
    const int64_t outer = room < 0 ? inner : std::clamp<int64_t>(room / w.stride + 1, inner, count);
    const float* from = columns + r * run;
    const auto add = [&](int64_t j) {
      const int64_t place = start + j * w.stride;
      const int64_t low = std::max<int64_t>(-place, 0), high = std::min(w.output - place, taps);
      if (low < high)
        add_run(from + j * stride + low * channels, row + (place + low) * channels, (high - low) * channels);
    };
    for (int64_t j = 0; j < inner; ++j) add(j);
    for (int64_t phase = inner; phase < std::min(inner + apart, outer); ++phase)
      for (int64_t j = phase; j < outer; j += apart)
        add_run(from + j * stride, row + (start + j * w.stride) * channels, run);
    for (int64_t j = outer; j < count; ++j) add(j);
  }
}

// Bias and activation of a row that is summed up.
void finish_row(const DirectProblem& p, float* row, int64_t pixels) {
  const int64_t channels = p.output_channels;
  const Vec bias = p.bias ? load_first(p.bias, channels) : Vec{};
  for (int64_t i = 0; i < pixels; ++i, row += channels)
    store_first(row, activate(load_first(row, channels) + bias, p.activation), channels);
}

void column_convolution(const DirectProblem& p, int64_t begin, int64_t end) {
  const Gather& g = *p.gather;
  const auto& [d, h, w] = g.spread;
  const int64_t channels = p.output_channels, taps = h.kernel * w.kernel, columns = taps * channels;
  constexpr int64_t kPixels = 8 * kRows;
  const int64_t stride = rounded(columns) + kLanes, depth_floats = rounded(columns) * p.source_channels;
  const ColumnCut cut(g);
  const Scratch<float> weight(d.kernel * depth_floats), product(kPixels * stride);
  for (int64_t k = 0; k < d.kernel; ++k) pack_columns(p, k * taps, taps, weight.get() + k * depth_floats);
  for (int64_t task = begin; task < end; ++task) {
    const int64_t plane = task / cut.bands, batch = plane / d.output, depth = plane % d.output;
    const int64_t top = task % cut.bands * cut.rows, bottom = std::min(top + cut.rows, h.output);
    float* output = p.output + batch * g.output_strides.batch + depth * g.output_strides.axis[0];
    for (int64_t row = top; row < bottom; ++row)
      std::memset(output + row * g.output_strides.axis[1], 0, static_cast<size_t>(w.output * channels) * sizeof(float));
    for (int64_t kd = 0; kd < d.kernel; ++kd) {
      const int64_t at = depth + d.low - kd * d.dilation, od = at / d.stride;
      if (at < 0 || at % d.stride != 0 || od >= d.input) continue;
      for (int64_t oh = 0; oh < h.input; ++oh) {
        const int64_t start = oh * h.stride - h.low;  // of its taps' rows
        if (start >= bottom || start + (h.kernel - 1) * h.dilation < top) continue;
        const float* source = p.source + batch * g.source_strides.batch + od * g.source_strides.axis[0] +
                              oh * g.source_strides.axis[1];
        for (int64_t ow = 0; ow < w.input; ow += kPixels) {
          const int64_t count = std::min(kPixels, w.input - ow), pixel = g.source_strides.axis[2];
          const Run line{source + ow * pixel, pixel};
          for (int64_t block = 0; block < columns; block += kBlock) {
            LineTile t{};
            t.line = &line;
            t.lines = 1;
            t.run = p.source_channels;
            t.weight = weight.get() + kd * depth_floats + block * p.source_channels;
            t.output = product.get() + block;
            t.step = stride;
            t.width = rounded(std::min(kBlock, columns - block));
            run_line_tiles(t, count);
          }
          for (int64_t kh = 0; kh < h.kernel; ++kh) {
            const int64_t row = start + kh * h.dilation;
            if (row < top || row >= bottom) continue;
            fold_row(g, channels, product.get() + kh * w.kernel * channels, stride, ow, count,
                     output + row * g.output_strides.axis[1]);
          }
        }
      }
    }
    if (p.bias || p.activation.code != ActivationCode::kIdentity)
      for (int64_t row = top; row < bottom; ++row) finish_row(p, output + row * g.output_strides.axis[1], w.output);
  }
}

}  // namespace
