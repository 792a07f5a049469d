#include "torch/convolution.h"

#include <algorithm>

#include "torch/plans.h"
#include "torch/weights.h"

namespace convlayers {
namespace {

Ints spatial(const Tensor& t) {
  const auto sizes = t.sizes();
  return Ints(sizes.begin() + 2, sizes.end());
}

// What a call is, checked: Python has checked it before and said so better; this keeps a call of the bare operator from
// reading out of bounds.
struct Call {
  int64_t batch, groups, in_channels, out_channels;
  bool transposed, depthwise, winograd;
  AxisGeometry axis[3];

  Call(int64_t batch_, int64_t in, int64_t out, const Ints& input_size, const Ints& output_size,
       const Ints& kernel_size, const Ints& stride, const Ints& low, const Ints& dilation, int64_t groups_,
       bool transposed_, const Ints& border, const std::string& kernel)
      : batch(batch_), groups(groups_), in_channels(in), out_channels(out), transposed(transposed_),
        depthwise(kernel == "depthwise" || kernel == "grouped"), winograd(kernel == "winograd") {
    const size_t rank = stride.size();
    STD_TORCH_CHECK(rank >= 1 && rank <= 3 && input_size.size() == rank && output_size.size() == rank &&
                        kernel_size.size() == rank && low.size() == rank && dilation.size() == rank &&
                        border.size() == rank,
                    "convlayers: sizes, stride, low, dilation and border must have one entry a spatial axis, 1 to 3");
    STD_TORCH_CHECK(groups >= 1 && in % groups == 0 && out % groups == 0, "convlayers: groups must divide the channels");
    STD_TORCH_CHECK(kernel == "direct" || kernel == "grouped" || (winograd && groups == 1) || (depthwise && groups == in),
                    "convlayers: no kernel '", kernel, "' for this convolution");
    for (auto& a : axis) a = {1, 1, 1, 1, 1, 0, Border::kConstant};
    for (size_t i = 0; i < rank; ++i) {
      AxisGeometry& a = axis[3 - rank + i];
      a = {input_size[i], output_size[i], kernel_size[i], stride[i], dilation[i], low[i], Border::kConstant};
      STD_TORCH_CHECK(a.input >= 0 && a.output >= 0 && a.kernel >= 0 && a.stride >= 1 && a.dilation >= 1,
                      "convlayers: sizes must not be negative, stride and dilation at least 1");
      STD_TORCH_CHECK(border[i] >= 0 && border[i] < static_cast<int64_t>(Border::kCount), "convlayers: unknown border");
      a.border = static_cast<Border>(border[i]);
      STD_TORCH_CHECK(a.border == Border::kConstant || a.input > 0, "convlayers: an empty axis has nothing to repeat");
      if (a.kernel <= 1) a.dilation = 1;
      const int64_t steps = std::max<int64_t>((transposed ? a.input : a.output) - 1, 0);
      int64_t reach, extent, span;
      const bool overflow = __builtin_mul_overflow(std::max<int64_t>(a.kernel - 1, 0), a.dilation, &reach) ||
                            __builtin_mul_overflow(steps, a.stride, &extent) ||
                            __builtin_add_overflow(reach, extent, &span) ||
                            __builtin_add_overflow(span, a.low < 0 ? -(a.low + 1) : a.low, &span) ||
                            __builtin_add_overflow(span, std::max(a.input, a.output), &span);
      STD_TORCH_CHECK(!overflow && span < INT64_MAX / 8, "convlayers: sizes overflow");
    }
  }

  FilterSizes filter(bool adjoint) const {
    const int64_t in = in_channels / groups, out = out_channels / groups;
    return {groups, adjoint ? in : out, adjoint ? out : in, {axis[0].kernel, axis[1].kernel, axis[2].kernel}};
  }

