#include "torch/covering.h"

namespace convlayers {
namespace {

bool covers(const Call& c) {
  if (c.transposed || c.groups != 1 || c.winograd || c.depthwise) return false;
  int64_t taps = 1;
  for (const AxisGeometry& a : c.axis) {
    if (a.kernel != a.input || a.output != 1 || a.low != 0 || a.dilation != 1) return false;
    taps *= a.kernel;
  }
  return taps > 1;
}

}  // namespace

Covering::Covering(const Call& c, bool channels_last) : call_(c), covers_(convlayers::covers(c)), channels_last_(channels_last) {
  if (!covers_) return;
  for (AxisGeometry& a : call_.axis) {
    call_.in_channels *= a.kernel;
    a = {1, 1, 1, 1, 1, 0, Border::kConstant};
  }
  call_.zeros = true;
}

Tensor Covering::operand(const Tensor& t) const {
  if (!covers_) return t;
  const Tensor whole = dense(t, channels_last_);
  const int64_t size[5] = {t.size(0), call_.in_channels, 1, 1, 1}, stride[5] = {call_.in_channels, 1, 1, 1, 1};
  AtenTensorHandle handle;
  TORCH_ERROR_CODE_CHECK(aoti_torch_as_strided(whole.get(), size, stride, &handle));
  return Tensor(handle);
}

}  // namespace convlayers
