#include "kernels/depthwise/depthwise_body.h"
#include "kernels/table.h"

namespace convlayers {

void CONVLAYERS_PART(depthwise)(Kernels& table) {
  table.depthwise = {depthwise_tasks, depthwise};
}

}  // namespace convlayers
