// The convolution operator and its gradients. `constant`: the weight is worth keeping packed (weights.h). Formulas:
// src/convlayers/ops/convolution.py.
#pragma once

#include <tuple>

#include "torch/tensors.h"

namespace convlayers {

using Gradients = std::tuple<Tensor, Tensor, Tensor>;  // of input, weight, bias: empty where not wanted

Tensor convolution(const Tensor& input, const Tensor& weight, const std::optional<Tensor>& bias, Ints output_size,
                   Ints stride, Ints low, Ints dilation, int64_t groups, bool transposed, Ints border, Floats value,
                   std::string kernel, int64_t activation, double alpha, double beta, bool constant);

Gradients convolution_backward(const Tensor& grad, const Tensor& input, const Tensor& weight, Ints stride, Ints low,
                               Ints dilation, int64_t groups, bool transposed, Ints border, Floats value,
                               std::string kernel, bool wants_input, bool wants_weight, bool wants_bias, bool constant);

// The same of one tensor that holds all arguments (call.h).
Tensor convolution_packed(const Tensor& input, const Tensor& weight, const std::optional<Tensor>& bias,
                          const Tensor& packed, bool constant);
Gradients convolution_backward_packed(const Tensor& grad, const Tensor& input, const Tensor& weight,
                                      const Tensor& packed, bool wants_input, bool wants_weight, bool wants_bias);

}  // namespace convlayers
