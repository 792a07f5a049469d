#include "kernels/pool/boxes_body.h"
#include "kernels/table.h"

namespace convlayers {

void CONVLAYERS_PART(pool)(Kernels& table) {
  table.max_pool = {max_pool_tasks, max_pool};
  table.max_pool_adjoint = {max_pool_adjoint_tasks, max_pool_adjoint};
  table.avg_pool = {avg_pool_tasks, avg_pool};
  table.avg_pool_adjoint = {avg_pool_adjoint_tasks, avg_pool_adjoint};
}

}  // namespace convlayers
