// Batch normalisation with a residual and an activation, and all its gradients, in both layouts.
//
// Inputs are small integers about a mean that may be large, so that the kernels' float sums are exact, and statistics
// and sums of gradients are held to the digits of a double; what is rounded is held to a few units in the last place.
#include "kernels/norm/norm.h"

#include <algorithm>

#include "testing.h"

namespace convlayers::test {
namespace {

constexpr double kUnit = 0x1p-24;  // the error of one rounding, relative

struct Data {
  int64_t batch, channels, pixels;
  bool rows, stream;
  double eps;
  Activation activation;
  std::vector<float> input, grad, residual, weight, bias;  // the last three empty where there are none

  int64_t count() const { return batch * pixels; }
  int64_t size() const { return count() * channels; }
  int64_t channel(int64_t element) const { return (rows ? element : element / pixels) % channels; }
};

std::string describe(const Data& d) {
  return std::string(d.rows ? "rows" : "planes") + " n" + std::to_string(d.batch) + " c" + std::to_string(d.channels) +
         " p" + std::to_string(d.pixels) + (d.weight.empty() ? "" : " weight") + (d.bias.empty() ? "" : " bias") +
         (d.residual.empty() ? "" : " residual") + " act" + std::to_string(static_cast<int>(d.activation.code)) +
         (d.stream ? " streamed" : "");
}

void random_sizes(Data& d) {
  const auto sizes = [&](int64_t batch, int64_t channels, int64_t pixels) {
    d.batch = batch, d.channels = channels, d.pixels = pixels;
  };
  switch (pick(0, 9)) {
    case 0: return sizes(pick(1, 3), pick(1000, 1300), pick(1, 6));    // long rows, of several blocks of channels
    case 1: return sizes(pick(2, 5), pick(1, 40), pick(60, 200));      // several blocks of rows
    case 2: return sizes(pick(1, 2), pick(1, 3), pick(3000, 10000));   // planes of several pieces
    case 3: return sizes(pick(300, 900), pick(1, 3), pick(1, 30));     // pieces of several planes
    case 4: {                                                          // several tasks
      const int64_t rows = pick(128, 400);
      return sizes(1, 65536 * pick(2, 3) / rows + pick(1, 40), rows);
    }
    default: return sizes(pick(1, 3), pick(1, 70), pick(1, 40));
  }
}

Data random_data() {
  Data d{};
  random_sizes(d);
  d.rows = one_in(2);
  d.stream = one_in(4);
  if (d.stream && d.rows) d.channels = (d.channels + 15) / 16 * 16;  // whole vectors, as streams want them
  d.eps = one_in(2) ? 1e-5 : 0.25;
  d.activation.code = static_cast<ActivationCode>(pick(0, static_cast<int64_t>(ActivationCode::kCount) - 1));
  if (one_in(3)) d.activation.code = one_in(2) ? ActivationCode::kIdentity : ActivationCode::kRelu;
  d.activation.alpha = d.activation.code == ActivationCode::kHardtanh ? -1.f : 0.25f;
  d.activation.beta = 2.f;
  d.grad = integers(d.size());
  if (one_in(2)) d.residual = integers(d.size());
  if (!one_in(4)) d.weight = integers(d.channels);
  if (!one_in(4)) d.bias = integers(d.channels);
  constexpr float centres[] = {0.f, 0.f, 1000.f, 0x1p22f, -0x1p22f};
  std::vector<float> centre(static_cast<size_t>(d.channels));
  for (auto& x : centre) x = centres[pick(0, 4)];
  d.input = integers(d.size());
  for (int64_t i = 0; i < d.size(); ++i) d.input[static_cast<size_t>(i)] += centre[static_cast<size_t>(d.channel(i))];
  return d;
}

// A result to be: poison, with more of it on both sides; aligned, or perhaps not.
class Result {
 public:
  Result(int64_t count, bool aligned) : count_(count), all_(poisoned(count + 2 * kAround)) {
    first_ = kAround - static_cast<int64_t>(reinterpret_cast<uintptr_t>(all_.data()) / sizeof(float) % kAround);
    if (!aligned && one_in(2)) ++first_;
  }
  float* data() { return all_.data() + first_; }
  const float* data() const { return all_.data() + first_; }

