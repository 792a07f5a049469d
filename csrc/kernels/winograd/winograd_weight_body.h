// The gradient of the weights: the same sources, with tiles of the gradient for filters.
#pragma once

#include "kernels/winograd/winograd_body.h"

namespace {

using convlayers::WinogradWeightProblem;

// G g G' of one tile of the gradient, for the output channels of a block: to[point * stride + o].
template <int PU, int MU, int PV, int MV>
void transform_gradient(const WinogradWeightProblem& p, const WinogradTile& tile, int64_t channel, int64_t width, float* to,
                        int64_t stride) {
  const Gather& g = *p.gather;
  const WinogradForm& form = p.plan->form;
  const ClassView &u = g.region->axis[form.u], &v = g.region->axis[form.v];
  const int64_t rows = std::min<int64_t>(MU, u.outputs - tile.u), columns = std::min<int64_t>(MV, v.outputs - tile.v);
  const float* gradient = p.gradient + tile.n * g.output_batch + g.region->axis[form.plain].output[tile.plain] + channel;
  for (int64_t c = 0; c < width; c += kLanes) {
    Vec half[PU][MV];
#pragma GCC unroll 8
    for (int64_t j = 0; j < MV; ++j) {
      Vec x[MU] = {}, w[PU];
      if (j < columns) {
        const float* at = gradient + v.output[tile.v + j] + c;
#pragma GCC unroll 8
        for (int64_t i = 0; i < MU; ++i)
          if (i < rows) x[i] = load_first(at + u.output[tile.u + i], width - c);
      }
      transform_taps(x, w);
#pragma GCC unroll 8
      for (int i = 0; i < PU; ++i) half[i][j] = w[i];
    }
#pragma GCC unroll 8
    for (int i = 0; i < PU; ++i) {
      Vec w[PV];
      transform_taps(half[i], w);
#pragma GCC unroll 8
      for (int j = 0; j < PV; ++j) store(to + (i * PV + j) * stride + c, w[j]);
    }
  }
}

// A' S A of one source channel, for the output channels of a block: its taps of axes u and v, at to + place[tap].
template <int PU, int RU, int PV, int RV>
void collect_taps(const float* sums, int64_t stride, int64_t whole, float* to, const int64_t* place) {
  for (int64_t c = 0; c < whole; c += kLanes) {
    Vec half[RU][PV];
#pragma GCC unroll 8
    for (int j = 0; j < PV; ++j) {
      Vec m[PU], y[RU];
#pragma GCC unroll 8
      for (int i = 0; i < PU; ++i) m[i] = load(sums + (i * PV + j) * stride + c);
      transform_products(m, y);
#pragma GCC unroll 8
      for (int i = 0; i < RU; ++i) half[i][j] = y[i];
    }
#pragma GCC unroll 8
    for (int i = 0; i < RU; ++i) {
      Vec y[RV];
      transform_products(half[i], y);
#pragma GCC unroll 8
      for (int j = 0; j < RV; ++j) store(to + place[i * RV + j] + c, y[j]);
    }
  }
}

struct WinogradWeightTransforms {
  void (*gradient)(const WinogradWeightProblem&, const WinogradTile&, int64_t channel, int64_t width, float* to,
                   int64_t stride);
  void (*taps)(const float* sums, int64_t stride, int64_t whole, float* to, const int64_t* place);
};
template <int MU, int RU, int MV, int RV>
constexpr WinogradWeightTransforms kWinogradWeightTransforms = {
    transform_gradient<MU + RU - 1, MU, MV + RV - 1, MV>, collect_taps<MU + RU - 1, RU, MV + RV - 1, RV>};
inline const WinogradWeightTransforms& winograd_weight_transforms(const WinogradForm& form) {
  if (form.taps_u == 3) return kWinogradWeightTransforms<4, 3, 4, 3>;
  if (form.taps_u == 5) return kWinogradWeightTransforms<2, 5, 2, 5>;
  return form.taps_v == 3   ? kWinogradWeightTransforms<1, 1, 4, 3>
         : form.taps_v == 5 ? kWinogradWeightTransforms<1, 1, 4, 5>
                            : kWinogradWeightTransforms<1, 1, 2, 7>;
}

// Tasks: segments of the tiles, each with sums of its own, by blocks of output channels, by taps of the plain axis and
// strips of source channels. The sums of a task, its tiles and its gradients are to stay in the second-level cache.
constexpr int64_t kWinogradStrip = 64;
inline int64_t winograd_strips(const WinogradWeightProblem& p) { return (p.source_channels + kWinogradStrip - 1) / kWinogradStrip; }
int64_t winograd_weight_tasks(const WinogradWeightProblem& p) {
  return p.segments * p.plan->blocks * p.gather->region->axis[p.plan->form.plain].taps * winograd_strips(p);
}

void winograd_weight(const WinogradWeightProblem& p, int64_t begin, int64_t end) {
  const Gather& g = *p.gather;
  const WinogradPlan& plan = *p.plan;
  const WinogradForm& form = plan.form;
  const auto transform = winograd_transforms(form).source;
  const auto& weight_transforms = winograd_weight_transforms(form);
  const auto& axis = g.region->axis;
  const int64_t points = form.points(), padded = rounded(p.output_channels);
  const int64_t strips = winograd_strips(p), taps = axis[form.plain].taps;
  const int64_t strip = (p.source_channels + strips - 1) / strips, row = (rounded(strip) / kLanes | 1) * kLanes;
  constexpr int64_t kTiles = 48;
  const int64_t source_point = kTiles * row + kLanes, gradient_point = kTiles * plan.width + kLanes;
  const int64_t sum_point = strip * plan.width + kLanes;
  const Scratch<float> sources(points * source_point), gradients(points * gradient_point), sums(points * sum_point);
  const Zeros zeros(strip);
  const TileSources tile_sources{p.gather, p.source, p.outside, zeros.get()};

  // Where the taps lie in the result.
  const int64_t tap_stride[3] = {p.sizes.kernel[1] * p.sizes.kernel[2], p.sizes.kernel[2], 1};
  const Scratch<int64_t> place(form.taps_u * form.taps_v);
  const bool flip_u = form.taps_u > 1 && axis[form.u].shift[1] < axis[form.u].shift[0];
  const bool flip_v = axis[form.v].shift[1] < axis[form.v].shift[0];
  for (int64_t i = 0; i < form.taps_u; ++i)
    for (int64_t j = 0; j < form.taps_v; ++j)
      place.get()[i * form.taps_v + j] =
          ((flip_u ? form.taps_u - 1 - i : i) * tap_stride[form.u] + (flip_v ? form.taps_v - 1 - j : j) * tap_stride[form.v]) *
          p.source_channels * padded;

  for (int64_t task = begin; task < end; ++task) {
    int64_t rest = task;
    const int64_t channel = rest % strips * strip, channels = std::min(strip, p.source_channels - channel);
    rest /= strips;
    const int64_t tap = rest % taps;
    rest /= taps;
    const int64_t block = rest % plan.blocks, segment = rest / plan.blocks;
    const int64_t width = std::min(kBlock, p.output_channels - block * kBlock), whole = rounded(width);
    const int64_t begin_tile = plan.tiles * segment / p.segments, end_tile = plan.tiles * (segment + 1) / p.segments;
    const int64_t parts = (end_tile - begin_tile + kTiles - 1) / kTiles;
    std::memset(sums.get(), 0, static_cast<size_t>(points * sum_point) * sizeof(float));
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t first = begin_tile + (end_tile - begin_tile) * part / parts;
      const int64_t count = begin_tile + (end_tile - begin_tile) * (part + 1) / parts - first;
      for (int64_t i = 0; i < count; ++i) {
        const WinogradTile tile(g, plan, first + i);
        transform(tile_sources, plan, tile, tap, channel, channels, sources.get() + i * row, source_point);
        weight_transforms.gradient(p, tile, block * kBlock, width, gradients.get() + i * whole, gradient_point);
      }
      for (int64_t point = 0; point < points; ++point)
        for_rows(channels, whole / kLanes, [&](int64_t c, int64_t rows) {
          kProduct.row_product[whole / kLanes - 1][rows - 1]({sources.get() + point * source_point + c,
                                                              gradients.get() + point * gradient_point, row, count,
                                                              sums.get() + point * sum_point + c * whole});
        });
    }
    float* result = p.result + segment * p.sizes.taps() * p.source_channels * padded +
                    (tap * tap_stride[form.plain] * p.source_channels + channel) * padded + block * kBlock;
    for (int64_t c = 0; c < channels; ++c)
      weight_transforms.taps(sums.get() + c * whole, sum_point, whole, result + c * padded, place.get());
  }
}

}  // namespace
