// Batch normalisation with an activation, and with something added before it:
//
//     z(r, c) = (x(r, c) - mean(c)) / sqrt(variance(c) + eps) * weight(c) + bias(c) + residual(r, c)
//     y(r, c) = act(z(r, c))
//
// with mean and variance those of the data (training) or given. With g the gradient of z, d = x - mean, n the elements of
// a channel and s = 1 / sqrt(variance + eps),
//
//     grad_bias = sum g      grad_weight = s sum g d      grad_residual = g
//     grad_input = weight s (g - sum g / n - d s^2 sum(g d) / n), in training; weight s g where statistics are given.
//
// g comes from y, which is read where it is given and computed again from x where it is not.
//
// Sums are taken in float over blocks of a few thousand elements at most, of differences from a value of the block, and
// blocks are merged in double in their order (Chan, Golub, LeVeque 1983, "Algorithms for computing the sample variance").
//
// Two layouts. *Rows*: channels last, dense; a lane is a channel; statistics and results are phases of their own, with a
// sum over tasks between them. *Planes*: contiguous; a task is a channel, and does everything while the channel is near.
#pragma once

#include <cstdint>

#include "kernels/base/activation.h"

namespace convlayers {

// What both directions know of a channel: given, or computed from the input by the first of them.
struct BatchNorm {
  int64_t batch, channels, pixels;  // rows: batch * pixels of them
  const float* weight;  // [channels], or null for ones
  const float* bias;    // [channels], or null for zeros
  double* mean;         // [channels]
  double* variance;     // [channels], biased
  double eps;
  bool training;  // whether mean and variance are those of the data
  Activation activation;
  float* coefficients;  // rows: [5][channels], see below
  bool stream;  // whether results go past the caches: they are larger than what is kept there
  int64_t count() const { return batch * pixels; }
};

struct BatchNormProblem : BatchNorm {
  const float* input;
  const float* residual;  // or null
  float* output;
  double* partial;  // rows in training: [task][2][channels], means and sums of squared differences
};

struct BatchNormGradProblem : BatchNorm {
  const float* grad;
  const float* input;
  const float* output;   // or null: computed again, possible without a residual
  float* grad_input;
  float* grad_residual;  // or null
  float* grad_weight;    // [channels]
  float* grad_bias;      // [channels]
  double* partial;       // rows: [task][2][channels], sums of g and g d
};

// How rows are cut into tasks, from the problem alone.
struct RowSplit {
  int64_t rows, tasks;
  explicit RowSplit(const BatchNorm& p);
  int64_t begin(int64_t task) const { return rows * task / tasks; }
};

// z = (x - pivot) * scale + shift; the pivot is the mean, as far as a float holds it.
struct Affine {
  float pivot, scale, shift;
};
Affine affine(const BatchNorm& p, int64_t channel);

// grad_input = g * scale - (x - pivot) * slope - offset
struct Slope {
  float slope, offset;
};
// The channel's gradients, from sums of g and of g (x - pivot).
Slope finish_grad(const BatchNormGradProblem& p, int64_t channel, double sum, double product);

// Between the phases of rows, for channels begin to end: the sums over the tasks, and what the next phase needs of them
// as coefficients, a row each for pivot, scale, shift, slope and offset.
void merge_statistics(const BatchNormProblem& p, int64_t begin, int64_t end);
void set_affine(const BatchNorm& p, int64_t begin, int64_t end);
void merge_grad_sums(const BatchNormGradProblem& p, int64_t begin, int64_t end);

}  // namespace convlayers
