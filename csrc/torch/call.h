// What a convolution is, beside the values of its tensors.
#pragma once

#include "kernels/base/activation.h"
#include "torch/tensors.h"

namespace convlayers {

// The kernels, in the order in which ops/arguments.py counts them.
enum class Algorithm : int64_t { kDirect, kWinograd, kDepthwise, kGrouped, kCount };

// The operators' arguments that are no tensors. Not checked.
struct Arguments {
  struct Axis {
    int64_t output, stride, dilation, low, border;
    double value;
  };
  int64_t rank, groups;
  bool transposed;
  int64_t algorithm, activation;
  double alpha, beta;
  Axis axis[3];  // the first `rank`

  // As the schemas spell them out; `output_size` is empty where a tensor has it.
  Arguments(const Ints& output_size, const Ints& stride, const Ints& low, const Ints& dilation, int64_t groups,
            bool transposed, const Ints& border, const Floats& value, const std::string& kernel, int64_t activation,
            double alpha, double beta);
  // As ops/arguments.py packs them into one int64 tensor, which takes a microsecond to hand over where the lists take five.
  explicit Arguments(const Tensor& packed);
};

// The same with the tensors' sizes, checked: Python has checked it before and said so better; this keeps a call of the bare
// operator from reading out of bounds.
struct Call {
  int64_t batch, groups, in_channels, out_channels, rank;
  bool transposed;
  bool depthwise, winograd;  // depthwise: or `grouped`, which are one
  bool zeros;                // every constant beyond a border is 0
  AxisGeometry axis[3];      // as those of the kernels, the last `rank`
  float value[3];
  Activation activation;

  // `output` may be null: then its size is the arguments'.
  Call(const Arguments& a, const Tensor& input, const Tensor& weight, const Tensor* output);

  // Whether a source can lie outside: not where each pixel sees itself alone.
  bool sees_outside() const;
  Ints input_size() const;   // spatial
  Ints output_size() const;
  FilterSizes filter(bool adjoint) const;
  // How a gather sees a filter bank: (out, in / groups, ...), transposed (in, out / groups, ...).
  FilterStrides strides(const Tensor& weight, bool adjoint) const;
};

}  // namespace convlayers
