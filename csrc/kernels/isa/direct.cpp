#include "kernels/direct/direct_body.h"
#include "kernels/direct/weight_body.h"
#include "kernels/table.h"

namespace convlayers {

void CONVLAYERS_PART(direct)(Kernels& table) {
  table.lanes = kLanes;
  table.block = kBlock;
  table.direct = {direct_tasks, direct};
  table.lanes_are_sources = lanes_are_sources;
  table.direct_weight = {direct_weight_tasks, direct_weight};
  table.channel_sums = {channel_sums_tasks, channel_sums};
}

}  // namespace convlayers
