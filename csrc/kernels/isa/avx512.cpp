// AVX-512 (F, BW, DQ, VL): thirty-two registers of sixteen floats.
#define CONVLAYERS_ISA avx512
#define CONVLAYERS_LANES 16
#define CONVLAYERS_ROWS 6
#define CONVLAYERS_VECTORS 4
#include "kernels/isa/table_body.h"
