#include "kernels/layout/filters_body.h"
#include "kernels/table.h"

namespace convlayers {

void CONVLAYERS_PART(layout)(Kernels& table) {
  table.pack = {pack_tasks, pack};
  table.unpack = {unpack_tasks, unpack};
}

}  // namespace convlayers
