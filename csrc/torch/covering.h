// Filters that cover all of their input, such as a classifier's last layer: the convolution is a product of matrices. The numbers
// of an example and of a filter lying in one order, it is the 1x1 convolution of one pixel of as many channels, for which nothing
// is looked up, and no vector is left idle.
#pragma once

#include "torch/call.h"

namespace convlayers {

// A call as it is computed: as that 1x1 where its filters cover its input, else as it is.
class Covering {
 public:
  // `channels_last`: the order of the filters' numbers, or channels first.
  Covering(const Call& c, bool channels_last);
  bool covers() const { return covers_; }
  const Call& call() const { return call_; }
  // Of the input or the weight: (batch, channels, *spatial) as (batch, channels * spatial, 1...), a copy where it lies otherwise.
  Tensor operand(const Tensor& t) const;

 private:
  Call call_;
  bool covers_, channels_last_;
};

}  // namespace convlayers
