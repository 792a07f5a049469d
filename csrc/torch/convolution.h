// The convolution operator and its two gradients. `constant`: the weight is worth keeping packed (weights.h). Formulas: src/convlayers/ops/convolution.py.
#pragma once

#include "torch/tensors.h"

namespace convlayers {

Tensor convolution(const Tensor& input, const Tensor& weight, const std::optional<Tensor>& bias, Ints output_size,
                   Ints stride, Ints low, Ints dilation, int64_t groups, bool transposed, Ints border, Floats value,
                   std::string kernel, int64_t activation, double alpha, double beta, bool constant);

Tensor convolution_input_grad(const Tensor& grad, const Tensor& weight, Ints input_size, Ints stride, Ints low,
                              Ints dilation, int64_t groups, bool transposed, Ints border, std::string kernel,
                              bool constant);

Tensor convolution_weight_grad(const Tensor& grad, const Tensor& input, Ints kernel_size, Ints stride, Ints low,
                               Ints dilation, int64_t groups, bool transposed, Ints border, Floats value,
                               std::string kernel);

}  // namespace convlayers
