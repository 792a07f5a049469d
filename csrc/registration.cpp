// Every operator: its schema and its implementation, nothing else. Fakes and derivatives: src/convlayers/ops/.
#include "torch/convolution.h"

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
  m.def(
      "convolution(Tensor input, Tensor weight, Tensor? bias, SymInt[] output_size, SymInt[] stride, SymInt[] low, "
      "SymInt[] dilation, SymInt groups, bool transposed, int[] border, float[] value, str kernel, int activation, "
      "float alpha, float beta) -> Tensor");
  m.def(
      "convolution_input_grad(Tensor grad, Tensor weight, SymInt[] input_size, SymInt[] stride, SymInt[] low, "
      "SymInt[] dilation, SymInt groups, bool transposed, int[] border, str kernel) -> Tensor");
  m.def(
      "convolution_weight_grad(Tensor grad, Tensor input, SymInt[] kernel_size, SymInt[] stride, SymInt[] low, "
      "SymInt[] dilation, SymInt groups, bool transposed, int[] border, float[] value, str kernel) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(convlayers, CompositeExplicitAutograd, m) {
  m.impl("isa", TORCH_BOX(&isa));
  m.impl("isas", TORCH_BOX(&isas));
}

STABLE_TORCH_LIBRARY_IMPL(convlayers, CPU, m) {
  m.impl("convolution", TORCH_BOX(&convlayers::convolution));
  m.impl("convolution_input_grad", TORCH_BOX(&convlayers::convolution_input_grad));
  m.impl("convolution_weight_grad", TORCH_BOX(&convlayers::convolution_weight_grad));
}
