#include "kernels/norm/planes_body.h"
#include "kernels/table.h"

namespace convlayers {

void CONVLAYERS_PART(norm)(Kernels& table) {
  table.batch_norm_statistics = {batch_norm_tasks, batch_norm_statistics};
  table.batch_norm_apply = {batch_norm_tasks, batch_norm_apply};
  table.batch_norm_planes = {batch_norm_plane_tasks, batch_norm_planes};
  table.batch_norm_grad_sums = {batch_norm_grad_tasks, batch_norm_grad_sums};
  table.batch_norm_grad_apply = {batch_norm_grad_tasks, batch_norm_grad_apply};
  table.batch_norm_grad_planes = {batch_norm_grad_plane_tasks, batch_norm_grad_planes};
}

}  // namespace convlayers