  // How a gather sees a filter bank: (out, in / groups, ...), transposed (in, out / groups, ...).
  FilterStrides strides(const Tensor& weight, bool adjoint) const {
    const auto s = weight.strides();
    const int64_t first = (transposed ? in_channels : out_channels) / groups;
    const bool rows_first = transposed == adjoint;
    FilterStrides f{first * s[0], rows_first ? s[0] : s[1], rows_first ? s[1] : s[0], {0, 0, 0}};
    for (int64_t i = weight.dim(), a = 3; i-- > 2;) f.axis[--a] = s[i];
    return f;
  }
};

void check_weight(const Tensor& weight, const Call& c) {
  const int64_t rows = c.transposed ? c.in_channels : c.out_channels;
  const int64_t columns = (c.transposed ? c.out_channels : c.in_channels) / c.groups;
  STD_TORCH_CHECK(weight.size(0) == rows && weight.size(1) == columns,
                  "convlayers: weight does not fit the channels of the input and the groups");
}

bool all_zero(const Floats& value) {
  return std::all_of(value.begin(), value.end(), [](double v) { return v == 0; });
}

// Multiplications and additions of a dense gather, in the time of which the work is counted.
double multiplications(const Gather& g, const FilterSizes& sizes) {
  double pairs = 0;
  for (int64_t i = 0; i < g.regions; ++i)
    pairs += static_cast<double>(g.region[i].pixels) * static_cast<double>(g.region[i].taps);
  return pairs * static_cast<double>(sizes.groups * sizes.rows * sizes.columns);
}

// As many as pass while a depthwise kernel does one, and while a float is moved from one order to another.
constexpr double kDepthwise = 6, kMove = 4;

// What a source outside reads along each axis, for a pixel of `channels`.
class Outside {
 public:
  Outside(int64_t channels, const Floats& value) {
    alignas(64) static const float zeros[16 * 1024] = {};
    if (all_zero(value) && channels <= static_cast<int64_t>(std::size(zeros))) {
      std::fill(axis_, axis_ + 3, zeros);
      return;
    }
    memory_ = workspace(3 * channels);
    float* p = memory_.get();
    for (size_t a = 0; a < 3; ++a) {
      const size_t missing = 3 - value.size();
      std::fill(p + a * channels, p + (a + 1) * channels, a < missing ? 0.f : static_cast<float>(value[a - missing]));
      axis_[a] = p + static_cast<int64_t>(a) * channels;
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

// The gather that both the operator and the gradient of its input are.
void gather_pixels(const Call& c, bool adjoint, const Tensor& source_tensor, const Tensor& weight,
                   const std::optional<Tensor>& bias, const Floats& value, Activation activation, bool constant,
                   Result& result) {
  const Kernels& k = kernels();
  const Source source(source_tensor);
  const auto plan =
      gather_plan(c.batch, c.axis, c.transposed, adjoint, source.strides(), result.strides(), all_zero(value));
  const Gather& gather = plan->view();
  const Outside outside(source_tensor.size(1) * std::max<int64_t>(c.axis[2].kernel, 1), value);
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
    PackedWeights packed(weight, constant, {WeightForm::kDepthwise, strides, sizes, {0, 0}}, vector_floats(sizes, k.lanes));
    p.weight = packed.get([&](float* to) {
      const Pack job{static_cast<const float*>(weight.const_data_ptr()), strides, sizes, to};
      parallel(vector_parts(sizes, k.lanes), [&](int64_t v) { pack_vector(job, k.lanes, v); },
               kMove * static_cast<double>(weight.numel()));
    });
    return run(k.depthwise, p, kDepthwise * multiplications(gather, sizes));
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
  // The gradient of a folding border has not Winograd's form: direct.
  const FilterStrides strides = c.strides(weight, adjoint);
  if (WinogradForm form; c.winograd && winograd_form(gather, form)) {
    WinogradPlan cut(gather, form, sizes.columns, sizes.rows, k.lanes, k.block);
    const WeightForm transformed{WeightForm::kWinograd, strides, sizes, {form.u * 3 + form.v, adjoint != c.transposed}};
    // For a few tiles, weights so many that they come from memory are transformed in less time than their transforms are read.
    constexpr int64_t kTiles = 12;
    const bool worth = cut.slice == 0 || cut.tiles >= kTiles;
    PackedWeights filters(weight, constant && worth, transformed, cut.blocks * cut.filter_block);
    if (filters.lasting()) cut.slice = 0;
    const Memory sources = workspace(cut.source_floats());
    WinogradProblem w{p, &cut, filter, strides, sizes, nullptr, sources.get(), 0, 0};
    if (cut.slice == 0)
      w.filters = filters.get([&](float* to) {
        w.filters = to;
        run(k.winograd_filters, w);
      });
    return run_winograd(k, w, [](const auto& kernel, const auto& problem) { run(kernel, problem); });
  }
  PackedWeights packed(weight, constant, {WeightForm::kDirect, strides, sizes, {0, 0}},
                       sizes.groups * whole(sizes.rows) * sizes.columns * sizes.taps());
  p.weight = packed.get([&](float* to) {
    run(k.pack, Pack{filter, strides, sizes, to}, kMove * static_cast<double>(weight.numel()));
  });
  run(k.direct, p, multiplications(gather, sizes));
}

// In how many parts the pixels are summed: with the blocks of channels enough for a few threads, each long enough to be
// worth a buffer of its own.
int64_t segment_count(const Gather& g, int64_t floats, int64_t blocks) {
  int64_t pixels = 0;
  for (int64_t i = 0; i < g.regions; ++i) pixels += g.region[i].pixels;
  constexpr int64_t kTasks = 16, kPixels = 768, kFloats = int64_t{4} << 20;
  return std::max<int64_t>(1, std::min({kTasks / blocks, pixels / kPixels, kFloats / std::max<int64_t>(floats, 1)}));
}

// Whether the gradient of a 1x1's weights has its two factors change places: rows of sums are whole blocks of the one that fills
// them better.
bool turns(const Call& c, bool zeros) {
  const auto full = [](int64_t channels) {
    const int64_t block = kernels().block;
    return static_cast<double>(channels / block * block) / static_cast<double>(channels);
  };
  return zeros && c.groups == 1 && c.filter(false).taps() == 1 && full(c.in_channels) > full(c.out_channels);
}

// The segments' filter banks are added in their order; the first is the weight itself.
void winograd_weight_grad(WinogradWeightProblem p, const Tensor& weight) {
  const Kernels& k = kernels();
  const WinogradPlan& cut = *p.plan;
  const int64_t floats = weight.numel();
  p.segments = cut.segments;
  auto* sums = static_cast<float*>(weight.data_ptr());
  const Memory banks = p.segments > 1 ? workspace(p.segments * floats) : nullptr;
  p.result = banks ? banks.get() : sums;
  run(k.winograd_weight, p);
  if (!banks) return;
  constexpr int64_t kPart = 4096;
  parallel((floats + kPart - 1) / kPart, [&](int64_t part) {
    const int64_t first = part * kPart, last = std::min(first + kPart, floats);
    std::copy(p.result + first, p.result + last, sums + first);
    for (int64_t s = 1; s < p.segments; ++s)
      for (int64_t i = first; i < last; ++i) sums[i] += p.result[s * floats + i];
  });
}

}  // namespace

Tensor convolution(const Tensor& input, const Tensor& weight, const std::optional<Tensor>& bias, Ints output_size,
                   Ints stride, Ints low, Ints dilation, int64_t groups, bool transposed, Ints border, Floats value,
                   std::string kernel, int64_t activation, double alpha, double beta, bool constant) {
  if (is_half(input)) {
    const auto wide_bias = bias ? std::optional(widen(*bias)) : std::nullopt;
    return torch::stable::to(
        convolution(widen(input), widen(weight), wide_bias, output_size, stride, low, dilation, groups, transposed,
                    border, value, kernel, activation, alpha, beta, constant),
        input.scalar_type());
  }
  const auto dim = static_cast<int64_t>(stride.size()) + 2;
  check_tensor(input, "input", dim);
  check_tensor(weight, "weight", dim);
  const int64_t out = transposed ? weight.size(1) * groups : weight.size(0);
  const Call call(input.size(0), input.size(1), out, spatial(input), output_size, spatial(weight), stride, low, dilation,
                  groups, transposed, border, kernel);
  check_weight(weight, call);
  if (bias) {
    check_tensor(*bias, "bias", 1);
    STD_TORCH_CHECK(bias->size(0) == out, "convlayers: bias must have one entry an output channel");
  }
  STD_TORCH_CHECK(value.size() == stride.size(), "convlayers: value must have one entry a spatial axis");
  STD_TORCH_CHECK(activation >= 0 && activation < static_cast<int64_t>(ActivationCode::kCount),
                  "convlayers: unknown activation");
  Result result(is_channels_last(input) || is_channels_last(weight), input.size(0), out, output_size);
  if (!result.empty())
    gather_pixels(call, false, input, weight, bias, value,
                  {static_cast<ActivationCode>(activation), static_cast<float>(alpha), static_cast<float>(beta)}, constant,
                  result);
  return result.deliver();
}

Tensor convolution_input_grad(const Tensor& grad, const Tensor& weight, Ints input_size, Ints stride, Ints low,
                              Ints dilation, int64_t groups, bool transposed, Ints border, std::string kernel,
                              bool constant) {
  if (is_half(grad))
    return torch::stable::to(convolution_input_grad(widen(grad), widen(weight), input_size, stride, low, dilation,
                                                    groups, transposed, border, kernel, constant),
                             grad.scalar_type());
  const auto dim = static_cast<int64_t>(stride.size()) + 2;
  check_tensor(grad, "grad", dim);
  check_tensor(weight, "weight", dim);
  const int64_t in = transposed ? weight.size(0) : weight.size(1) * groups;
  const Call call(grad.size(0), in, grad.size(1), input_size, spatial(grad), spatial(weight), stride, low, dilation,
                  groups, transposed, border, kernel);
  check_weight(weight, call);
  Result result(is_channels_last(grad) || is_channels_last(weight), grad.size(0), in, input_size);
  if (!result.empty())
    gather_pixels(call, true, grad, weight, std::nullopt, Floats(stride.size(), 0.0), {}, constant, result);
  return result.deliver();
}

Tensor convolution_weight_grad(const Tensor& grad, const Tensor& input, Ints kernel_size, Ints stride, Ints low,
                               Ints dilation, int64_t groups, bool transposed, Ints border, Floats value,
                               std::string kernel) {
  if (is_half(grad))
    return torch::stable::to(convolution_weight_grad(widen(grad), widen(input), kernel_size, stride, low, dilation,
                                                     groups, transposed, border, value, kernel),
                             grad.scalar_type());
  const auto dim = static_cast<int64_t>(stride.size()) + 2;
  check_tensor(grad, "grad", dim);
  check_tensor(input, "input", dim);
  STD_TORCH_CHECK(grad.size(0) == input.size(0), "convlayers: grad and input must have the same batch");
  STD_TORCH_CHECK(value.size() == stride.size(), "convlayers: value must have one entry a spatial axis");
  const Call call(input.size(0), input.size(1), grad.size(1), spatial(input), spatial(grad), kernel_size, stride, low,
                  dilation, groups, transposed, border, kernel);
  Ints size{transposed ? call.in_channels : call.out_channels,
            (transposed ? call.out_channels : call.in_channels) / groups};
  size.insert(size.end(), kernel_size.begin(), kernel_size.end());
  const Tensor weight = torch::stable::new_empty(input, size);
  if (weight.numel() == 0) return weight;

  const Kernels& k = kernels();
  const bool turned = !call.depthwise && turns(call, all_zero(value));
  const Source source(turned ? grad : input), gradient(turned ? input : grad);
  const auto plan =
      gather_plan(call.batch, call.axis, transposed, turned, source.strides(), gradient.strides(), all_zero(value));
  const Gather& gather = plan->view();
  const Outside outside((turned ? grad : input).size(1) * std::max<int64_t>(call.axis[2].kernel, 1), value);
  const FilterSizes sizes = call.filter(turned);
  const FilterStrides strides = call.strides(weight, turned);
  const double work = multiplications(gather, sizes);
  const int64_t width = whole(sizes.rows);
  const int64_t floats = call.depthwise ? vector_floats(sizes, k.lanes) : sizes.groups * sizes.taps() * sizes.columns * width;
  DirectWeightProblem p{};
  p.gather = &gather;
  p.source = source.data();
  p.gradient = gradient.data();
  outside.copy_to(p.outside);
  p.groups = groups;
  p.source_channels = sizes.columns;
  p.output_channels = sizes.rows;
  if (WinogradForm form; call.winograd && winograd_form(gather, form)) {
    const WinogradPlan cut(gather, form, sizes.columns, sizes.rows, k.lanes, k.block);
    winograd_weight_grad({p, &cut, strides, sizes}, weight);
    return weight;
  }
  const int64_t segments =
      segment_count(gather, floats, call.depthwise ? 1 : groups * ((width + k.block - 1) / k.block));
  const Memory sums = workspace(segments * floats);
  p.segments = segments;
  p.result = sums.get();
  const Unpack job{p.result, segments, sizes, strides, static_cast<float*>(weight.data_ptr())};
  const double moved = kMove * static_cast<double>(segments * floats);
  if (call.depthwise) {
    DepthwiseWeightProblem d{};
    d.gather = p.gather;
    d.source = p.source;
    d.gradient = p.gradient;
    outside.copy_to(d.outside);
    d.groups = groups;
    d.source_channels = sizes.columns;
    d.output_channels = sizes.rows;
    d.segments = segments;
    d.result = p.result;
    run(k.depthwise_weight, d, kDepthwise * work);
    parallel(vector_parts(sizes, k.lanes), [&](int64_t i) { unpack_vector(job, k.lanes, i); }, moved);
    return weight;
  }
  run(k.direct_weight, p, work);
  run(k.unpack, job, moved);
  return weight;
}

}  // namespace convlayers
