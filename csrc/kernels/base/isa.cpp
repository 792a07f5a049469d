#include "kernels/base/isa.h"

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace convlayers {

extern const Kernels generic_kernels;
#if defined(__x86_64__)
extern const Kernels avx2_kernels, avx512_kernels;
#elif defined(__aarch64__)
extern const Kernels neon_kernels;
#endif

std::vector<const Kernels*> available() {
  std::vector<const Kernels*> tables;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    tables.push_back(&avx512_kernels);
  if (avx2) tables.push_back(&avx2_kernels);
#elif defined(__aarch64__)
  tables.push_back(&neon_kernels);
#endif
  tables.push_back(&generic_kernels);
  return tables;
}

namespace {

const Kernels& pick() {
  const char* forced = std::getenv("CONVLAYERS_ISA");
  const std::string wanted = forced ? forced : "";
  std::string names;
  for (const Kernels* table : available()) {
    if (wanted.empty() || wanted == table->isa) return *table;
    names += (names.empty() ? "" : ", ") + std::string(table->isa);
  }
  throw std::runtime_error("CONVLAYERS_ISA must name an instruction set that this machine runs (" + names +
                           "); received '" + wanted + "'");
}

}  // namespace

const Kernels& kernels() {
  static const Kernels& chosen = pick();
  return chosen;
}

}  // namespace convlayers
