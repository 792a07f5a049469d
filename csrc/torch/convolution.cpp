#include "torch/convolution.h"

#include <algorithm>
#include <utility>

#include "torch/covering.h"
#include "torch/plans.h"
#include "torch/weights.h"

namespace convlayers {
namespace {

// Multiplications and additions of a dense gather, in the time of which the work is counted.
double multiplications(const Gather& g, const FilterSizes& sizes) {
  double pairs = 0;
  for (int64_t i = 0; i < g.regions; ++i)
    pairs += static_cast<double>(g.region[i].pixels) * static_cast<double>(g.region[i].taps);
  return pairs * static_cast<double>(sizes.groups * sizes.rows * sizes.columns);
}

// Of Winograd's algorithm, in its tiles; its transforms take as long as some products.
double multiplications(const WinogradPlan& plan, const FilterSizes& s) {
  constexpr double kSource = 20, kOutput = 7;
  const auto columns = static_cast<double>(plan.parts * s.columns), rows = static_cast<double>(s.rows);
  return static_cast<double>(s.groups * plan.tiles * plan.form.points()) * (columns * (rows + kSource) + rows * kOutput);
}

// As many as pass while a depthwise kernel does one, and while a float is moved from one order to another.
constexpr double kDepthwise = 6, kMove = 4;

// Of reading one side of a convolution and writing the other.
double moves(const Call& c) {
  int64_t in = c.in_channels, out = c.out_channels;
  for (const AxisGeometry& a : c.axis) in *= a.input, out *= a.output;
  return kMove * static_cast<double>(c.batch * (in + out));
}

// Of moving so many floats before or after `work`: the threads that this wakes are awake.
double prepares(int64_t floats, double work) { return std::max(kMove * static_cast<double>(floats), work); }

// What a source outside reads along each axis, for lines of taps of pixels of `channels`.
class Outside {
 public:
  Outside(const Call& c, int64_t channels, const float* value) {
    alignas(64) static const float zeros[16 * 1024] = {};
    channels *= c.sees_outside() ? std::max<int64_t>(c.axis[2].kernel, 1) : 0;
    if (!value && channels <= static_cast<int64_t>(std::size(zeros))) {
      std::fill(axis_, axis_ + 3, zeros);
      return;
    }
    memory_ = workspace(3 * channels);
    float* p = memory_.get();
    for (size_t a = 0; a < 3; ++a, p += channels) {
      std::fill(p, p + channels, value ? value[a] : 0.f);
      axis_[a] = p;
    }
  }
  void copy_to(const float* (&to)[3]) const { std::copy(axis_, axis_ + 3, to); }

