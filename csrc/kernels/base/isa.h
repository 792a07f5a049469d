// Which instruction set runs.
#pragma once

#include <string>

#include "kernels/table.h"

namespace convlayers {

// The table of the best instruction set that this processor has, or of the one that CONVLAYERS_ISA names.
// Throws std::runtime_error where that one is unknown or cannot run here.
const Kernels& kernels();

// Names of those that can run here, best first, separated by commas.
std::string isas();

}  // namespace convlayers
