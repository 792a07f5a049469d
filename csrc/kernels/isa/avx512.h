// AVX-512 (F, BW, DQ, VL): thirty-two registers of sixteen floats.
#pragma once

#define CONVLAYERS_LANES 16
#define CONVLAYERS_ROWS 6
#define CONVLAYERS_VECTORS 4
#define CONVLAYERS_PART(name) avx512_##name
