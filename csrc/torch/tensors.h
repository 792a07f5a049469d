// Tensors in, pointers out: what the operators share.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/Exception.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/base/isa.h"
#include "kernels/gather/gather.h"
#include "kernels/layout/layout.h"

namespace convlayers {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using Ints = std::vector<int64_t>;
using Floats = std::vector<double>;

// How many of a job's parts are worth a thread, the whole being `work` multiplications and additions, or as long: waking one
// takes some 20 microseconds (measured in a virtual machine), as long as a million of them.
constexpr double kAll = 1e300;
inline int64_t grain(int64_t parts, double work) {
  constexpr double kThread = 1536 * 1024;
  return std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(parts) * std::min(1.0, kThread / (work + 1))));
}

// Runs `part(i)` for every i, on torch's own threads.
template <class F>
void parallel(int64_t count, const F& part, double work = kAll) {
  torch::stable::parallel_for(0, count, grain(count, work), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) part(i);
  });
}

// Runs a kernel's tasks, in as few calls as there are threads.
template <class Problem>
void run(const Kernel<Problem>& kernel, const Problem& problem, double work = kAll) {
  const int64_t tasks = kernel.tasks(problem);
  torch::stable::parallel_for(0, tasks, grain(tasks, work),
                              [&](int64_t begin, int64_t end) { kernel.run(problem, begin, end); });
}

int64_t product(const Ints& sizes);
// The sizes of the axes behind batch and channels.
Ints spatial(const Tensor& t);
// Strides of a dense channels-last tensor, its spatial axes at the end of the three.
Strides dense_strides(int64_t channels, const Ints& spatial);

// A strided float32 CPU tensor of this many dimensions, or an error that names it.
void check_tensor(const Tensor& t, const char* name, int64_t dim);

// The words of a call packed into a vector of int64: the rank, the rest of `head` words, and `each` for every spatial axis.
const int64_t* packed_words(const Tensor& packed, int64_t head, int64_t each);

// bfloat16 and float16 are for storage: what is computed of them is computed in float32 and rounded once.
bool is_half(const Tensor& t);
Tensor widen(const Tensor& t);  // float32 where it is one of the two, itself elsewhere

// Memory that a call needs for itself, or keeps.
using Memory = std::shared_ptr<float>;
Memory workspace(int64_t floats);

Tensor new_vector(const Tensor& like, int64_t floats);

// Whether a tensor's strides are in channels-last order, by torch's rule: then results are channels last, too.
bool is_channels_last(const Tensor& t);

// A tensor (batch, channels, *spatial) of float32 or int64, channels last or contiguous.
Tensor new_in_layout(bool channels_last, int64_t batch, int64_t channels, const Ints& spatial,
                     ScalarType dtype);

// The same of the sizes of another.
Tensor new_like(const Tensor& t, bool channels_last);

// Whether all of a tensor lies side by side, channels last or contiguous; an axis of one element may have any stride.
bool is_dense(const Tensor& t, bool channels_last);
// The tensor so; a copy where it was not.
Tensor dense(const Tensor& t, bool channels_last);

// (batch, channels, *spatial), readable with a channel stride of 1; a copy where it was not.
class Source {
 public:
  explicit Source(const Tensor& t);
  const float* data() const { return data_; }
  const Strides& strides() const { return strides_; }

 private:
  Tensor holder_;
  Memory copy_;
  const float* data_;
  Strides strides_;
};

// A result (batch, channels, *spatial), written channels last and delivered in the layout that `like` has, or the one
// asked for.
class Result {
 public:
  Result(const Tensor& like, int64_t batch, int64_t channels, const Ints& spatial)
      : Result(is_channels_last(like), batch, channels, spatial) {}
  Result(bool channels_last, int64_t batch, int64_t channels, const Ints& spatial);
  // A tensor (batch, channels, 1...), written as it lies.
  explicit Result(const Tensor& pixels);
  float* data() const { return data_; }
  const Strides& strides() const { return strides_; }
  int64_t count() const { return count_; }
  bool empty() const { return count_ == 0; }
  Tensor deliver();

 private:
  Tensor tensor_;
  Memory staging_;
  float* data_;
  Strides strides_;
  int64_t batch_, channels_, pixels_, count_;
};

}  // namespace convlayers
