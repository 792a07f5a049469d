// The kernels without torch: every table that this processor runs, on random small problems, compared with the
// definition in double. Built with sanitizers by `make sanitize`, for another processor by `make neon`.
//
// Usage: test_kernels [problems [seed]]
#include <cstdlib>
#include <random>

#include "testing.h"

namespace convlayers::test {

namespace {
std::mt19937_64 generator;
}

Counts counts;

void seed(uint64_t value) { generator.seed(value); }
int64_t pick(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(generator); }
bool one_in(int64_t n) { return pick(1, n) == 1; }

std::vector<float> integers(int64_t count) {
  std::vector<float> v(static_cast<size_t>(count));
  for (auto& x : v) x = static_cast<float>(pick(-3, 3));
  return v;
}

void report(const std::string& what, bool passed, const std::string& difference) {
  ++(passed ? counts.passed : counts.failed);
  if (!passed) std::printf("FAILED %s: %s\n", what.c_str(), difference.c_str());
}

}  // namespace convlayers::test

int main(int argc, char** argv) {
  using namespace convlayers;
  const int64_t problems = argc > 1 ? std::atoll(argv[1]) : 300;
  test::seed(argc > 2 ? static_cast<uint64_t>(std::atoll(argv[2])) : 0);
  for (int64_t i = 0; i < problems; ++i) {
    test::convolution();
    test::windows();
    test::by_index();
    test::fractional();
    test::normalisation();
  }
  std::string names;
  for (const Kernels* k : available()) names += std::string(" ") + k->isa;
  std::printf("%lld passed, %lld failed (%lld problems of each kind, on each of:%s)\n",
              static_cast<long long>(test::counts.passed), static_cast<long long>(test::counts.failed),
              static_cast<long long>(problems), names.c_str());
  return test::counts.failed == 0 && test::counts.passed > 0 ? 0 : 1;
}
