// AVX2 with FMA: sixteen registers of eight floats.
#define CONVLAYERS_ISA avx2
#define CONVLAYERS_LANES 8
#define CONVLAYERS_ROWS 6
#define CONVLAYERS_VECTORS 2
#include "kernels/isa/table_body.h"
