#include "kernels/base/isa.h"

#include <cstdlib>
#include <stdexcept>

namespace convlayers {

extern const Kernels generic_kernels;
#if defined(__x86_64__)
extern const Kernels avx2_kernels, avx512_kernels;
#elif defined(__aarch64__)
extern const Kernels neon_kernels;
#endif

namespace {

struct Entry {
  const Kernels* table;
  bool runs;
};

// Best first.
const Entry* entries(int& count) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  static const Entry list[] = {{&avx512_kernels, avx512}, {&avx2_kernels, avx2}, {&generic_kernels, true}};
#elif defined(__aarch64__)
  static const Entry list[] = {{&neon_kernels, true}, {&generic_kernels, true}};
#else
  static const Entry list[] = {{&generic_kernels, true}};
#endif
  count = static_cast<int>(sizeof(list) / sizeof(list[0]));
  return list;
}

const Kernels& pick() {
  int count = 0;
  const Entry* list = entries(count);
  const char* forced = std::getenv("CONVLAYERS_ISA");
  const std::string wanted = forced ? forced : "";
  for (int i = 0; i < count; ++i)
    if (list[i].runs && (wanted.empty() || wanted == list[i].table->isa)) return *list[i].table;
  throw std::runtime_error("CONVLAYERS_ISA must name an instruction set that this machine runs (" + isas() +
                           "); received '" + wanted + "'");
}

}  // namespace

const Kernels& kernels() {
  static const Kernels& chosen = pick();
  return chosen;
}

std::string isas() {
  int count = 0;
  const Entry* list = entries(count);
  std::string names;
  for (int i = 0; i < count; ++i)
    if (list[i].runs) names += (names.empty() ? "" : ",") + std::string(list[i].table->isa);
  return names;
}

}  // namespace convlayers
