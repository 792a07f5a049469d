// The gradient of the weights: the same sources, with tiles of the gradient for filters.
#pragma once

#include "kernels/winograd/winograd_body.h"

namespace {

using convlayers::WinogradWeightProblem;

// G g G' of each tile of a group's gradient, for `width` output channels from `channel` on: to[point * stride + tile * row + o].
// Unless they are null, the gradients themselves are added to `channel_sums`.
template <int PU, int MU, int PV, int MV>
void transform_gradients(const WinogradWeightProblem& p, const float* base, int64_t first, int64_t count, int64_t channel,
                         int64_t width, float* to, int64_t row, int64_t stride, float* channel_sums) {
  TileOutputs<const float, MU, MV> next(*p.gather, *p.plan, first, base + channel);
  for (int64_t t = 0; t < count; ++t, to += row) {
    const TileOutputs<const float, MU, MV> gradient = next;
    if (t + 1 < count) next = TileOutputs<const float, MU, MV>(*p.gather, *p.plan, first + t + 1, base + channel);
    const bool complete = gradient.rows == MU && gradient.columns == MV;
    for (int64_t c = 0; c < width; c += kLanes) {
      const int64_t left = width - c;
      Vec half[PU][MV], sum{};
#pragma GCC unroll 8
      for (int j = 0; j < MV; ++j) {
        Vec x[MU], w[PU];
        if (complete && left >= kLanes) {
#pragma GCC unroll 8
          for (int i = 0; i < MU; ++i) x[i] = load(gradient.at[i][j] + c);
        } else {
          for (int i = 0; i < MU; ++i)
            x[i] = i < gradient.rows && j < gradient.columns ? load_first(gradient.at[i][j] + c, left) : Vec{};
        }
#pragma GCC unroll 8
        for (int i = 0; i < MU; ++i) __builtin_prefetch(next.at[i][j] + c);
        if (channel_sums)
          for (int i = 0; i < MU; ++i) sum += x[i];
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
      if (channel_sums) store(channel_sums + c, load(channel_sums + c) + sum);
    }
  }
}

// A' S A of some source channels, for the output channels of a block: a part's taps along u and v, into the filter bank.
template <int PU, int RU, int PV, int RV>
void collect_taps(const WinogradWeightProblem& p, const WinogradPart& part, const float* sums, int64_t stride,
                  int64_t channels, int64_t width, float* weight) {
  constexpr int kTaps = RU * RV;
  const FilterTaps<RU, RV> taps(*p.gather, p.plan->form, p.strides, part, 0);
  const int64_t whole = rounded(width), row = p.strides.row, column = p.strides.column;
  alignas(64) float filter[kFilterColumns * kTaps * kLanes];  // [channel][tap][output channel]
  for (int64_t first = 0; first < channels; first += kFilterColumns) {
    const int64_t some = std::min(kFilterColumns, channels - first);
    for (int64_t v = 0; v < width; v += kLanes) {
      for (int64_t c = 0; c < some; ++c) {
        const float* from = sums + (first + c) * whole + v;
        Vec half[RU][PV];
#pragma GCC unroll 8
        for (int j = 0; j < PV; ++j) {
          Vec m[PU], y[RU];
#pragma GCC unroll 8
          for (int i = 0; i < PU; ++i) m[i] = load(from + (i * PV + j) * stride);
          transform_products(m, y);
#pragma GCC unroll 8
          for (int i = 0; i < RU; ++i) half[i][j] = y[i];
        }
#pragma GCC unroll 8
        for (int i = 0; i < RU; ++i) {
          Vec y[RV];
          transform_products(half[i], y);
#pragma GCC unroll 8
          for (int j = 0; j < RV; ++j) store(filter + (c * kTaps + taps.place[i * RV + j]) * kLanes, y[j]);
        }
      }
      const int64_t rows = std::min<int64_t>(kLanes, width - v);
      float* const corner = weight + v * row + first * column;
      if (taps.near) {
        const int64_t all = some * kTaps, run = column == kTaps ? all : kTaps;
        for (int64_t at = 0; at < all; at += run)
          for (int64_t l = 0; l < run; l += kLanes)
            transpose_rows(filter + (at + l) * kLanes, kLanes, std::min<int64_t>(kLanes, run - l), rows,
                           corner + at / kTaps * column + taps.first + l, row);
        continue;
      }
      // Numbers side by side are written together: those of some rows, or of some columns.
      const int64_t run = column == 1 ? kLanes : 1;
      for (int64_t t = 0; t < kTaps; ++t) {
        if (taps.offset[t] == kMissing) continue;
        float* const to = corner + taps.offset[t];
        const float* const from = filter + t * kLanes;
        if (row == 1)
          for (int64_t c = 0; c < some; ++c) store_first(to + c * column, load(from + c * kTaps * kLanes), rows);
        else
          for (int64_t c = 0; c < some; c += run)
            transpose_rows(from + c * kTaps * kLanes, kTaps * kLanes, std::min(run, some - c), rows, to + c * column, row);
      }
    }
  }
}

struct WinogradWeightTransforms {
  void (*gradients)(const WinogradWeightProblem&, const float* gradient, int64_t first, int64_t count, int64_t channel,
                    int64_t width, float* to, int64_t row, int64_t stride, float* channel_sums);
  void (*taps)(const WinogradWeightProblem&, const WinogradPart&, const float* sums, int64_t stride, int64_t channels,
               int64_t width, float* weight);
};
template <int MU, int RU, int MV, int RV>
constexpr WinogradWeightTransforms kWinogradWeightTransforms = {
    transform_gradients<MU + RU - 1, MU, MV + RV - 1, MV>, collect_taps<MU + RU - 1, RU, MV + RV - 1, RV>};
inline const WinogradWeightTransforms& winograd_weight_transforms(const WinogradForm& form) {
  return with_form(form, [](auto f) -> auto& { return kWinogradWeightTransforms<f.kMU, f.kRU, f.kMV, f.kRV>; });
}

// Tasks: segments of the tiles, each with sums of its own, by groups, bundles of blocks of output channels, parts of the filters
// and strips of source channels.
int64_t winograd_weight_tasks(const WinogradWeightProblem& p) {
  return p.segments * p.groups * p.plan->bundles * p.plan->parts * p.plan->strips;
}

void winograd_weight(const WinogradWeightProblem& p, int64_t begin, int64_t end) {
  const WinogradPlan& plan = *p.plan;
  const WinogradForm& form = plan.form;
  const auto transform = winograd_transforms(form).sources;
  const auto& weight_transforms = winograd_weight_transforms(form);
  const int64_t points = form.points();
  const int64_t strips = plan.strips, strip = plan.strip;
  const int64_t row = (rounded(strip) / kLanes | 1) * kLanes;
  const int64_t source_point = plan.stretch * row + kLanes, gradient_point = plan.stretch * plan.width + kLanes;
  const int64_t sum_point = strip * plan.width + kLanes, block_sums = points * sum_point, block_gradients = points * gradient_point;
  const Scratch<float> sources(points * source_point), gradients(plan.bundle * block_gradients), sums(plan.bundle * block_sums);
  const Scratch<float> channel_sums(plan.bundle * kBlock);
  const Zeros zeros(strip);

  for (int64_t task = begin; task < end; ++task) {
    int64_t rest = task;
    const int64_t channel = rest % strips * strip, channels = std::min(strip, p.source_channels - channel);
    rest /= strips;
    const int64_t index = rest % plan.parts;
    rest /= plan.parts;
    const WinogradPart part(form, index);
    const int64_t bundle = rest % plan.bundles;
    const int64_t first_block = plan.blocks * bundle / plan.bundles, last_block = plan.blocks * (bundle + 1) / plan.bundles;
    rest /= plan.bundles;
    const int64_t group = rest % p.groups, segment = rest / p.groups;
    const float *source = p.source + group * p.source_channels, *gradient = p.gradient + group * p.output_channels;
    const int64_t begin_tile = plan.tiles * segment / p.segments, end_tile = plan.tiles * (segment + 1) / p.segments;
    const int64_t stretches = std::max<int64_t>(1, (end_tile - begin_tile + plan.stretch - 1) / plan.stretch);
    // One of the tasks that read the same gradients sums them, too: a stretch's by themselves, then all.
    const bool sums_channels = p.channel_sums && index == 0 && channel == 0;
    clear(channel_sums.get(), plan.bundle * kBlock);
    for (int64_t s = 0; s < stretches; ++s) {
      const int64_t first = begin_tile + (end_tile - begin_tile) * s / stretches;
      const int64_t count = begin_tile + (end_tile - begin_tile) * (s + 1) / stretches - first;
      if (count > 0)
        transform({p.gather, p.plan, first, count, source, p.outside, zeros.get()}, index, channel, channels, sources.get(),
                  row, source_point);
      for (int64_t block = first_block; count > 0 && block < last_block; ++block) {
        const int64_t width = block_width(p.output_channels, block);
        alignas(64) float stretch_sums[kBlock] = {};
        weight_transforms.gradients(p, gradient, first, count, block * kBlock, width,
                                    gradients.get() + (block - first_block) * block_gradients, rounded(width), gradient_point,
                                    sums_channels ? stretch_sums : nullptr);
        float* to = channel_sums.get() + (block - first_block) * kBlock;
        for (int64_t o = 0; sums_channels && o < kBlock; ++o) to[o] += stretch_sums[o];
      }
      for (int64_t point = 0; point < points; ++point)
        for (int64_t block = first_block; block < last_block; ++block) {
          const int64_t whole = rounded(block_width(p.output_channels, block));
          const float* of_block = gradients.get() + (block - first_block) * block_gradients + point * gradient_point;
          float* to = sums.get() + (block - first_block) * block_sums + point * sum_point;
          for_rows(channels, whole / kLanes, [&](int64_t c, int64_t rows) {
            kProduct.row_product[whole / kLanes - 1][rows - 1](
                {sources.get() + point * source_point + c, of_block, row, count, s > 0, to + c * whole});
          });
        }
    }
    for (int64_t block = first_block; block < last_block; ++block) {
      const int64_t width = block_width(p.output_channels, block);
      if (sums_channels)
        std::memcpy(p.channel_sums + (segment * p.groups + group) * p.output_channels + block * kBlock,
                    channel_sums.get() + (block - first_block) * kBlock, static_cast<size_t>(width) * sizeof(float));
      float* weight = p.result + segment * p.sizes.groups * p.sizes.rows * p.sizes.columns * p.sizes.taps();
      weight += group * p.strides.group + block * kBlock * p.strides.row + channel * p.strides.column +
                plain_offset(*p.gather, form, p.strides, part);
      weight_transforms.taps(p, part, sums.get() + (block - first_block) * block_sums, sum_point, channels, width, weight);
    }
  }
}

}  // namespace
