#include "torch/pool.h"

#include <atomic>

#include "kernels/pool/indexed.h"

namespace convlayers {
namespace {

// The number of elements, checked: what Python has refused already must not overflow here either.
int64_t elements(int64_t batch, int64_t channels, const Ints& spatial) {
  int64_t count = 1;
  bool overflow = __builtin_mul_overflow(std::max<int64_t>(batch, 1), std::max<int64_t>(channels, 1), &count);
  for (const int64_t size : spatial) {
    STD_TORCH_CHECK(size >= 0, "convlayers: sizes must not be negative; received ", size);
    overflow = overflow || __builtin_mul_overflow(count, std::max<int64_t>(size, 1), &count);
  }
  STD_TORCH_CHECK(!overflow && count < INT64_MAX / 64, "convlayers: sizes overflow");
  return count;
}

void check_indices(const Tensor& t, int64_t dim) {
  STD_TORCH_CHECK(t.is_cpu() && t.layout() == torch::headeronly::Layout::Strided && t.scalar_type() == ScalarType::Long,
                  "convlayers: indices must be a strided int64 tensor on the CPU");
  STD_TORCH_CHECK(t.dim() == dim, "convlayers: indices must have ", dim, " dimensions; received ", t.dim());
}

void check_image(const Tensor& input, size_t rank, const char* name) {
  STD_TORCH_CHECK(rank >= 1 && rank <= 3, "convlayers: pooling takes 1 to 3 spatial axes");
  check_tensor(input, name, static_cast<int64_t>(rank) + 2);
}

// The windows of a call, checked: a call of the bare operator must not read out of bounds.
struct WindowArguments {
  const Ints &kernel, &stride, &low, &high, &dilation;
  bool count_padding;
};

void set_windows(PoolProblem& p, const Ints& input, const Ints& output, const WindowArguments& a) {
  const size_t rank = input.size();
  const bool adaptive = a.kernel.empty();
  const size_t entries = adaptive ? 0 : rank;
  STD_TORCH_CHECK(rank >= 1 && rank <= 3 && output.size() == rank, "convlayers: pooling takes 1 to 3 spatial axes");
  for (const Ints* list : {&a.kernel, &a.stride, &a.low, &a.high, &a.dilation})
    STD_TORCH_CHECK(list->size() == entries, "convlayers: windows must have one entry a spatial axis, or none at all");
  int64_t window = 1;
  for (size_t i = 0; i < rank; ++i) {
    WindowAxis& axis = p.axis[3 - rank + i];
    int64_t product;
    if (adaptive) {
      STD_TORCH_CHECK(!__builtin_mul_overflow(input[i] + 1, output[i] + 1, &product), "convlayers: sizes overflow");
      axis = WindowAxis(input[i], output[i], 0, 1, 0, 0, 1, false);
      continue;
    }
    const int64_t kernel = a.kernel[i], stride = a.stride[i], low = a.low[i], high = a.high[i], step = a.dilation[i];
    STD_TORCH_CHECK(kernel >= 1 && stride >= 1 && step >= 1 && low >= 0 && high >= 0,
                    "convlayers: kernel, stride and dilation must be at least 1, padding not negative");
    int64_t reach, extent, span;
    const bool overflow = __builtin_mul_overflow(kernel, step, &reach) ||
                          __builtin_mul_overflow(output[i], stride, &extent) ||
                          __builtin_add_overflow(reach, extent, &span) || __builtin_add_overflow(span, low, &span) ||
                          __builtin_add_overflow(span, high, &span) || __builtin_add_overflow(span, input[i], &span) ||
                          __builtin_mul_overflow(window, kernel, &window);
    STD_TORCH_CHECK(!overflow, "convlayers: sizes overflow");
    axis = WindowAxis(input[i], output[i], kernel, stride, low, high, step, a.count_padding);
  }
}

// Beyond the last float that a source holds.
const float* end_of(const Source& source, int64_t batch, int64_t channels, const Ints& spatial) {
  const Strides& s = source.strides();
  int64_t last = (batch - 1) * s.batch + channels;
  for (size_t i = spatial.size(), a = 3; i-- > 0;) last += (spatial[i] - 1) * s.axis[--a];
  return source.data() + last;
}

// Of a contiguous tensor: each plane is as one channel, channels last.
Strides plane_strides(int64_t channels, const Ints& spatial) {
  Strides s = dense_strides(1, spatial);
  s.batch *= channels;
  return s;
}

struct Pooling {
  bool average, adjoint;
};

// Pools `tensor` to a new one of this size and layout.
Tensor pool(const Kernel<PoolProblem>& kernel, Pooling kind, PoolProblem& p, const Tensor& tensor, bool channels_last,
            const Ints& size) {
  p.batch = tensor.size(0);
  p.channels = tensor.size(1);
  const Ints from_size = spatial(tensor);
  // Elsewhere planes are read and written through a copy that is channels last.
  const bool stay = (kind.average && covers_input(p)) || PoolBoxes(p, kind.adjoint).fit();
  const int64_t from_plane = product(from_size), to_plane = product(size);
  const bool from_planes = stay && tensor.is_contiguous() && p.channels > 1 && from_plane > 1;
  const bool to_planes = stay && !channels_last && p.channels > 1 && to_plane > 1;
  std::optional<Source> source;
  std::optional<Result> result;
  Tensor output = tensor;
  if (to_planes) {
    output = new_in_layout(false, p.batch, p.channels, size, ScalarType::Float);
    p.output = static_cast<float*>(output.data_ptr());
    p.output_strides = plane_strides(p.channels, size);
    p.output_plane = to_plane;
    if (output.numel() == 0) return output;
  } else {
    result.emplace(channels_last, p.batch, p.channels, size);
    p.output = result->data();
    p.output_strides = result->strides();
    if (result->empty()) return result->deliver();
  }
  if (from_planes) {
    p.source = static_cast<const float*>(tensor.const_data_ptr());
    p.source_strides = plane_strides(p.channels, from_size);
    p.source_plane = from_plane;
    p.source_end = p.source + tensor.numel();
  } else {
    source.emplace(tensor);
    p.source = source->data();
    p.source_strides = source->strides();
    p.source_end = tensor.numel() > 0 ? end_of(*source, p.batch, p.channels, from_size) : p.source;
  }
  // More results than this go past the caches: written before they are read again, they would only drive out what is there.
  constexpr int64_t kStream = 1 << 21, kAligned = 16;
  p.stream = p.channels % kAligned == 0 && p.batch * p.channels * to_plane > kStream;
  run(kernel, p);
  return result ? result->deliver() : output;
}

// A plane's elements as one axis; a copy where they do not lie so.
class Planes {
 public:
  explicit Planes(const Tensor& t) : holder_(t) {
    if (!find_strides(t)) {
      holder_ = torch::stable::contiguous(t);
      find_strides(holder_);
    }
  }
  const PlaneStrides& strides() const { return strides_; }
  template <class T>
  const T* data() const { return static_cast<const T*>(holder_.const_data_ptr()); }
  template <class T>
  T* mutable_data() { return static_cast<T*>(holder_.data_ptr()); }

