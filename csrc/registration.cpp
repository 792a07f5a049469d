// Every operator: its schema and its implementation, nothing else. Fakes and derivatives: src/convlayers/ops/.
#include "torch/convolution.h"
#include "torch/norm.h"
#include "torch/pool.h"
#include "torch/weights.h"

namespace {

std::string isa() { return convlayers::kernels().isa; }

std::string isas() {
  std::string names;
  for (const auto* table : convlayers::available()) names += (names.empty() ? "" : ",") + std::string(table->isa);
  return names;
}

}  // namespace

STABLE_TORCH_LIBRARY(convlayers, m) {
  m.def("isa() -> str");
  m.def("isas() -> str");
  m.def("keep_weights(int bytes) -> int");
  m.def("kept_weights() -> int");
  m.def(
      "convolution(Tensor input, Tensor weight, Tensor? bias, SymInt[] output_size, SymInt[] stride, SymInt[] low, "
      "SymInt[] dilation, SymInt groups, bool transposed, int[] border, float[] value, str kernel, int activation, "
      "float alpha, float beta, bool constant=False) -> Tensor");
  m.def(
      "convolution_backward(Tensor grad, Tensor input, Tensor weight, SymInt[] stride, SymInt[] low, SymInt[] dilation, "
      "SymInt groups, bool transposed, int[] border, float[] value, str kernel, bool wants_input, bool wants_weight, "
      "bool wants_bias, bool constant=False) -> (Tensor, Tensor, Tensor)");
  // The same in eager mode: the arguments in one tensor (torch/call.h).
  m.def("convolution.packed(Tensor input, Tensor weight, Tensor? bias, Tensor packed, bool constant) -> Tensor");
  m.def(
      "convolution_backward.packed(Tensor grad, Tensor input, Tensor weight, Tensor packed, bool wants_input, "
      "bool wants_weight, bool wants_bias) -> (Tensor, Tensor, Tensor)");
  m.def(
      "batch_norm(Tensor input, Tensor? weight, Tensor? bias, Tensor? residual, Tensor? mean, Tensor? variance, "
      "float eps, int activation, float alpha, float beta) -> (Tensor, Tensor)");
  m.def(
      "batch_norm_grad(Tensor grad, Tensor input, Tensor? output, Tensor statistics, Tensor? weight, Tensor? bias, "
      "float eps, bool training, bool residual, int activation, float alpha, float beta) -> "
      "(Tensor, Tensor, Tensor, Tensor)");
  m.def(
      "max_pool(Tensor input, SymInt[] output_size, SymInt[] kernel, SymInt[] stride, SymInt[] low, "
      "SymInt[] dilation) -> Tensor");
  m.def(
      "max_pool_with_indices(Tensor input, SymInt[] output_size, SymInt[] kernel, SymInt[] stride, SymInt[] low, "
      "SymInt[] dilation) -> (Tensor, Tensor)");
  m.def(
      "max_pool_with_taps(Tensor input, SymInt[] output_size, SymInt[] kernel, SymInt[] stride, SymInt[] low, "
      "SymInt[] dilation) -> (Tensor, Tensor)");
  m.def(
      "max_pool_input_grad(Tensor grad, Tensor taps, SymInt[] input_size, SymInt[] kernel, SymInt[] stride, SymInt[] low, "
      "SymInt[] dilation, bool channels_last) -> Tensor");
  m.def(
      "avg_pool(Tensor input, SymInt[] output_size, SymInt[] kernel, SymInt[] stride, SymInt[] low, SymInt[] high, "
      "SymInt[] dilation, bool count_include_pad, SymInt divisor) -> Tensor");
  m.def(
      "avg_pool_input_grad(Tensor grad, SymInt[] input_size, SymInt[] kernel, SymInt[] stride, SymInt[] low, "
      "SymInt[] high, SymInt[] dilation, bool count_include_pad, SymInt divisor, bool channels_last) -> Tensor");
  // The same in eager mode: the arguments in one tensor (torch/pool.cpp).
  m.def("max_pool.packed(Tensor input, Tensor packed) -> Tensor");
  m.def("max_pool_with_taps.packed(Tensor input, Tensor packed) -> (Tensor, Tensor)");
  m.def("max_pool_input_grad.packed(Tensor grad, Tensor taps, Tensor packed, bool channels_last) -> Tensor");
  m.def("avg_pool.packed(Tensor input, Tensor packed) -> Tensor");
  m.def("avg_pool_input_grad.packed(Tensor grad, Tensor packed, bool channels_last) -> Tensor");
  m.def(
      "fractional_max_pool(Tensor input, Tensor samples, SymInt[] output_size, SymInt[] kernel) -> (Tensor, Tensor)");
  m.def("max_unpool(Tensor input, Tensor indices, SymInt[] output_size) -> Tensor");
  m.def("pool_scatter(Tensor source, Tensor indices, SymInt[] output_size, bool channels_last) -> Tensor");
  m.def("pool_gather(Tensor source, Tensor indices) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(convlayers, CompositeExplicitAutograd, m) {
  m.impl("isa", TORCH_BOX(&isa));
  m.impl("isas", TORCH_BOX(&isas));
  m.impl("keep_weights", TORCH_BOX(&convlayers::keep_weights));
  m.impl("kept_weights", TORCH_BOX(&convlayers::kept_weights));
}

STABLE_TORCH_LIBRARY_IMPL(convlayers, CPU, m) {
  m.impl("convolution", TORCH_BOX(&convlayers::convolution));
  m.impl("convolution_backward", TORCH_BOX(&convlayers::convolution_backward));
  m.impl("convolution.packed", TORCH_BOX(&convlayers::convolution_packed));
  m.impl("convolution_backward.packed", TORCH_BOX(&convlayers::convolution_backward_packed));
  m.impl("batch_norm", TORCH_BOX(&convlayers::batch_norm));
  m.impl("batch_norm_grad", TORCH_BOX(&convlayers::batch_norm_grad));
  m.impl("max_pool", TORCH_BOX(&convlayers::max_pool));
  m.impl("max_pool_with_indices", TORCH_BOX(&convlayers::max_pool_with_indices));
  m.impl("max_pool_with_taps", TORCH_BOX(&convlayers::max_pool_with_taps));
  m.impl("max_pool_input_grad", TORCH_BOX(&convlayers::max_pool_input_grad));
  m.impl("avg_pool", TORCH_BOX(&convlayers::avg_pool));
  m.impl("avg_pool_input_grad", TORCH_BOX(&convlayers::avg_pool_input_grad));
  m.impl("max_pool.packed", TORCH_BOX(&convlayers::max_pool_packed));
  m.impl("max_pool_with_taps.packed", TORCH_BOX(&convlayers::max_pool_with_taps_packed));
  m.impl("max_pool_input_grad.packed", TORCH_BOX(&convlayers::max_pool_input_grad_packed));
  m.impl("avg_pool.packed", TORCH_BOX(&convlayers::avg_pool_packed));
  m.impl("avg_pool_input_grad.packed", TORCH_BOX(&convlayers::avg_pool_input_grad_packed));
  m.impl("fractional_max_pool", TORCH_BOX(&convlayers::fractional_max_pool));
  m.impl("max_unpool", TORCH_BOX(&convlayers::max_unpool));
  m.impl("pool_scatter", TORCH_BOX(&convlayers::pool_scatter));
  m.impl("pool_gather", TORCH_BOX(&convlayers::pool_gather));
}
