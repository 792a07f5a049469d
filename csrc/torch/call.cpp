#include "torch/call.h"

#include <algorithm>
#include <cstring>

namespace convlayers {
namespace {

int64_t algorithm(const std::string& kernel) {
  static const std::string names[] = {"direct", "winograd", "depthwise", "grouped"};
  return std::find(std::begin(names), std::end(names), kernel) - std::begin(names);
}

double number(int64_t bits) {
  double value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace

Arguments::Arguments(const Ints& output_size, const Ints& stride, const Ints& low, const Ints& dilation, int64_t groups_,
                     bool transposed_, const Ints& border, const Floats& value, const std::string& kernel,
                     int64_t activation_, double alpha_, double beta_)
    : rank(static_cast<int64_t>(stride.size())), groups(groups_), transposed(transposed_), algorithm(convlayers::algorithm(kernel)),
      activation(activation_), alpha(alpha_), beta(beta_) {
  const size_t n = stride.size();
  STD_TORCH_CHECK(n >= 1 && n <= 3 && (output_size.size() == n || output_size.empty()) && low.size() == n &&
                      dilation.size() == n && border.size() == n && value.size() == n,
                  "convlayers: sizes, stride, low, dilation, border and value must have one entry a spatial axis, 1 to 3");
  for (size_t i = 0; i < n; ++i)
    axis[i] = {output_size.empty() ? 0 : output_size[i], stride[i], dilation[i], low[i], border[i], value[i]};
}

Arguments::Arguments(const Tensor& packed) {
  constexpr int64_t kHead = 7, kAxis = 6;
  const int64_t* word = packed_words(packed, kHead, kAxis);
  rank = word[0];
  groups = word[1];
  transposed = word[2] != 0;
  algorithm = word[3];
  activation = word[4];
  alpha = number(word[5]);
  beta = number(word[6]);
  word += kHead;
  for (int64_t i = 0; i < rank; ++i, word += kAxis)
    axis[i] = {word[0], word[1], word[2], word[3], word[4], number(word[5])};
}

Call::Call(const Arguments& a, const Tensor& input, const Tensor& weight, const Tensor* output)
    : groups(a.groups), rank(a.rank), transposed(a.transposed), zeros(true) {
  check_tensor(input, "input", rank + 2);
  check_tensor(weight, "weight", rank + 2);
  if (output) check_tensor(*output, "grad", rank + 2);
  const auto in = input.sizes(), filter = weight.sizes();
  batch = in[0];
  in_channels = in[1];
  const auto chosen = static_cast<Algorithm>(a.algorithm);
  winograd = chosen == Algorithm::kWinograd;
  depthwise = chosen == Algorithm::kDepthwise || chosen == Algorithm::kGrouped;
  STD_TORCH_CHECK(groups >= 1 && filter[0] % groups == 0 && in_channels % groups == 0 &&
                      !__builtin_mul_overflow(filter[1], transposed ? groups : 1, &out_channels),
                  "convlayers: groups must divide the channels");
  if (!transposed) out_channels = filter[0];
  STD_TORCH_CHECK(transposed ? filter[0] == in_channels : filter[1] == in_channels / groups,
                  "convlayers: weight does not fit the channels of the input and the groups");
  STD_TORCH_CHECK(a.algorithm >= 0 && chosen < Algorithm::kCount &&
                      (chosen != Algorithm::kDepthwise || groups == in_channels),
                  "convlayers: no such kernel for this convolution");
  STD_TORCH_CHECK(a.activation >= 0 && a.activation < static_cast<int64_t>(ActivationCode::kCount),
                  "convlayers: unknown activation");
  activation = {static_cast<ActivationCode>(a.activation), static_cast<float>(a.alpha), static_cast<float>(a.beta)};
  if (output)
    STD_TORCH_CHECK(output->size(0) == batch && output->size(1) == out_channels,
                    "convlayers: grad must have the input's batch and the weight's output channels");
  const auto out = output ? output->sizes() : in;
  for (int64_t i = 0; i < 3 - rank; ++i) axis[i] = {1, 1, 1, 1, 1, 0, Border::kConstant}, value[i] = 0;
  for (int64_t i = 0; i < rank; ++i) {
    const Arguments::Axis& from = a.axis[i];
    AxisGeometry& g = axis[3 - rank + i];
    g = {in[i + 2], output ? out[i + 2] : from.output, filter[i + 2], from.stride, from.dilation, from.low, Border::kConstant};
    STD_TORCH_CHECK(g.output >= 0 && g.stride >= 1 && g.dilation >= 1,
                    "convlayers: sizes must not be negative, stride and dilation at least 1");
    STD_TORCH_CHECK(from.border >= 0 && from.border < static_cast<int64_t>(Border::kCount), "convlayers: unknown border");
    g.border = static_cast<Border>(from.border);
    STD_TORCH_CHECK(g.border == Border::kConstant || g.input > 0, "convlayers: an empty axis has nothing to repeat");
    value[3 - rank + i] = static_cast<float>(from.value);
    zeros = zeros && from.value == 0;
    if (g.kernel <= 1) g.dilation = 1;
    const int64_t steps = std::max<int64_t>((transposed ? g.input : g.output) - 1, 0);
    int64_t reach, extent, span;
    const bool overflow = __builtin_mul_overflow(std::max<int64_t>(g.kernel - 1, 0), g.dilation, &reach) ||
                          __builtin_mul_overflow(steps, g.stride, &extent) ||
                          __builtin_add_overflow(reach, extent, &span) ||
                          __builtin_add_overflow(span, g.low < 0 ? -(g.low + 1) : g.low, &span) ||
                          __builtin_add_overflow(span, std::max(g.input, g.output), &span);
    STD_TORCH_CHECK(!overflow && span < INT64_MAX / 8, "convlayers: sizes overflow");
  }
}

bool Call::sees_outside() const {
  for (const AxisGeometry& a : axis)
    if (a.kernel != 1 || a.stride != 1 || a.low != 0 || a.input != a.output) return true;
  return false;
}

Ints Call::input_size() const {
  Ints size;
  for (int64_t i = 3 - rank; i < 3; ++i) size.push_back(axis[i].input);
  return size;
}

Ints Call::output_size() const {
  Ints size;
  for (int64_t i = 3 - rank; i < 3; ++i) size.push_back(axis[i].output);
  return size;
}

FilterSizes Call::filter(bool adjoint) const {
  const int64_t in = in_channels / groups, out = out_channels / groups;
  return {groups, adjoint ? in : out, adjoint ? out : in, {axis[0].kernel, axis[1].kernel, axis[2].kernel}};
}

FilterStrides Call::strides(const Tensor& weight, bool adjoint) const {
  const auto s = weight.strides();
  const int64_t first = (transposed ? in_channels : out_channels) / groups;
  const bool rows_first = transposed == adjoint;
  FilterStrides f{first * s[0], rows_first ? s[0] : s[1], rows_first ? s[1] : s[0], {0, 0, 0}};
  for (int64_t i = weight.dim(), a = 3; i-- > 2;) f.axis[--a] = s[i];
  return f;
}

}  // namespace convlayers
