// Batch normalisation. Formulas: csrc/kernels/norm/norm.h.
#pragma once

#include <tuple>

#include "torch/tensors.h"

namespace convlayers {

// The result, and the statistics (2, channels) that it was normalised by, mean and biased variance in float64: those given,
// or else those of the input.
std::tuple<Tensor, Tensor> batch_norm(const Tensor& input, const std::optional<Tensor>& weight,
                                      const std::optional<Tensor>& bias, const std::optional<Tensor>& residual,
                                      const std::optional<Tensor>& mean, const std::optional<Tensor>& variance, double eps,
                                      int64_t activation, double alpha, double beta);

// The gradients of input, weight, bias and residual (empty where it is not asked for).
std::tuple<Tensor, Tensor, Tensor, Tensor> batch_norm_grad(
    const Tensor& grad, const Tensor& input, const std::optional<Tensor>& output, const Tensor& statistics,
    const std::optional<Tensor>& weight, const std::optional<Tensor>& bias, double eps, bool training, bool residual,
    int64_t activation, double alpha, double beta);

}  // namespace convlayers
