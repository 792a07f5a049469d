#include "kernels/pool/pool.h"

#include <algorithm>
#include <numeric>

namespace convlayers {

WindowAxis::WindowAxis(int64_t input_, int64_t output_, int64_t kernel_, int64_t stride_, int64_t low_, int64_t high_,
                       int64_t dilation_, bool count_padding_)
    : input(input_), output(output_), kernel(kernel_), stride(stride_), low(low_), high(high_), dilation(dilation_),
      count_padding(count_padding_) {
  if (kernel == 0) return;
  // Position p is seen by the outputs o with o * stride = p (mod dilation): o = p / common * inverse (mod period), where
  // inverse * (stride / common) = 1 (mod period), by Euclid's algorithm.
  common = std::gcd(stride, dilation);
  period = dilation / common;
  int64_t a = stride / common % period, b = period, x = 1, y = 0;
  while (a > 1) {
    const int64_t q = b / a, r = b % a, z = y - q * x;
    b = a, a = r, y = x, x = z;
  }
  inverse = period == 1 ? 0 : (x % period + period) % period;
}

namespace {

// How many sources so many neighbours among the results read, at most.
int64_t sources_of(const WindowAxis& w, bool adjoint, int64_t results) {
  const int64_t from = adjoint ? w.input : w.output, all = adjoint ? w.output : w.input;
  if (results == from) return all;
  const int64_t reach = (w.kernel - 1) * w.dilation;
  const int64_t most = w.kernel == 0 ? results * all / from + 2
                       : adjoint     ? (results - 1 + reach) / w.stride + 1
                                     : (results - 1) * w.stride + reach + 1;
  return std::min(most, all);
}

constexpr int64_t kBoxFloats = 96 * 1024;      // a part of the second-level cache
constexpr int64_t kMostFloats = 384 * 1024;    // where one row of results reads more
constexpr int64_t kSmallBox = 8 * 1024;        // not cut further for the sake of more tasks
constexpr int64_t kBoxTasks = 16;
constexpr int64_t kMostPlanes = 64, kFewPlanes = 16;  // whole vectors of every instruction set

}  // namespace

bool covers_input(const PoolProblem& p) {
  for (const WindowAxis& w : p.axis) {
    const bool all = w.kernel == 0 || ((w.dilation == 1 || w.input == 1) && w.kernel - w.low >= w.input);
    if (w.output != 1 || !all) return false;
  }
  return true;
}

bool PoolBoxes::fit() const { return source_floats() + result_floats() <= kMostFloats; }

PoolBoxes::PoolBoxes(const PoolProblem& p, bool adjoint) {
  for (int a = 0; a < 3; ++a) results[a] = size[a] = adjoint ? p.axis[a].input : p.axis[a].output;
  planes = std::min(kMostPlanes, (p.channels + kFewPlanes - 1) / kFewPlanes * kFewPlanes);
  const auto update = [&] {
    groups = (p.channels + planes - 1) / planes;
    tasks = p.batch * groups;
    for (int a = 0; a < 3; ++a) {
      sources[a] = sources_of(p.axis[a], adjoint, results[a]);
      count[a] = results[a] > 0 ? (size[a] + results[a] - 1) / results[a] : 0;
      tasks *= count[a];
    }
    const int64_t floats = source_floats() + result_floats();
    return floats > kBoxFloats || (tasks < kBoxTasks && floats > kSmallBox);
  };
  // Halves the first axis that can be, then the planes.
  while (update()) {
    if (results[0] > 1)
      results[0] = (results[0] + 1) / 2;
    else if (results[1] > 1)
      results[1] = (results[1] + 1) / 2;
    else if (results[2] > kPoolPixels)
      results[2] = ((results[2] + 1) / 2 + kPoolPixels - 1) / kPoolPixels * kPoolPixels;
    else if (planes > kFewPlanes)
      planes = (planes / 2 + kFewPlanes - 1) / kFewPlanes * kFewPlanes;
    else
      break;
  }
}

}  // namespace convlayers
