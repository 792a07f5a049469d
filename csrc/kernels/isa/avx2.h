// AVX2 with FMA: sixteen registers of eight floats.
#pragma once

#define CONVLAYERS_LANES 8
#define CONVLAYERS_ROWS 6
#define CONVLAYERS_VECTORS 2
#define CONVLAYERS_PART(name) avx2_##name
