#include "torch/tensors.h"

#include <algorithm>
#include <cstdlib>

namespace convlayers {
namespace {

constexpr double kMove = 16;  // multiplications and additions in the time that a float takes to be moved

}  // namespace

int64_t product(const Ints& sizes) {
  int64_t result = 1;
  for (int64_t s : sizes) result *= s;
  return result;
}

Ints spatial(const Tensor& t) {
  const auto sizes = t.sizes();
  return Ints(sizes.begin() + 2, sizes.end());
}

Strides dense_strides(int64_t channels, const Ints& spatial) {
  Strides s{channels * product(spatial), {0, 0, 0}};
  int64_t stride = channels;
  for (size_t i = spatial.size(), a = 3; i-- > 0;) {
    s.axis[--a] = stride;
    stride *= spatial[i];
  }
  return s;
}

void check_tensor(const Tensor& t, const char* name, int64_t dim) {
  STD_TORCH_CHECK(t.is_cpu() && t.layout() == torch::headeronly::Layout::Strided &&
                      t.scalar_type() == torch::headeronly::ScalarType::Float,
                  "convlayers: ", name, " must be a strided float32 tensor on the CPU");
  STD_TORCH_CHECK(t.dim() == dim, "convlayers: ", name, " must have ", dim, " dimensions; received ", t.dim());
}

const int64_t* packed_words(const Tensor& packed, int64_t head, int64_t each) {
  STD_TORCH_CHECK(packed.is_cpu() && packed.scalar_type() == ScalarType::Long && packed.dim() == 1 &&
                      packed.layout() == torch::headeronly::Layout::Strided && packed.is_contiguous() &&
                      packed.numel() >= head + each,
                  "convlayers: a packed call must be a vector of int64 on the CPU");
  const auto* words = static_cast<const int64_t*>(packed.const_data_ptr());
  STD_TORCH_CHECK(words[0] >= 1 && words[0] <= 3 && packed.numel() == head + each * words[0], "convlayers: a packed call must have ",
                  head, " numbers and ", each, " for each of 1 to 3 spatial axes");
  return words;
}

bool is_half(const Tensor& t) {
  return t.scalar_type() == ScalarType::BFloat16 || t.scalar_type() == ScalarType::Half;
}

Tensor widen(const Tensor& t) { return is_half(t) ? torch::stable::to(t, ScalarType::Float) : t; }

Memory workspace(int64_t floats) {
  constexpr size_t kLine = 64;
  const size_t bytes = static_cast<size_t>(std::max<int64_t>(floats, 1)) * sizeof(float);
  auto* memory = static_cast<float*>(std::aligned_alloc(kLine, (bytes + kLine - 1) / kLine * kLine));
  STD_TORCH_CHECK(memory != nullptr, "convlayers: not enough memory: no ", bytes, " bytes to work in");
  return Memory(memory, std::free);
}

Tensor new_vector(const Tensor& like, int64_t floats) {
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

bool is_dense(const Tensor& t, bool channels_last) {
  if (!channels_last) return t.is_contiguous();
  int64_t expected = 1;
  for (int64_t i = 0; i < t.dim(); ++i) {
    const int64_t d = i == 0 ? 1 : i == t.dim() - 1 ? 0 : t.dim() - i;
    if (t.size(d) > 1 && t.stride(d) != expected) return false;
    expected *= t.size(d);
  }
  return true;
}

Source::Source(const Tensor& t) : holder_(t) {
  const auto sizes = t.sizes();
  const int64_t batch = sizes[0], channels = sizes[1];
  const Ints size = spatial(t);
  const int64_t pixels = product(size);
  const auto strides = t.strides();
  if (channels <= 1 || strides[1] == 1) {
    strides_ = {strides[0], {0, 0, 0}};
    for (size_t i = size.size(), a = 3; i-- > 0;) strides_.axis[--a] = strides[i + 2];
  } else {
    strides_ = dense_strides(channels, size);
    const Tensor dense = t.is_contiguous() ? t : torch::stable::contiguous(t);
    holder_ = dense;
    if (pixels > 1) {
      const int64_t count = batch * channels * pixels;
      copy_ = workspace(count);
      const Transpose job{static_cast<const float*>(dense.const_data_ptr()), copy_.get(), batch, channels, pixels};
      parallel(transpose_parts(job), [&](int64_t i) { transpose(job, i); }, kMove * static_cast<double>(count));
    }
  }
  data_ = copy_ ? copy_.get() : static_cast<const float*>(holder_.const_data_ptr());
}

Tensor new_in_layout(bool channels_last, int64_t batch, int64_t channels, const Ints& spatial,
                     ScalarType dtype) {
  const int32_t scalar = dtype == ScalarType::Long   ? aoti_torch_dtype_int64()
                         : dtype == ScalarType::Byte ? aoti_torch_dtype_uint8()
                                                     : aoti_torch_dtype_float32();
  const auto rank = static_cast<int64_t>(spatial.size());
  int64_t size[5] = {batch, channels}, stride[5], next = 1;
  std::copy(spatial.begin(), spatial.end(), size + 2);
  const auto place = [&](int64_t axis) {
    stride[axis] = next;
    next *= std::max<int64_t>(size[axis], 1);
  };
  if (channels_last) place(1);
  for (int64_t i = rank + 1; i >= 2; --i) place(i);
  if (!channels_last) place(1);
  place(0);
  AtenTensorHandle handle;
  TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(rank + 2, size, stride, scalar, aoti_torch_device_type_cpu(), 0, &handle));
  return Tensor(handle);
}

Tensor new_like(const Tensor& t, bool channels_last) {
  return new_in_layout(channels_last, t.size(0), t.size(1), spatial(t), ScalarType::Float);
}

Tensor dense(const Tensor& t, bool channels_last) {
  if (is_dense(t, channels_last)) return t;
  Tensor copy = new_like(t, channels_last);
  return torch::stable::copy_(copy, t);
}

Result::Result(bool channels_last, int64_t batch, int64_t channels, const Ints& spatial)
    : tensor_(new_in_layout(channels_last, batch, channels, spatial, ScalarType::Float)),
      strides_(dense_strides(channels, spatial)), batch_(batch), channels_(channels), pixels_(product(spatial)) {
  count_ = batch_ * channels_ * pixels_;
  if (!channels_last && channels_ > 1 && pixels_ > 1 && count_ > 0) staging_ = workspace(count_);
  data_ = staging_ ? staging_.get() : static_cast<float*>(tensor_.data_ptr());
}

Result::Result(const Tensor& pixels)
    : tensor_(pixels), data_(static_cast<float*>(pixels.data_ptr())), strides_{pixels.stride(0), {0, 0, 0}},
      batch_(pixels.size(0)), channels_(pixels.size(1)), pixels_(1), count_(batch_ * channels_) {}

Tensor Result::deliver() {
  if (staging_) {
    const Transpose job{data_, static_cast<float*>(tensor_.data_ptr()), batch_, pixels_, channels_};
    parallel(transpose_parts(job), [&](int64_t i) { transpose(job, i); }, kMove * static_cast<double>(count_));
    staging_.reset();
  }
  return tensor_;
}

}  // namespace convlayers
