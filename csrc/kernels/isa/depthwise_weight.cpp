#include "kernels/depthwise/depthwise_weight_body.h"
#include "kernels/table.h"

namespace convlayers {

void CONVLAYERS_PART(depthwise_weight)(Kernels& table) {
  table.depthwise_weight = {depthwise_weight_tasks, depthwise_weight};
}

}  // namespace convlayers
