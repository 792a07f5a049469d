// The pooling operators. Formulas: src/convlayers/ops/pool.py. Empty window lists mean adaptive windows. Gradients say
// which layout they are wanted in: a result of one pixel does not show that of its input.
#pragma once

#include <tuple>

#include "torch/tensors.h"

namespace convlayers {

Tensor max_pool(const Tensor& input, Ints output_size, Ints kernel, Ints stride, Ints low, Ints dilation);
std::tuple<Tensor, Tensor> max_pool_with_indices(const Tensor& input, Ints output_size, Ints kernel, Ints stride,
                                                 Ints low, Ints dilation);
// The taps: which element of its window each maximum is, counted as the window's axes go, uint8, channels last in memory.
std::tuple<Tensor, Tensor> max_pool_with_taps(const Tensor& input, Ints output_size, Ints kernel, Ints stride, Ints low,
                                              Ints dilation);
Tensor max_pool_input_grad(const Tensor& grad, const Tensor& taps, Ints input_size, Ints kernel, Ints stride, Ints low,
                           Ints dilation, bool channels_last);

Tensor avg_pool(const Tensor& input, Ints output_size, Ints kernel, Ints stride, Ints low, Ints high, Ints dilation,
                bool count_include_pad, int64_t divisor);
Tensor avg_pool_input_grad(const Tensor& grad, Ints input_size, Ints kernel, Ints stride, Ints low, Ints high,
                           Ints dilation, bool count_include_pad, int64_t divisor, bool channels_last);

// The same, their arguments that are no tensors in one, as ops/pool.py packs them.
Tensor max_pool_packed(const Tensor& input, const Tensor& packed);
std::tuple<Tensor, Tensor> max_pool_with_taps_packed(const Tensor& input, const Tensor& packed);
Tensor max_pool_input_grad_packed(const Tensor& grad, const Tensor& taps, const Tensor& packed, bool channels_last);
Tensor avg_pool_packed(const Tensor& input, const Tensor& packed);
Tensor avg_pool_input_grad_packed(const Tensor& grad, const Tensor& packed, bool channels_last);

std::tuple<Tensor, Tensor> fractional_max_pool(const Tensor& input, const Tensor& samples, Ints output_size, Ints kernel);

Tensor max_unpool(const Tensor& input, const Tensor& indices, Ints output_size);
Tensor pool_scatter(const Tensor& source, const Tensor& indices, Ints output_size, bool channels_last);
Tensor pool_gather(const Tensor& source, const Tensor& indices);

}  // namespace convlayers
