#include "kernels/norm/norm.h"

#include <algorithm>
#include <cmath>

namespace convlayers {
namespace {

constexpr int64_t kTaskElements = 1 << 16;
constexpr int64_t kLeastRows = 64, kMostTasks = 64;

}  // namespace

RowSplit::RowSplit(const BatchNorm& p) : rows(p.count()) {
  const int64_t most = std::min({rows / kLeastRows, rows * p.channels / kTaskElements, kMostTasks});
  tasks = std::max<int64_t>(most, 1);
}

Affine affine(const BatchNorm& p, int64_t c) {
  const auto pivot = static_cast<float>(p.mean[c]);
  const double scale = (p.weight ? p.weight[c] : 1.0) / std::sqrt(p.variance[c] + p.eps);
  const double shift = (p.bias ? p.bias[c] : 0.0) + (static_cast<double>(pivot) - p.mean[c]) * scale;
  return {pivot, static_cast<float>(scale), static_cast<float>(shift)};
}

Slope finish_grad(const BatchNormGradProblem& p, int64_t c, double sum, double product) {
  const double pivot = static_cast<float>(p.mean[c]), off = pivot - p.mean[c];
  const double s = 1.0 / std::sqrt(p.variance[c] + p.eps), count = static_cast<double>(p.count());
  product += off * sum;
  p.grad_bias[c] = static_cast<float>(sum);
  p.grad_weight[c] = static_cast<float>(product * s);
  if (!p.training) return {0.f, 0.f};
  const double scale = (p.weight ? p.weight[c] : 1.0) * s;
  const double slope = scale * s * s * product / count;
  return {static_cast<float>(slope), static_cast<float>(scale * sum / count + off * slope)};
}

void merge_statistics(const BatchNormProblem& p, int64_t begin, int64_t end) {
  const RowSplit split(p);
  for (int64_t task = 0; task < split.tasks; ++task) {
    const double* mean = p.partial + task * 2 * p.channels;
    const double* squares = mean + p.channels;
    if (task == 0) {
      std::copy(mean + begin, mean + end, p.mean + begin);
      std::copy(squares + begin, squares + end, p.variance + begin);
      continue;
    }
    const auto before = static_cast<double>(split.begin(task));
    const double share = 1.0 - before / static_cast<double>(split.begin(task + 1));
    for (int64_t c = begin; c < end; ++c) {
      const double delta = mean[c] - p.mean[c];
      p.mean[c] += delta * share;
      p.variance[c] += squares[c] + delta * delta * (before * share);
    }
  }
  for (int64_t c = begin; c < end; ++c) p.variance[c] /= static_cast<double>(p.count());
}

void set_affine(const BatchNorm& p, int64_t begin, int64_t end) {
  for (int64_t c = begin; c < end; ++c) {
    const Affine a = affine(p, c);
    p.coefficients[c] = a.pivot;
    p.coefficients[c + p.channels] = a.scale;
    p.coefficients[c + 2 * p.channels] = a.shift;
  }
}

void merge_grad_sums(const BatchNormGradProblem& p, int64_t begin, int64_t end) {
  const int64_t tasks = RowSplit(p).tasks;
  for (int64_t c = begin; c < end; ++c) {
    double sum = 0, product = 0;
    for (int64_t task = 0; task < tasks; ++task) {
      sum += p.partial[2 * task * p.channels + c];
      product += p.partial[(2 * task + 1) * p.channels + c];
    }
    const Slope s = finish_grad(p, c, sum, product);
    p.coefficients[c + 3 * p.channels] = s.slope;
    p.coefficients[c + 4 * p.channels] = s.offset;
  }
}

}  // namespace convlayers
