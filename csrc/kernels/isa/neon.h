// NEON: thirty-two registers of four floats.
#pragma once

#define CONVLAYERS_LANES 4
#define CONVLAYERS_ROWS 6
#define CONVLAYERS_VECTORS 4
#define CONVLAYERS_PART(name) neon_##name
