#include "torch/covering.h"

namespace convlayers {
namespace {

// Whether the numbers of an example lie side by side in this order. An axis of one element has no order.
bool lies_in_order(const Tensor& t, bool channels_last) {
  const auto sizes = t.sizes(), strides = t.strides();
  const size_t axes = sizes.size();
  int64_t next = 1;
  const auto fits = [&](size_t axis) {
    const bool fit = sizes[axis] == 1 || strides[axis] == next;
    next *= sizes[axis];
    return fit;
  };
  bool all = !channels_last || fits(1);
  for (size_t axis = axes; axis-- > 2;) all = fits(axis) && all;
  return all && (channels_last || fits(1));
}

}  // namespace

bool covers(const Call& c) {
  if (c.transposed || c.groups != 1 || c.winograd || c.depthwise) return false;
  int64_t taps = 1;
  for (const AxisGeometry& a : c.axis) {
    if (a.kernel != a.input || a.output != 1 || a.low != 0 || a.dilation != 1) return false;
    taps *= a.kernel;
  }
  return taps > 1;
}

Call covering(Call c) {
  for (AxisGeometry& a : c.axis) {
    c.in_channels *= a.kernel;
    a = {1, 1, 1, 1, 1, 0, Border::kConstant};
  }
  c.zeros = true;
  return c;
}

Tensor flattened(const Tensor& t, bool channels_last) {
  Tensor whole = t;
  if (!lies_in_order(t, channels_last)) {
    whole = new_like(t, channels_last);
    torch::stable::copy_(whole, t);
  }
  const int64_t size[5] = {t.size(0), t.size(0) == 0 ? 0 : t.numel() / t.size(0), 1, 1, 1};
  const int64_t stride[5] = {whole.stride(0), 1, 1, 1, 1};
  AtenTensorHandle handle;
  TORCH_ERROR_CODE_CHECK(aoti_torch_as_strided(whole.get(), size, stride, &handle));
  return Tensor(handle);
}

}  // namespace convlayers
