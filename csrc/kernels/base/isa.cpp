#include "kernels/base/isa.h"

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace convlayers {

namespace {

// A table is filled when first asked for, by code for its instruction set: by then the processor is known to have that.
template <class... Parts>
Kernels fill(const char* isa, Parts... parts) {
  Kernels table{};
  table.isa = isa;
  (parts(table), ...);
  return table;
}

}  // namespace

// Each part is a file in isa/.
#define CONVLAYERS_TABLE(isa)                                                                                              \
  void isa##_depthwise(Kernels&), isa##_depthwise_weight(Kernels&), isa##_direct(Kernels&), isa##_layout(Kernels&),        \
      isa##_norm(Kernels&), isa##_pool(Kernels&), isa##_winograd(Kernels&);                                                \
  static const Kernels& isa() {                                                                                            \
    static const Kernels table = fill(#isa, isa##_depthwise, isa##_depthwise_weight, isa##_direct, isa##_layout, isa##_norm, \
                                      isa##_pool, isa##_winograd);                                                         \
    return table;                                                                                                          \
  }
CONVLAYERS_TABLE(generic)
#if defined(__x86_64__)
CONVLAYERS_TABLE(avx2)
CONVLAYERS_TABLE(avx512)
#elif defined(__aarch64__)
CONVLAYERS_TABLE(neon)
#endif

std::vector<const Kernels*> available() {
  std::vector<const Kernels*> tables;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    tables.push_back(&avx512());
  if (has_avx2) tables.push_back(&avx2());
#elif defined(__aarch64__)
  tables.push_back(&neon());
#endif
  tables.push_back(&generic());
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
