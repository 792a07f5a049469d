// Any processor: four floats, sixteen registers (SSE2 has them; elsewhere the compiler makes do).
#define CONVLAYERS_ISA generic
#define CONVLAYERS_LANES 4
#define CONVLAYERS_ROWS 6
#define CONVLAYERS_VECTORS 2
#include "kernels/isa/table_body.h"
