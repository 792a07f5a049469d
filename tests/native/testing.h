// What the tests of the kernels share: random problems, poisoned results, exact comparison, counts.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/base/isa.h"
#include "kernels/gather/gather.h"

namespace convlayers::test {

// Uniform over low to high, both included; the same sequence for the same seed.
int64_t pick(int64_t low, int64_t high);
void seed(uint64_t value);
bool one_in(int64_t n);

// Small integers, whose sums of products are exact in float.
std::vector<float> integers(int64_t count);

// What no kernel writes: where it is still found, nothing was written. Not NaN, which maxima may be.
constexpr float kPoison = 1e30f;
constexpr int64_t kNoIndex = -99;
template <class T>
std::vector<T> filled(int64_t count, T value) { return std::vector<T>(static_cast<size_t>(count), value); }
inline std::vector<float> poisoned(int64_t count) { return filled(count, kPoison); }

// The same number: equal, with the same sign of zero, or both NaN.
inline bool same(double a, double b) {
  return std::isnan(a) ? std::isnan(b) : a == b && std::signbit(a) == std::signbit(b);
}

struct Counts {
  int64_t passed = 0, failed = 0;
};
extern Counts counts;
void report(const std::string& what, bool passed, const std::string& difference);

// Counts one comparison and prints what differs first: for each element, alike(what is wanted, what was got).
template <class Wanted, class Got, class Alike>
void compare(const std::string& what, const std::vector<Wanted>& wanted, const std::vector<Got>& got,
             const Alike& alike) {
  std::string difference;
  for (size_t i = 0; i < wanted.size() && difference.empty(); ++i)
    if (!alike(wanted[i], got[i]))
      difference =
          "element " + std::to_string(i) + " is " + std::to_string(got[i]) + ", not " + std::to_string(wanted[i]);
  report(what, difference.empty(), difference);
}

// Runs the tasks one by one, last first: no task may lean on another.
template <class P>
void run(const Kernel<P>& kernel, const P& problem) {
  for (int64_t t = kernel.tasks(problem); t-- > 0;) kernel.run(problem, t, t + 1);
}

// One random problem each, on every table that this processor runs.
void convolution();
void windows();
void normalisation();
void by_index();
void fractional();

}  // namespace convlayers::test