  // Every element within its bound, and nothing written around them.
  void check(const std::string& what, const std::vector<double>& wanted, const std::vector<double>& bounds) const {
    std::string difference;
    for (int64_t i = -first_; i < static_cast<int64_t>(all_.size()) - first_ && difference.empty(); ++i) {
      const bool inside = i >= 0 && i < count_;
      const double got = data()[i], want = inside ? wanted[static_cast<size_t>(i)] : static_cast<double>(kPoison);
      const double bound = inside ? bounds[static_cast<size_t>(i)] : 0;
      if (std::abs(got - want) <= bound) continue;
      difference = "element " + std::to_string(i) + " is " + std::to_string(got) + ", not " + std::to_string(want) +
                   ", off by " + std::to_string((got - want) / bound) + " bounds";
    }
    report(what, difference.empty(), difference);
  }

 private:
  static constexpr int64_t kAround = 16;  // floats that streams are aligned to
  int64_t count_, first_;
  std::vector<float> all_;
};

struct Statistics {
  std::vector<double> mean, variance;
};

// A few units in the last place of a double.
void compare_closely(const std::string& what, const std::vector<double>& wanted, const std::vector<double>& got,
                     double scale) {
  compare(what, wanted, got,
          [&](double a, double b) { return std::abs(a - b) <= scale * (1e-12 + 1e-14 * std::abs(a)); });
}

Statistics statistics_of(const Data& d) {
  const auto channels = static_cast<size_t>(d.channels);
  Statistics s{std::vector<double>(channels), std::vector<double>(channels)};
  const auto n = static_cast<double>(d.count());
  const auto each = [&](const auto& f) {
    for (int64_t i = 0; i < d.size(); ++i) f(static_cast<size_t>(d.channel(i)), d.input[static_cast<size_t>(i)]);
  };
  each([&](size_t c, double x) { s.mean[c] += x; });  // exact
  for (double& m : s.mean) m /= n;
  each([&](size_t c, double x) { s.variance[c] += (x - s.mean[c]) * (x - s.mean[c]); });
  for (double& v : s.variance) v /= n;
  return s;
}

double activated(double z, const Activation& a) {
  const double alpha = a.alpha, beta = a.beta;
  const auto softplus = [](double x) { return x > 30 ? x : std::log1p(std::exp(x)); };
  switch (a.code) {
    case ActivationCode::kRelu: return std::max(z, 0.);
    case ActivationCode::kLeakyRelu: return z > 0 ? z : alpha * z;
    case ActivationCode::kHardtanh: return std::clamp(z, alpha, beta);
    case ActivationCode::kTanh: return std::tanh(z);
    case ActivationCode::kSigmoid: return 1 / (1 + std::exp(-z));
    case ActivationCode::kSilu: return z / (1 + std::exp(-z));
    case ActivationCode::kGelu: return z / 2 * std::erfc(-z / std::sqrt(2.));
    case ActivationCode::kGeluTanh: return z / 2 * (1 + std::tanh(0.79788456080286536 * (z + 0.044715 * z * z * z)));
    case ActivationCode::kHardswish: return z * std::clamp(z + 3, 0., 6.) / 6;
    case ActivationCode::kHardsigmoid: return std::clamp(z + 3, 0., 6.) / 6;
    case ActivationCode::kElu: return z > 0 ? z : alpha * std::expm1(z);
    case ActivationCode::kSoftplus: return softplus(z);
    case ActivationCode::kMish: return z * std::tanh(softplus(z));
    default: return z;
  }
}

// Its slope, from its result.
double slope(double y, const Activation& a) {
  switch (a.code) {
    case ActivationCode::kRelu: return y > 0;
    case ActivationCode::kLeakyRelu: return y > 0 ? 1 : a.alpha;
    case ActivationCode::kHardtanh: return y > a.alpha && y < a.beta;
    case ActivationCode::kTanh: return 1 - y * y;
    case ActivationCode::kSigmoid: return y * (1 - y);
    case ActivationCode::kElu: return y > 0 ? 1 : y + a.alpha;
    case ActivationCode::kIdentity: return 1;
    default: return NAN;  // cannot be told from it
  }
}

// Whether the slope is exact, and a gradient times it.
bool steps(const Activation& a) {
  return a.code != ActivationCode::kTanh && a.code != ActivationCode::kSigmoid && a.code != ActivationCode::kElu;
}

const float* or_null(const std::vector<float>& v) { return v.empty() ? nullptr : v.data(); }

struct Coefficients {
  double scale, bias;
};
Coefficients coefficients(const Data& d, const Statistics& s, size_t c) {
  return {(d.weight.empty() ? 1. : d.weight[c]) / std::sqrt(s.variance[c] + d.eps), d.bias.empty() ? 0. : d.bias[c]};
}

void describe_to(BatchNorm& p, const Data& d, Statistics& s, bool training, std::vector<float>& work) {
  p.batch = d.batch, p.channels = d.channels, p.pixels = d.pixels;
  p.weight = or_null(d.weight), p.bias = or_null(d.bias);
  p.mean = s.mean.data(), p.variance = s.variance.data();
  p.eps = d.eps;
  p.training = training;
  p.activation = d.activation;
  p.stream = d.stream;
  work = poisoned(d.rows ? 5 * d.channels : 0);
  p.coefficients = work.data();
}

std::vector<double> partial_sums(const BatchNorm& p, bool rows) {
  return filled<double>(rows ? RowSplit(p).tasks * 2 * p.channels : 0, kPoison);
}

// Normalises by the statistics, or in training finds them; the result.
Result forward(const Kernels& k, const Data& d, Statistics& s, bool training) {
  const std::string what = std::string(k.isa) + ", batch_norm" + (training ? " in training: " : ": ") + describe(d);
  std::vector<float> work;
  Result output(d.size(), d.stream);
  BatchNormProblem p{};
  describe_to(p, d, s, training, work);
  auto partial = partial_sums(p, d.rows);
  p.input = d.input.data(), p.residual = or_null(d.residual), p.output = output.data(), p.partial = partial.data();
  if (d.rows) {
    if (training) {
      run(k.batch_norm_statistics, p);
      merge_statistics(p, d.channels / 2, d.channels);
      merge_statistics(p, 0, d.channels / 2);
    }
    set_affine(p, 0, d.channels);
    run(k.batch_norm_apply, p);
  } else {
    run(k.batch_norm_planes, p);
  }
  if (training) {
    const Statistics wanted = statistics_of(d);
    compare_closely(what + ", mean", wanted.mean, s.mean, 1);
    // A mean's last digits are lost where blocks differ by it.
    compare_closely(what + ", variance", wanted.variance, s.variance, 1e4);
  }
  std::vector<double> wanted, bounds;
  for (int64_t i = 0; i < d.size(); ++i) {
    const auto at = static_cast<size_t>(i), c = static_cast<size_t>(d.channel(i));
    const auto [scale, bias] = coefficients(d, s, c);
    const double distance = d.input[at] - s.mean[c], added = d.residual.empty() ? 0. : d.residual[at];
    const double lost = std::abs(static_cast<float>(s.mean[c]) - s.mean[c]);  // of the mean, and given back as a bias
    wanted.push_back(activated(distance * scale + bias + added, d.activation));
    const double terms = (std::abs(distance) + 2 * lost) * std::abs(scale) + std::abs(bias) + std::abs(added);
    bounds.push_back(8 * kUnit * (terms + std::abs(wanted.back())));
  }
  output.check(what, wanted, bounds);
  return output;
}

void backward(const Kernels& k, const Data& d, Statistics s, const Result& output) {
  const bool training = one_in(2), given = !d.residual.empty() || one_in(2);
  const std::string what = std::string(k.isa) + ", batch_norm_grad" + (training ? " in training" : "") +
                           (given ? " from the output: " : ": ") + describe(d);
  std::vector<float> work;
  Result grad_input(d.size(), d.stream), grad_residual(d.size(), d.stream);
  Result grad_weight(d.channels, false), grad_bias(d.channels, false);
  BatchNormGradProblem p{};
  describe_to(p, d, s, training, work);
  auto partial = partial_sums(p, d.rows);
  p.grad = d.grad.data(), p.input = d.input.data(), p.output = given ? output.data() : nullptr;
  p.grad_input = grad_input.data(), p.grad_residual = d.residual.empty() ? nullptr : grad_residual.data();
  p.grad_weight = grad_weight.data(), p.grad_bias = grad_bias.data(), p.partial = partial.data();
  if (d.rows) {
    set_affine(p, 0, d.channels);
    run(k.batch_norm_grad_sums, p);
    merge_grad_sums(p, d.channels / 2, d.channels);
    merge_grad_sums(p, 0, d.channels / 2);
    run(k.batch_norm_grad_apply, p);
  } else {
    run(k.batch_norm_grad_planes, p);
  }

  // A sum of terms that are exact is, too; others are summed in any order.
  const auto elements = static_cast<size_t>(d.size()), channels = static_cast<size_t>(d.channels);
  const auto n = static_cast<double>(d.count());
  const double term = steps(d.activation) ? 0 : 4 * kUnit, any_sum = steps(d.activation) ? 0 : (n + 8) * kUnit;
  std::vector<double> g(elements), g_bounds(elements);
  std::vector<double> sum(channels), product(channels), sizes(channels), products(channels);  // and of magnitudes
  for (size_t i = 0; i < elements; ++i) {
    const auto c = static_cast<size_t>(d.channel(static_cast<int64_t>(i)));
    const double distance = d.input[i] - s.mean[c];
    g[i] = d.grad[i] * slope(output.data()[i], d.activation);
    g_bounds[i] = term * std::abs(d.grad[i]);
    sum[c] += g[i], sizes[c] += std::abs(d.grad[i]);
    product[c] += g[i] * distance, products[c] += std::abs(d.grad[i]) * (std::abs(distance) + 1);
  }
  std::vector<double> weight(channels), weight_bounds(channels), bias_bounds(channels);
  for (size_t c = 0; c < channels; ++c) {
    const double inverse = 1 / std::sqrt(s.variance[c] + d.eps);
    weight[c] = inverse * product[c];
    weight_bounds[c] = 2 * kUnit * std::abs(weight[c]) + any_sum * inverse * products[c] + 1e-12 * inverse;
    bias_bounds[c] = any_sum * sizes[c];
  }
  grad_weight.check(what + ", weight", weight, weight_bounds);
  grad_bias.check(what + ", bias", sum, bias_bounds);
  if (!d.residual.empty()) grad_residual.check(what + ", residual", g, g_bounds);

  std::vector<double> wanted, bounds;
  for (size_t i = 0; i < elements; ++i) {
    const auto c = static_cast<size_t>(d.channel(static_cast<int64_t>(i)));
    const double scale = coefficients(d, s, c).scale, distance = d.input[i] - s.mean[c];
    const double square = distance / (s.variance[c] + d.eps) / n;
    const double terms[] = {g[i], training ? sum[c] / n : 0, training ? square * product[c] : 0};
    wanted.push_back(scale * (terms[0] - terms[1] - terms[2]));
    double bound = 8 * kUnit * (std::abs(terms[0]) + std::abs(terms[1]) + std::abs(terms[2])) + g_bounds[i] + 1e-12;
    // What the mean loses as a float, 1/4 at most, is subtracted twice, in opposite directions, and is rounded with it.
    if (training)
      bound += any_sum * (sizes[c] / n + std::abs(square) * products[c]) +
               8 * kUnit * std::abs(product[c]) / (s.variance[c] + d.eps) / n;
    bounds.push_back(std::abs(scale) * bound);
  }
  grad_input.check(what + ", input", wanted, bounds);
}

}  // namespace

void normalisation() {
  const Data d = random_data();
  Statistics given = statistics_of(d);
  for (auto& m : given.mean) m = std::round(m * 4) / 4;  // differences from it are exact
  for (const Kernels* k : available()) {
    Statistics found{filled<double>(d.channels, kPoison), filled<double>(d.channels, kPoison)};
    forward(*k, d, found, true);
    const Result output = forward(*k, d, given, false);
    if (!std::isnan(slope(0, d.activation))) backward(*k, d, given, output);
  }
}

}  // namespace convlayers::test
