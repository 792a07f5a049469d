// Filters that cover all of their input, such as a classifier's last layer: the convolution is a product of matrices. The numbers
// of an example and of a filter lying in one order, it is the 1x1 convolution of one pixel of as many channels, for which nothing
// is looked up, and no vector is left idle.
#pragma once

#include "torch/call.h"

namespace convlayers {

bool covers(const Call& c);
// That 1x1.
Call covering(Call c);
// A tensor (batch, channels, *spatial) as (batch, channels * spatial, 1...), channels last or first; a copy where it is otherwise.
Tensor flattened(const Tensor& t, bool channels_last);

}  // namespace convlayers
