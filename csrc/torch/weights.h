// Weights as a kernel reads them: packed or transformed anew at every call, or kept, where the caller says that they are
// constant.
//
// A kept copy is found by what the weights are, not by where they are: by a fingerprint of all their bytes, with sizes,
// strides and form. So an update is seen whoever made it, torch or not, a dead tensor's memory tells nothing, and no tensor is
// kept alive. Reading the weights takes a fraction of packing them. Two weights share a fingerprint with probability 2^-128.
#pragma once

#include <memory>
#include <optional>

#include "torch/recent.h"
#include "torch/tensors.h"

namespace convlayers {

// The bytes that kept weights may take together; returns what it was.
int64_t keep_weights(int64_t bytes);
// The bytes that they take now.
int64_t kept_weights();

// What weights are packed for: one kernel's layout of one filter bank.
struct WeightForm {
  enum Kernel : int64_t { kDirect, kDepthwise, kWinograd } kernel;
  FilterStrides strides;
  FilterSizes sizes;
  int64_t detail[3];  // whatever else the layout depends on
};

class PackedWeights {
 public:
  // Looks for `floats` floats, packed from this weight; looks for nothing unless it is `constant`.
  PackedWeights(const Tensor& weight, bool constant, const WeightForm& form, int64_t floats);

  // Whether they are kept, or would be: worth more work than one call's.
  bool lasting() const { return key_.has_value(); }

  // The packed floats: those that were kept, or what make(float*) writes.
  template <class Make>
  float* get(const Make& make) {
    if (!memory_) {
      memory_ = workspace(floats_);
      make(memory_.get());
      if (key_) keep();
    }
    return memory_.get();
  }

 private:
  using Kept = Recent<18, float>;
  static Kept& kept();
  void keep();

  friend int64_t keep_weights(int64_t bytes);
  friend int64_t kept_weights();
  int64_t floats_;
  std::optional<Kept::Key> key_;
  Memory memory_;
};

}  // namespace convlayers