 private:
  bool find_strides(const Tensor& t) {
    const auto sizes = t.sizes();
    const auto strides = t.strides();
    strides_ = {strides[0], strides[1], 0};
    int64_t expected = -1;
    for (int64_t d = t.dim() - 1; d >= 2; --d) {
      if (sizes[d] == 1) continue;
      if (expected < 0) strides_.pixel = strides[d];
      else if (strides[d] != expected) return false;
      expected = strides[d] * sizes[d];
    }
    return true;
  }

  Tensor holder_;
  PlaneStrides strides_;
};

using IndexedFunction = bool (*)(const IndexedProblem&, int64_t);

// Puts or takes elements by index; `indices` has the shape of the planes that they stand for.
Tensor indexed(IndexedFunction function, const Tensor& source, const Tensor& indices, const Ints& output_size,
               int64_t plane, bool channels_last) {
  elements(source.size(0), source.size(1), output_size);
  Tensor result = new_in_layout(channels_last, source.size(0), source.size(1), output_size, ScalarType::Float);
  if (result.numel() == 0 && indices.numel() == 0) return result;
  Planes to(result);
  const Planes from(source), at(indices);
  IndexedProblem p{};
  p.batch = source.size(0);
  p.channels = source.size(1);
  p.indices = elements(1, 1, spatial(indices)) * (indices.numel() > 0);
  p.plane = plane;
  p.index = at.data<int64_t>();
  p.index_strides = at.strides();
  p.from = from.data<float>();
  p.from_strides = from.strides();
  p.to = to.mutable_data<float>();
  p.to_strides = to.strides();
  std::atomic<bool> inside{true};
  parallel(indexed_tasks(p), [&](int64_t task) {
    if (!function(p, task)) inside = false;
  });
  STD_TORCH_CHECK(inside, "indices must point into the plane; received an index outside 0 to ", plane - 1);
  return result;
}

void check_pair(const Tensor& source, const Tensor& indices, bool same_plane) {
  STD_TORCH_CHECK(source.dim() >= 3 && source.dim() <= 5, "convlayers: pooling takes 1 to 3 spatial axes");
  check_tensor(source, "source", source.dim());
  check_indices(indices, source.dim());
  for (int64_t d = 0; d < (same_plane ? source.dim() : 2); ++d)
    STD_TORCH_CHECK(source.size(d) == indices.size(d), "convlayers: indices must fit the source; received ",
                    indices.size(d), " instead of ", source.size(d), " along dimension ", d);
}

}  // namespace

PoolProblem max_problem(const Tensor& input, const Ints& output_size, const WindowArguments& windows) {
  check_image(input, output_size.size(), "input");
  elements(input.size(0), input.size(1), output_size);
  PoolProblem p{};
  set_windows(p, spatial(input), output_size, windows);
  STD_TORCH_CHECK(elements(1, 1, spatial(input)) <= INT32_MAX, "convlayers: a plane must have less than 2**31 elements");
  return p;
}

Tensor max_pool(const Tensor& input, Ints output_size, Ints kernel, Ints stride, Ints low, Ints dilation) {
  PoolProblem p = max_problem(input, output_size, {kernel, stride, low, low, dilation, false});
  return pool(kernels().max_pool, {.average = false, .adjoint = false}, p, input, is_channels_last(input), output_size);
}

std::tuple<Tensor, Tensor> max_pool_with_indices(const Tensor& input, Ints output_size, Ints kernel, Ints stride,
                                                 Ints low, Ints dilation) {
  PoolProblem p = max_problem(input, output_size, {kernel, stride, low, low, dilation, false});
  const bool last = is_channels_last(input);
  Tensor indices = new_in_layout(last, input.size(0), input.size(1), output_size, ScalarType::Long);
  Planes to(indices);
  p.index = to.mutable_data<int64_t>();
  p.index_strides = to.strides();
  return {pool(kernels().max_pool, {.average = false, .adjoint = false}, p, input, last, output_size), indices};
}

// Where the taps are, and that they can be told in a byte each.
void set_taps(PoolProblem& p, const Tensor& taps) {
  int64_t window = 1;
  for (const WindowAxis& axis : p.axis) window *= axis.kernel;
  STD_TORCH_CHECK(0 < window && window <= kNoTap, "convlayers: a window must have 1 to ", kNoTap, " elements");
  p.tap = static_cast<uint8_t*>(taps.data_ptr());
  p.tap_strides.batch = taps.stride(0);
  for (int64_t i = taps.dim() - 1, a = 3; i >= 2; --i) p.tap_strides.axis[--a] = taps.stride(i);
}

std::tuple<Tensor, Tensor> max_pool_with_taps(const Tensor& input, Ints output_size, Ints kernel, Ints stride, Ints low,
                                              Ints dilation) {
  PoolProblem p = max_problem(input, output_size, {kernel, stride, low, low, dilation, false});
  const Tensor taps = new_in_layout(true, input.size(0), input.size(1), output_size, ScalarType::Byte);
  set_taps(p, taps);
  return {pool(kernels().max_pool, {.average = false, .adjoint = false}, p, input, is_channels_last(input), output_size), taps};
}

Tensor max_pool_input_grad(const Tensor& grad, const Tensor& taps, Ints input_size, Ints kernel, Ints stride, Ints low,
                           Ints dilation, bool channels_last) {
  check_image(grad, input_size.size(), "grad");
  elements(grad.size(0), grad.size(1), input_size);
  STD_TORCH_CHECK(taps.is_cpu() && taps.scalar_type() == ScalarType::Byte && taps.dim() == grad.dim() &&
                      (taps.size(1) <= 1 || taps.stride(1) == 1),
                  "convlayers: taps must be a uint8 tensor on the CPU, channels last");
  for (int64_t d = 0; d < taps.dim(); ++d)
    STD_TORCH_CHECK(taps.size(d) == grad.size(d), "convlayers: taps must have the size of grad");
  PoolProblem p{};
  set_windows(p, input_size, spatial(grad), {kernel, stride, low, low, dilation, false});
  set_taps(p, taps);
  return pool(kernels().max_pool_adjoint, {.average = false, .adjoint = true}, p, grad, channels_last, input_size);
}

Tensor avg_pool(const Tensor& input, Ints output_size, Ints kernel, Ints stride, Ints low, Ints high, Ints dilation,
                bool count_include_pad, int64_t divisor) {
  check_image(input, output_size.size(), "input");
  elements(input.size(0), input.size(1), output_size);
  PoolProblem p{};
  p.divisor = divisor;
  set_windows(p, spatial(input), output_size, {kernel, stride, low, high, dilation, count_include_pad});
  return pool(kernels().avg_pool, {.average = true, .adjoint = false}, p, input, is_channels_last(input), output_size);
}

Tensor avg_pool_input_grad(const Tensor& grad, Ints input_size, Ints kernel, Ints stride, Ints low, Ints high,
                           Ints dilation, bool count_include_pad, int64_t divisor, bool channels_last) {
  check_image(grad, input_size.size(), "grad");
  elements(grad.size(0), grad.size(1), input_size);
  PoolProblem p{};
  p.divisor = divisor;
  set_windows(p, input_size, spatial(grad), {kernel, stride, low, high, dilation, count_include_pad});
  return pool(kernels().avg_pool_adjoint, {.average = true, .adjoint = true}, p, grad, channels_last, input_size);
}

namespace {

// What a packed call says: three numbers, and seven for each axis.
struct Packed {
  bool count_padding;
  int64_t divisor;
  Ints input, output, kernel, stride, low, high, dilation;

