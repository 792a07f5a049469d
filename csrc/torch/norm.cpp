#include "torch/norm.h"

namespace convlayers {
namespace {

// Results of more floats go past the caches: written before they are read again, they would only drive out what is there.
constexpr int64_t kStream = 1 << 21;
// Where whole vectors of every instruction set are aligned, or where planes are long enough for most of theirs to be.
constexpr int64_t kAligned = 16, kLongPlane = 512;

// An operand of the input's size, dense in this layout; a copy where it was not.
Tensor dense(const Tensor& t, const char* name, const Tensor& input, bool channels_last) {
  check_tensor(t, name, input.dim());
  for (int64_t d = 0; d < t.dim(); ++d)
    STD_TORCH_CHECK(t.size(d) == input.size(d), "convlayers: ", name, " must have the size of input");
  return convlayers::dense(t, channels_last);
}

std::optional<Tensor> dense(const std::optional<Tensor>& t, const char* name, const Tensor& input, bool channels_last) {
  return t ? std::optional(dense(*t, name, input, channels_last)) : std::nullopt;
}

// One float a channel, side by side.
std::optional<Tensor> parameter(const std::optional<Tensor>& t, const char* name, int64_t channels) {
  if (!t) return std::nullopt;
  check_tensor(*t, name, 1);
  STD_TORCH_CHECK(t->size(0) == channels, "convlayers: ", name, " must have one element a channel");
  return torch::stable::contiguous(*t);
}

const float* floats(const std::optional<Tensor>& t) {
  return t ? static_cast<const float*>(t->const_data_ptr()) : nullptr;
}
float* floats(Tensor& t) { return static_cast<float*>(t.data_ptr()); }

Tensor doubles(const Tensor& like, Ints size) { return torch::stable::new_empty(like, size, ScalarType::Double); }

// What both directions share; `rows` says how the kernels see the input.
struct Call {
  bool channels_last, rows;
  std::optional<Tensor> weight, bias;
  Tensor statistics, coefficients;

