// The kernel table: what an instruction set offers. Dispatch, tests and benchmarks read this and nothing else.
#pragma once

#include <cstdint>

#include "kernels/depthwise/depthwise.h"
#include "kernels/direct/direct.h"
#include "kernels/layout/layout.h"
#include "kernels/norm/norm.h"
#include "kernels/pool/pool.h"
#include "kernels/winograd/winograd.h"

namespace convlayers {

// A kernel splits its problem into tasks, whose number depends on the problem alone; any thread may run any of them.
template <class Problem>
struct Kernel {
  int64_t (*tasks)(const Problem&);
  void (*run)(const Problem&, int64_t begin, int64_t end);
};

struct Kernels {
  const char* isa;
  int64_t lanes;  // floats in a vector: packed weights are rounded up to it
  int64_t block;  // output channels that the direct kernel packs together
  Kernel<Pack> pack;
  Kernel<Unpack> unpack;
  Kernel<DirectProblem> direct;
  bool (*lanes_are_sources)(const DirectProblem&);  // in `direct`: its weights are packed accordingly
  Kernel<DirectWeightProblem> direct_weight;
  Kernel<ChannelSumsProblem> channel_sums;
  Kernel<DepthwiseProblem> depthwise;
  Kernel<DepthwiseWeightProblem> depthwise_weight;
  Kernel<WinogradProblem> winograd_filters;
  Kernel<WinogradProblem> winograd_sources;
  Kernel<WinogradProblem> winograd;
  Kernel<WinogradWeightProblem> winograd_weight;
  Kernel<BatchNormProblem> batch_norm_statistics;
  Kernel<BatchNormProblem> batch_norm_apply;
  Kernel<BatchNormProblem> batch_norm_planes;
  Kernel<BatchNormGradProblem> batch_norm_grad_sums;
  Kernel<BatchNormGradProblem> batch_norm_grad_apply;
  Kernel<BatchNormGradProblem> batch_norm_grad_planes;
  Kernel<PoolProblem> max_pool;
  Kernel<PoolProblem> max_pool_adjoint;
  Kernel<PoolProblem> avg_pool;
  Kernel<PoolProblem> avg_pool_adjoint;
};

}  // namespace convlayers