  explicit Packed(const Tensor& packed) {
    constexpr int64_t kHead = 3, kAxis = 7;
    const int64_t* word = packed_words(packed, kHead, kAxis);
    const int64_t rank = word[0];
    count_padding = word[1] != 0;
    divisor = word[2];
    const bool adaptive = word[kHead + 2] == 0;
    for (word += kHead; static_cast<int64_t>(input.size()) < rank; word += kAxis) {
      input.push_back(word[0]);
      output.push_back(word[1]);
      if (adaptive) continue;
      kernel.push_back(word[2]);
      stride.push_back(word[3]);
      low.push_back(word[4]);
      high.push_back(word[5]);
      dilation.push_back(word[6]);
    }
  }
};

}  // namespace

Tensor max_pool_packed(const Tensor& input, const Tensor& packed) {
  const Packed p(packed);
  return max_pool(input, p.output, p.kernel, p.stride, p.low, p.dilation);
}

std::tuple<Tensor, Tensor> max_pool_with_taps_packed(const Tensor& input, const Tensor& packed) {
  const Packed p(packed);
  return max_pool_with_taps(input, p.output, p.kernel, p.stride, p.low, p.dilation);
}

Tensor max_pool_input_grad_packed(const Tensor& grad, const Tensor& taps, const Tensor& packed, bool channels_last) {
  const Packed p(packed);
  return max_pool_input_grad(grad, taps, p.input, p.kernel, p.stride, p.low, p.dilation, channels_last);
}

Tensor avg_pool_packed(const Tensor& input, const Tensor& packed) {
  const Packed p(packed);
  return avg_pool(input, p.output, p.kernel, p.stride, p.low, p.high, p.dilation, p.count_padding, p.divisor);
}

Tensor avg_pool_input_grad_packed(const Tensor& grad, const Tensor& packed, bool channels_last) {
  const Packed p(packed);
  return avg_pool_input_grad(grad, p.input, p.kernel, p.stride, p.low, p.high, p.dilation, p.count_padding, p.divisor,
                             channels_last);
}

std::tuple<Tensor, Tensor> fractional_max_pool(const Tensor& input, const Tensor& samples, Ints output_size,
                                               Ints kernel) {
  const size_t rank = output_size.size();
  check_image(input, rank, "input");
  check_tensor(samples, "samples", 3);
  const Ints size = spatial(input);
  const int64_t batch = input.size(0), channels = input.size(1), axes = static_cast<int64_t>(rank);
  STD_TORCH_CHECK(rank >= 2 && kernel.size() == rank, "convlayers: kernel must have one entry an axis, 2 or 3");
  STD_TORCH_CHECK(samples.size(0) == batch && samples.size(1) == channels && samples.size(2) == axes,
                  "convlayers: samples must be (batch, channels, axes)");
  elements(batch, channels, output_size);
  FractionalProblem p{};
  p.batch = batch;
  p.channels = channels;
  p.axes = axes;
  for (int64_t a = 0; a < 3; ++a) {
    const int64_t i = a - (3 - axes);
    p.input[a] = p.output[a] = p.kernel[a] = 1;
    p.axis_of_sample[a] = -1;
    if (i < 0) continue;
    const auto at = static_cast<size_t>(i);
    p.input[a] = size[at];
    p.output[a] = output_size[at];
    p.kernel[a] = kernel[at];
    // torch's order: depth, height, width in a volume, but width before height in a picture.
    p.axis_of_sample[a] = axes == 2 ? 1 - i : i;
    STD_TORCH_CHECK(p.kernel[a] >= 1 && p.output[a] >= 1 && p.kernel[a] <= p.input[a] &&
                        p.output[a] <= p.input[a] - p.kernel[a] + 1,
                    "convlayers: output_size + kernel - 1 must not exceed the input");
  }
  const bool last = is_channels_last(input);
  Tensor output = new_in_layout(last, batch, channels, output_size, ScalarType::Float);
  Tensor indices = new_in_layout(last, batch, channels, output_size, ScalarType::Long);
  if (output.numel() == 0) return {output, indices};
  const Planes from(input);
  Planes to(output), at(indices);
  const Tensor dense = torch::stable::contiguous(samples);
  p.sample = static_cast<const float*>(dense.const_data_ptr());
  p.from = from.data<float>();
  p.from_strides = from.strides();
  p.to = to.mutable_data<float>();
  p.to_strides = to.strides();
  p.index = at.mutable_data<int64_t>();
  p.index_strides = at.strides();
  std::atomic<bool> inside{true};
  parallel(batch * channels, [&](int64_t task) {
    if (!convlayers::fractional_max_pool(p, task)) inside = false;
  });
  STD_TORCH_CHECK(inside, "_random_samples must be finite; received infinities or NaN");
  return {output, indices};
}

Tensor max_unpool(const Tensor& input, const Tensor& indices, Ints output_size) {
  check_pair(input, indices, true);
  check_image(input, output_size.size(), "input");
  elements(1, 1, output_size);
  return indexed(unpool, input, indices, output_size, product(output_size), is_channels_last(input));
}

Tensor pool_scatter(const Tensor& source, const Tensor& indices, Ints output_size, bool channels_last) {
  check_pair(source, indices, true);
  check_image(source, output_size.size(), "source");
  elements(1, 1, output_size);
  return indexed(scatter, source, indices, output_size, product(output_size), channels_last);
}

Tensor pool_gather(const Tensor& source, const Tensor& indices) {
  check_pair(source, indices, false);
  return indexed(gather, source, indices, spatial(indices), product(spatial(source)), is_channels_last(indices));
}

}  // namespace convlayers