  Call(BatchNorm& p, const Tensor& input, const Tensor& stats, const std::optional<Tensor>& weight_,
       const std::optional<Tensor>& bias_, double eps, bool training, int64_t activation, double alpha, double beta)
      : channels_last(is_channels_last(input)), weight(parameter(weight_, "weight", input.size(1))),
        bias(parameter(bias_, "bias", input.size(1))), statistics(stats),
        coefficients(new_vector(input, 5 * input.size(1))) {
    STD_TORCH_CHECK(activation >= 0 && activation < static_cast<int64_t>(ActivationCode::kCount),
                    "convlayers: unknown activation");
    p.batch = input.size(0);
    p.channels = input.size(1);
    p.pixels = input.numel() / (p.batch * p.channels);
    p.weight = floats(weight);
    p.bias = floats(bias);
    p.mean = static_cast<double*>(statistics.data_ptr());
    p.variance = p.mean + p.channels;
    p.eps = eps;
    p.training = training;
    p.activation = {static_cast<ActivationCode>(activation), static_cast<float>(alpha), static_cast<float>(beta)};
    p.coefficients = floats(coefficients);
    rows = channels_last || p.pixels == 1;
    p.stream = input.numel() > kStream && (rows ? p.channels % kAligned == 0 : p.pixels >= kLongPlane);
  }
};

void check_input(const Tensor& input) {
  STD_TORCH_CHECK(input.dim() >= 2, "convlayers: input must have at least 2 dimensions");
  check_tensor(input, "input", input.dim());
  STD_TORCH_CHECK(input.numel() > 0, "convlayers: input must not be empty");
}

// Calls part(begin, end) for blocks of channels.
template <class F>
void by_channels(int64_t channels, const F& part) {
  constexpr int64_t kBlock = 256;
  parallel((channels + kBlock - 1) / kBlock,
           [&](int64_t i) { part(i * kBlock, std::min((i + 1) * kBlock, channels)); });
}

}  // namespace

std::tuple<Tensor, Tensor> batch_norm(const Tensor& input, const std::optional<Tensor>& weight,
                                      const std::optional<Tensor>& bias, const std::optional<Tensor>& residual,
                                      const std::optional<Tensor>& mean, const std::optional<Tensor>& variance, double eps,
                                      int64_t activation, double alpha, double beta) {
  check_input(input);
  STD_TORCH_CHECK(mean.has_value() == variance.has_value(), "convlayers: mean and variance go together");
  const int64_t channels = input.size(1);
  Tensor statistics = doubles(input, {2, channels});
  BatchNormProblem p{};
  const Call call(p, input, statistics, weight, bias, eps, !mean, activation, alpha, beta);
  if (mean) {
    const auto m = parameter(mean, "mean", channels), v = parameter(variance, "variance", channels);
    std::copy_n(floats(m), channels, p.mean);
    std::copy_n(floats(v), channels, p.variance);
  }
  const Tensor x = dense(input, "input", input, call.channels_last);
  const auto added = dense(residual, "residual", input, call.channels_last);
  Tensor output = new_like(input, call.channels_last);
  p.input = floats(x);
  p.residual = floats(added);
  p.output = floats(output);
  const Kernels& k = kernels();
  if (!call.rows) {
    run(k.batch_norm_planes, p);
    return {output, statistics};
  }
  if (p.training) {
    Tensor partial = doubles(input, {2 * RowSplit(p).tasks * channels});
    p.partial = static_cast<double*>(partial.data_ptr());
    run(k.batch_norm_statistics, p);
    by_channels(channels, [&](int64_t begin, int64_t end) { merge_statistics(p, begin, end); });
  }
  set_affine(p, 0, channels);
  run(k.batch_norm_apply, p);
  return {output, statistics};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> batch_norm_grad(
    const Tensor& grad, const Tensor& input, const std::optional<Tensor>& output, const Tensor& statistics,
    const std::optional<Tensor>& weight, const std::optional<Tensor>& bias, double eps, bool training, bool residual,
    int64_t activation, double alpha, double beta) {
  check_input(input);
  const int64_t channels = input.size(1);
  STD_TORCH_CHECK(statistics.is_cpu() && statistics.scalar_type() == ScalarType::Double && statistics.dim() == 2 &&
                      statistics.size(0) == 2 && statistics.size(1) == channels,
                  "convlayers: statistics must be a float64 tensor (2, channels) on the CPU");
  STD_TORCH_CHECK(!residual || output, "convlayers: the gradient of a residual needs the output");
  BatchNormGradProblem p{};
  const Call call(p, input, torch::stable::contiguous(statistics), weight, bias, eps, training, activation, alpha, beta);
  const Tensor g = dense(grad, "grad", input, call.channels_last), x = dense(input, "input", input, call.channels_last);
  const auto y = dense(output, "output", input, call.channels_last);
  Tensor grad_input = new_like(input, call.channels_last);
  Tensor grad_residual = residual ? new_like(input, call.channels_last) : new_vector(input, 0);
  Tensor grad_weight = new_vector(input, channels), grad_bias = new_vector(input, channels);
  p.grad = floats(g);
  p.input = floats(x);
  p.output = floats(y);
  p.grad_input = floats(grad_input);
  p.grad_residual = residual ? floats(grad_residual) : nullptr;
  p.grad_weight = floats(grad_weight);
  p.grad_bias = floats(grad_bias);
  const Kernels& k = kernels();
  if (!call.rows) {
    run(k.batch_norm_grad_planes, p);
  } else {
    Tensor partial = doubles(input, {2 * RowSplit(p).tasks * channels});
    p.partial = static_cast<double*>(partial.data_ptr());
    set_affine(p, 0, channels);
    run(k.batch_norm_grad_sums, p);
    by_channels(channels, [&](int64_t begin, int64_t end) { merge_grad_sums(p, begin, end); });
    run(k.batch_norm_grad_apply, p);
  }
  return {grad_input, grad_weight, grad_bias, grad_residual};
}

}  // namespace convlayers
