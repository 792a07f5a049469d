// NEON: thirty-two registers of four floats.
#define CONVLAYERS_ISA neon
#define CONVLAYERS_LANES 4
#define CONVLAYERS_ROWS 6
#define CONVLAYERS_VECTORS 4
#include "kernels/isa/table_body.h"
