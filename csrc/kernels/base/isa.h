// Which instruction set runs.
#pragma once

#include <vector>

#include "kernels/table.h"

namespace convlayers {

// The table of the best instruction set that this processor has, or of the one that CONVLAYERS_ISA names.
// Throws std::runtime_error where that one is unknown or cannot run here.
const Kernels& kernels();

// The tables of all instruction sets that can run here, best first.
std::vector<const Kernels*> available();

}  // namespace convlayers
