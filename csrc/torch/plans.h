// Gather plans: a layer asks for the same one at every call, so those of late are kept.
#pragma once

#include <memory>

#include "kernels/gather/gather.h"

namespace convlayers {

// As GatherPlan's constructor.
std::shared_ptr<const GatherPlan> gather_plan(int64_t batch, const AxisGeometry (&geometry)[3], bool transposed,
                                              bool adjoint, const Strides& source, const Strides& output, bool zeros);

}  // namespace convlayers
