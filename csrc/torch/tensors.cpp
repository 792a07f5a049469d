#include "torch/tensors.h"

#include <array>

namespace convlayers {
namespace {

using torch::stable::detail::from;
using torch::stable::detail::to;

Tensor permute(const Tensor& t, const Ints& dims) {
  std::array<StableIValue, 2> stack{from(t), from(dims)};
  TORCH_ERROR_CODE_CHECK(torch_call_dispatcher("aten::permute", "", stack.data(), TORCH_ABI_VERSION));
  return to<Tensor>(stack[0]);
}

int64_t product(const Ints& sizes) {
  int64_t result = 1;
  for (int64_t s : sizes) result *= s;
  return result;
}

// Strides of a dense channels-last tensor, its spatial axes at the end of the three.
Strides dense_strides(int64_t channels, const Ints& spatial) {
  Strides s{channels * product(spatial), {0, 0, 0}};
  int64_t stride = channels;
  for (size_t i = spatial.size(), a = 3; i-- > 0;) {
    s.axis[--a] = stride;
    stride *= spatial[i];
  }
  return s;
}

}  // namespace

void check_tensor(const Tensor& t, const char* name, int64_t dim) {
  STD_TORCH_CHECK(t.is_cpu() && t.layout() == torch::headeronly::Layout::Strided &&
                      t.scalar_type() == torch::headeronly::ScalarType::Float,
                  "convlayers: ", name, " must be a strided float32 tensor on the CPU");
  STD_TORCH_CHECK(t.dim() == dim, "convlayers: ", name, " must have ", dim, " dimensions; received ", t.dim());
}

Tensor workspace(const Tensor& like, int64_t floats) {
  const Ints size{floats};
  return torch::stable::new_empty(like, size);
}

bool is_channels_last(const Tensor& t) {
  const auto sizes = t.sizes();
  const auto strides = t.strides();
  int64_t least = 0;
  for (int64_t i = 0; i < t.dim(); ++i) {
    // channels, then the last spatial axis down to the first, then the batch
    const int64_t d = i == 0 ? 1 : i == t.dim() - 1 ? 0 : t.dim() - i;
    if (sizes[d] == 0 || strides[d] < least || (d == 0 && least == strides[1])) return false;
    least = strides[d] * sizes[d];
  }
  return strides[1] > 0;
}

Source::Source(const Tensor& t) : holder_(t) {
  const auto sizes = t.sizes();
  const int64_t batch = sizes[0], channels = sizes[1];
  const Ints spatial(sizes.begin() + 2, sizes.end());
  const int64_t pixels = product(spatial);
  const auto strides = t.strides();
  if (channels <= 1 || strides[1] == 1) {
    strides_ = {strides[0], {0, 0, 0}};
    for (size_t i = spatial.size(), a = 3; i-- > 0;) strides_.axis[--a] = strides[i + 2];
  } else {
    strides_ = dense_strides(channels, spatial);
    const Tensor dense = t.is_contiguous() ? t : torch::stable::contiguous(t);
    if (pixels == 1) {
      holder_ = dense;
    } else {
      holder_ = workspace(t, batch * channels * pixels);
      const Transpose job{static_cast<const float*>(dense.const_data_ptr()), static_cast<float*>(holder_.data_ptr()),
                          batch, channels, pixels};
      parallel(transpose_parts(job), [&](int64_t i) { transpose(job, i); });
    }
  }
  data_ = static_cast<const float*>(holder_.const_data_ptr());
}

Tensor new_in_layout(const Tensor& like, bool channels_last, int64_t batch, int64_t channels, const Ints& spatial,
                     ScalarType dtype) {
  Ints size{batch};
  if (!channels_last) {
    size.push_back(channels);
    size.insert(size.end(), spatial.begin(), spatial.end());
    return torch::stable::new_empty(like, size, dtype);
  }
  size.insert(size.end(), spatial.begin(), spatial.end());
  size.push_back(channels);
  Ints order{0, static_cast<int64_t>(size.size()) - 1};
  for (size_t i = 1; i + 1 < size.size(); ++i) order.push_back(static_cast<int64_t>(i));
  return permute(torch::stable::new_empty(like, size, dtype), order);
}

Result::Result(const Tensor& like, bool channels_last, int64_t batch, int64_t channels, const Ints& spatial)
    : tensor_(new_in_layout(like, channels_last, batch, channels, spatial, ScalarType::Float)),
      strides_(dense_strides(channels, spatial)), batch_(batch), channels_(channels), pixels_(product(spatial)) {
  count_ = batch_ * channels_ * pixels_;
  if (!channels_last && channels_ > 1 && pixels_ > 1 && count_ > 0) staging_ = workspace(like, count_);
  data_ = static_cast<float*>((staging_ ? *staging_ : tensor_).data_ptr());
}

Tensor Result::deliver() {
  if (staging_) {
    const Transpose job{data_, static_cast<float*>(tensor_.data_ptr()), batch_, pixels_, channels_};
    parallel(transpose_parts(job), [&](int64_t i) { transpose(job, i); });
    staging_.reset();
  }
  return tensor_;
}

}  // namespace convlayers