 private:
  Memory memory_;
  const float* axis_[3];
};

// Rounded up to whole vectors.
int64_t whole(int64_t channels) {
  const int64_t lanes = kernels().lanes;
  return (channels + lanes - 1) / lanes * lanes;
}

// Which taps of a region Winograd's weights are made of, along an axis, and how.
int64_t taps_of(const ClassView& a, const WinogradAxis& form) {
  constexpr int64_t kMost = 2048;  // more than a filter of ours has taps
  const bool back = a.taps > 1 && a.shift[1] < a.shift[0];
  int64_t code = form.axis;
  for (int64_t value : {form.taps, form.phases, a.taps, a.tap[0], a.taps > 1 ? a.tap[1] : 0}) code = code * kMost + value;
  return 2 * code + back;
}

// Winograd's algorithm for the one region of a gather.
void winograd_pixels(const DirectProblem& p, const Tensor& weight, bool constant, const FilterStrides& strides,
                     const FilterSizes& sizes) {
  const Kernels& k = kernels();
  WinogradForm form;
  STD_TORCH_CHECK(winograd_form(*p.gather, form), "convlayers: the gather has not Winograd's form");
  WinogradPlan cut(*p.gather, form, sizes.groups, sizes.columns, sizes.rows, k.lanes, k.block);
  const ClassView* axis = p.gather->region->axis;
  const WeightForm transformed{WeightForm::kWinograd, strides, sizes,
                               {taps_of(axis[form.u.axis], form.u), taps_of(axis[form.v.axis], form.v),
                                taps_of(axis[form.plain], {form.plain, 1, 1})}};
  // For a few tiles, weights so many that they come from memory are transformed in less time than their transforms are read.
  constexpr int64_t kTiles = 12;
  const bool worth = cut.slice == 0 || cut.tiles >= kTiles;
  PackedWeights filters(weight, constant && worth, transformed, p.groups * cut.blocks * cut.filter_block);
  if (filters.lasting()) cut.slice = 0;
  const Memory sources = workspace(cut.source_floats());
  const double work = multiplications(cut, sizes);
  const auto* filter = static_cast<const float*>(weight.const_data_ptr());
  WinogradProblem w{p, &cut, filter, strides, sizes, nullptr, sources.get(), 0, 0};
  if (cut.slice == 0)
    w.filters = filters.get([&](float* to) {
      w.filters = to;
      run(k.winograd_filters, w, prepares(p.groups * cut.group_floats(), work));
    });
  run_winograd(k, w, [&](const auto& kernel, const auto& problem) { run(kernel, problem, work); });
}

// The gather that both the operator and the gradient of its input are: that one reads zeros outside and has no activation.
void gather_pixels(const Call& c, bool adjoint, const Source& source, const Tensor& weight,
                   const std::optional<Tensor>& bias, bool constant, Result& result) {
  const Kernels& k = kernels();
  const bool zeros = adjoint || c.zeros;
  const auto plan = gather_plan(c.batch, c.axis, c.transposed, adjoint, source.strides(), result.strides(), zeros);
  const Gather& gather = plan->view();
  const int64_t channels = adjoint ? c.out_channels : c.in_channels;
  const Outside outside(c, channels, zeros ? nullptr : c.value);
  const Activation activation = adjoint ? Activation{} : c.activation;
  const Tensor bias_dense = bias ? torch::stable::contiguous(*bias) : weight;
  const float* bias_data = bias ? static_cast<const float*>(bias_dense.const_data_ptr()) : nullptr;
  const FilterSizes sizes = c.filter(adjoint);

  if (c.depthwise) {
    const FilterStrides strides = c.strides(weight, adjoint);
    DepthwiseProblem p{};
    p.gather = &gather;
    p.source = source.data();
    p.output = result.data();
    outside.copy_to(p.outside);
    p.groups = c.groups;
    p.source_channels = sizes.columns;
    p.output_channels = sizes.rows;
    p.bias = bias_data;
    p.activation = activation;
    const double work = kDepthwise * multiplications(gather, sizes);
    PackedWeights packed(weight, constant, {WeightForm::kDepthwise, strides, sizes, {}}, vector_floats(sizes, k.lanes));
    p.weight = packed.get([&](float* to) {
      const Pack job{static_cast<const float*>(weight.const_data_ptr()), strides, sizes, to};
      parallel(vector_parts(sizes, k.lanes), [&](int64_t v) { pack_vector(job, k.lanes, v); },
               prepares(weight.numel(), work));
    });
    return run(k.depthwise, p, work);
  }
  DirectProblem p{};
  p.gather = &gather;
  p.source = source.data();
  p.output = result.data();
  outside.copy_to(p.outside);
  p.groups = c.groups;
  p.source_channels = sizes.columns;
  p.output_channels = sizes.rows;
  p.bias = bias_data;
  p.activation = activation;
  const auto* filter = static_cast<const float*>(weight.const_data_ptr());
  // Not all gathers have Winograd's form, as the gradient of a folding border: direct.
  const FilterStrides strides = c.strides(weight, adjoint);
  if (c.winograd && winograd_fits(gather)) {
    for (int64_t i = 0; i < gather.regions; ++i) {
      const Gather region = only_region(gather, i);
      p.gather = &region;
      winograd_pixels(p, weight, constant, strides, sizes);
    }
    return;
  }
  const double work = moves(c) + multiplications(gather, sizes);
  const bool turned = k.lanes_are_sources(p);
  const FilterStrides pack_strides = turned ? strides.turned() : strides;
  const FilterSizes pack_sizes = turned ? sizes.turned() : sizes;
  PackedWeights packed(weight, constant, {WeightForm::kDirect, pack_strides, pack_sizes, {}},
                       pack_sizes.groups * whole(pack_sizes.rows) * pack_sizes.columns * pack_sizes.taps());
  p.weight = packed.get([&](float* to) {
    run(k.pack, Pack{filter, pack_strides, pack_sizes, to}, prepares(weight.numel(), work));
  });
  run(k.direct, p, work);
}

// In how many parts the pixels are summed: enough for a few threads, each long enough to be worth a buffer of its own. Beside the
// first, the buffers take 4 MB at most.
int64_t segment_count(const Gather& g, int64_t floats) {
  int64_t pixels = 0;
  for (int64_t i = 0; i < g.regions; ++i) pixels += g.region[i].pixels;
  constexpr int64_t kTasks = 16, kPixels = 768, kFloats = int64_t{1} << 20;
  return std::max<int64_t>(1, std::min({kTasks, pixels / kPixels, 1 + kFloats / std::max<int64_t>(floats, 1)}));
}

// Whether the two factors of the weights' gradient change places: rows of sums are of the one that fills vectors, or for a 1x1
// blocks, better. The factors of a transposed convolution are then those of a convolution, whose taps all pixels share.
bool turns(const Call& c, bool has_bias) {
  if (!c.zeros || c.groups != 1) return false;
  const auto full = [](int64_t channels) {
    const int64_t block = kernels().block;
    return static_cast<double>(channels / block * block) / static_cast<double>(channels);
  };
  // Of a 1x1 both orders are alike but for this, and that the sums of the second lie as weights do.
  if (c.filter(false).taps() == 1) {
    const bool alike = !has_bias && std::min(c.in_channels, c.out_channels) >= 3 * kernels().block;
    return full(c.in_channels) > full(c.out_channels) || (alike && full(c.in_channels) == full(c.out_channels));
  }
  const double here = static_cast<double>(c.in_channels * whole(c.out_channels)),
               there = static_cast<double>(c.out_channels * whole(c.in_channels));
  return there < (c.transposed ? 1.1 : 0.8) * here;
}

// Segments of `floats` sums, added in their order.
void add_segments(const float* segments, int64_t count, int64_t floats, float* sums) {
  constexpr int64_t kPart = 4096;
  parallel((floats + kPart - 1) / kPart, [&](int64_t part) {
    const int64_t first = part * kPart, last = std::min(first + kPart, floats);
    std::copy(segments + first, segments + last, sums + first);
    for (int64_t s = 1; s < count; ++s)
      for (int64_t i = first; i < last; ++i) sums[i] += segments[s * floats + i];
  }, kMove * static_cast<double>(count * floats));
}

// The segments' filter banks; one alone is the result itself.
void winograd_weight_grad(WinogradWeightProblem p, float* sums) {
  const int64_t floats = p.sizes.groups * p.sizes.rows * p.sizes.columns * p.sizes.taps();
  const Memory banks = p.segments > 1 ? workspace(p.segments * floats) : nullptr;
  p.result = banks ? banks.get() : sums;
  run(kernels().winograd_weight, p, multiplications(*p.plan, p.sizes));
  if (banks) add_segments(p.result, p.segments, floats, sums);
}

// The gradient of a bias alone: a walk over the pixels of a 1x1.
void bias_grad(const Call& c, const Source& gradient, float* bias) {
  AxisGeometry axis[3];
  for (int a = 0; a < 3; ++a) axis[a] = {c.axis[a].output, c.axis[a].output, 1, 1, 1, 0, Border::kConstant};
  const auto plan = gather_plan(c.batch, axis, false, false, gradient.strides(), gradient.strides(), true);
  const Gather& gather = plan->view();
  const int64_t segments = segment_count(gather, c.out_channels);
  const Memory sums = segments > 1 ? workspace(segments * c.out_channels) : nullptr;
  run(kernels().channel_sums, ChannelSumsProblem{&gather, gradient.data(), c.out_channels, segments, sums ? sums.get() : bias},
      kMove * static_cast<double>(c.batch * c.out_channels * axis[0].output * axis[1].output * axis[2].output));
  if (sums) add_segments(sums.get(), segments, c.out_channels, bias);
}

// The gradient of the weight, and of the bias unless it is null.
void weight_grad(const Call& c, const Source& input, const Source& grad, const Tensor& weight, float* bias) {
  const Kernels& k = kernels();
  const bool turned = !c.depthwise && turns(c, bias != nullptr);
  if (turned && bias) bias_grad(c, grad, std::exchange(bias, nullptr));
  const Source &source = turned ? grad : input, &gradient = turned ? input : grad;
  const auto plan =
      gather_plan(c.batch, c.axis, c.transposed, turned, source.strides(), gradient.strides(), c.zeros);
  const Gather& gather = plan->view();
  const int64_t channels = turned ? c.out_channels : c.in_channels;
  const Outside outside(c, channels, c.zeros ? nullptr : c.value);
  const FilterSizes sizes = c.filter(turned);
  const FilterStrides strides = c.strides(weight, turned);
  const double work = multiplications(gather, sizes);
  const int64_t width = whole(sizes.rows);
  const int64_t floats = c.depthwise ? vector_floats(sizes, k.lanes) : sizes.groups * sizes.taps() * sizes.columns * width;
  auto* result = static_cast<float*>(weight.data_ptr());
  DirectWeightProblem p{};
  p.gather = &gather;
  p.source = source.data();
  p.gradient = gradient.data();
  outside.copy_to(p.outside);
  p.groups = c.groups;
  p.source_channels = sizes.columns;
  p.output_channels = sizes.rows;
  WinogradForm form;
  const bool winograd = c.winograd && winograd_form(gather, form) && has_every_tap(gather, *gather.region);
  std::optional<WinogradPlan> cut;
  if (winograd) cut.emplace(gather, form, sizes.groups, sizes.columns, sizes.rows, k.lanes, k.block);
  p.segments = winograd ? cut->segments : segment_count(gather, floats);
  const Memory bias_sums = bias && p.segments > 1 ? workspace(p.segments * c.out_channels) : nullptr;
  p.channel_sums = bias_sums ? bias_sums.get() : bias;
  if (winograd) {
    winograd_weight_grad({p, &*cut, strides, sizes}, result);
  } else {
    // Sums in the weights' order are the result itself.
    const bool in_order = !c.depthwise && c.groups == 1 && sizes.taps() == 1 && strides.row == 1 && strides.column == width;
    const Memory sums = in_order && p.segments == 1 ? nullptr : workspace(p.segments * floats);
    p.result = sums ? sums.get() : result;
    const Unpack job{p.result, p.segments, sizes, strides, result};
    const double all = (c.depthwise ? kDepthwise : 1) * work + moves(c), moved = prepares(p.segments * floats, all);
    if (c.depthwise) {
      DepthwiseWeightProblem d{};
      d.gather = p.gather;
      d.source = p.source;
      d.gradient = p.gradient;
      outside.copy_to(d.outside);
      d.groups = c.groups;
      d.source_channels = sizes.columns;
      d.output_channels = sizes.rows;
      d.segments = p.segments;
      d.result = p.result;
      d.channel_sums = p.channel_sums;
      run(k.depthwise_weight, d, all);
      parallel(vector_parts(sizes, k.lanes), [&](int64_t i) { unpack_vector(job, k.lanes, i); }, moved);
    } else {
      run(k.direct_weight, p, all);
      if (!in_order)
        run(k.unpack, job, moved);
      else if (sums)
        add_segments(p.result, p.segments, floats, result);
    }
  }
  if (bias_sums) add_segments(bias_sums.get(), p.segments, c.out_channels, bias);
}

Tensor forward(const Tensor& input, const Tensor& weight, const std::optional<Tensor>& bias, const Arguments& arguments,
               bool constant) {
  if (is_half(input)) {
    const auto wide_bias = bias ? std::optional(widen(*bias)) : std::nullopt;
    return torch::stable::to(forward(widen(input), widen(weight), wide_bias, arguments, constant), input.scalar_type());
  }
  const Call call(arguments, input, weight, nullptr);
  if (bias) {
    check_tensor(*bias, "bias", 1);
    STD_TORCH_CHECK(bias->size(0) == call.out_channels, "convlayers: bias must have one entry an output channel");
  }
  const bool last = is_channels_last(weight);
  Result result(is_channels_last(input) || last, call.batch, call.out_channels, call.output_size());
  const Covering as(call, last);
  if (!result.empty())
    gather_pixels(as.call(), false, Source(as.operand(input)), as.operand(weight), bias, constant, result);
  return result.deliver();
}

struct Wanted {
  bool input, weight, bias, constant;
};

Gradients backward(const Tensor& grad, const Tensor& input, const Tensor& weight, const Arguments& arguments, Wanted wanted) {
  if (is_half(grad)) {
    const auto [a, b, c] = backward(widen(grad), widen(input), widen(weight), arguments, wanted);
    const auto narrow = [&](const Tensor& t) { return torch::stable::to(t, grad.scalar_type()); };
    return {narrow(a), narrow(b), narrow(c)};
  }
  const Call call(arguments, input, weight, &grad);
  const Source gradient(grad);
  // A weight's gradient lies as the weight does, as torch's: to lay it out otherwise would take its owner another pass.
  const bool last = is_channels_last(weight), input_last = last || is_channels_last(grad);
  Tensor of_input, of_weight = wanted.weight ? new_like(weight, last) : new_vector(input, 0);
  const Tensor of_bias = new_vector(grad, wanted.bias ? call.out_channels : 0);
  auto* bias = wanted.bias ? static_cast<float*>(of_bias.data_ptr()) : nullptr;
  const Covering as(call, last);
  if (grad.numel() == 0) {
    for (const Tensor* t : {&std::as_const(of_weight), &of_bias}) std::fill_n(static_cast<float*>(t->data_ptr()), t->numel(), 0.f);
  } else if (of_weight.numel() > 0) {
    weight_grad(as.call(), Source(as.operand(input)), gradient, as.operand(of_weight), bias);
  } else if (bias) {
    bias_grad(call, gradient, bias);
  }
  if (!wanted.input) {
    of_input = new_vector(grad, 0);
  } else if (as.covers()) {
    of_input = new_like(input, last);
    Result pixels(as.operand(of_input));
    if (!pixels.empty())
      gather_pixels(as.call(), true, gradient, as.operand(weight), std::nullopt, wanted.constant, pixels);
    if (input_last != last) {
      Tensor laid_out = new_like(input, input_last);
      of_input = torch::stable::copy_(laid_out, of_input);
    }
  } else {
    Result pixels(input_last, call.batch, call.in_channels, call.input_size());
    if (!pixels.empty()) gather_pixels(call, true, gradient, weight, std::nullopt, wanted.constant, pixels);
    of_input = pixels.deliver();
  }
  return {of_input, of_weight, of_bias};
}

}  // namespace

Tensor convolution(const Tensor& input, const Tensor& weight, const std::optional<Tensor>& bias, Ints output_size,
                   Ints stride, Ints low, Ints dilation, int64_t groups, bool transposed, Ints border, Floats value,
                   std::string kernel, int64_t activation, double alpha, double beta, bool constant) {
  STD_TORCH_CHECK(output_size.size() == stride.size(), "convlayers: output_size must have one entry a spatial axis");
  return forward(input, weight, bias,
                 {output_size, stride, low, dilation, groups, transposed, border, value, kernel, activation, alpha, beta},
                 constant);
}

Gradients convolution_backward(const Tensor& grad, const Tensor& input, const Tensor& weight, Ints stride, Ints low,
                               Ints dilation, int64_t groups, bool transposed, Ints border, Floats value,
                               std::string kernel, bool wants_input, bool wants_weight, bool wants_bias, bool constant) {
  return backward(grad, input, weight, {{}, stride, low, dilation, groups, transposed, border, value, kernel, 0, 0, 0},
                  {wants_input, wants_weight, wants_bias, constant});
}

Tensor convolution_packed(const Tensor& input, const Tensor& weight, const std::optional<Tensor>& bias,
                          const Tensor& packed, bool constant) {
  return forward(input, weight, bias, Arguments(packed), constant);
}

Gradients convolution_backward_packed(const Tensor& grad, const Tensor& input, const Tensor& weight,
                                      const Tensor& packed, bool wants_input, bool wants_weight, bool wants_bias) {
  return backward(grad, input, weight, Arguments(packed), {wants_input, wants_weight, wants_bias, !wants_weight});
}

}  // namespace convlayers
