#include "kernels/pool/pool.h"

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

}  // namespace convlayers
