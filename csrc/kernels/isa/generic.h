// Any processor: four floats, sixteen registers (SSE2 has them; elsewhere the compiler makes do).
#pragma once

#define CONVLAYERS_LANES 4
#define CONVLAYERS_ROWS 6
#define CONVLAYERS_VECTORS 2
#define CONVLAYERS_PART(name) generic_##name
