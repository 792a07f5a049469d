// Pooling where every plane has places of its own: by index, and at random. The same code for every instruction set: each
// element is a load or a store at an address that the data decide.
//
//     scatter  to(i) = sum over p with index(p) = i of from(p)       the gradient of max pooling; index -1 goes nowhere
//     unpool   to(i) = from(p) for the last p with index(p) = i, 0 without one
//     gather   to(p) = from(index(p))                                the gradient of both; index -1 reads 0
//
// Every index is checked before it is used: a function returns false where one lies outside, having left that element out.
#pragma once

#include "kernels/pool/pool.h"

namespace convlayers {

struct IndexedProblem {
  int64_t batch, channels;
  int64_t indices, plane;  // elements of a plane of indices, and of a plane that they point into
  const int64_t* index;
  PlaneStrides index_strides;
  const float* from;
  PlaneStrides from_strides;
  float* to;
  PlaneStrides to_strides;
};

// One task is some channels of one plane.
int64_t indexed_tasks(const IndexedProblem& p);
bool scatter(const IndexedProblem& p, int64_t task);
bool unpool(const IndexedProblem& p, int64_t task);
bool gather(const IndexedProblem& p, int64_t task);

// Fractional max pooling (Graham 2014): each plane's windows begin at trunc((o + u) a) - trunc(u a) along an axis, with
// a = (input - kernel) / (output - 1) and u the plane's sample, any finite number (drawn in [0, 1)); the last one ends with
// the input.
struct FractionalProblem {
  int64_t batch, channels;
  int64_t input[3], output[3], kernel[3];
  const float* sample;  // [batch][channel][axes]
  int64_t axes, axis_of_sample[3];  // which sample each axis takes; -1: none, for an axis of size 1
  const float* from;
  PlaneStrides from_strides;
  float* to;
  PlaneStrides to_strides;
  int64_t* index;
  PlaneStrides index_strides;
};

// One task is one plane; false where a sample is not finite.
bool fractional_max_pool(const FractionalProblem& p, int64_t task);

}  // namespace convlayers
