// Compiles every kernel's body for one instruction set. A file beside this one defines, before it includes it,
//   CONVLAYERS_ISA      its name,
//   CONVLAYERS_LANES    floats in a vector,
//   CONVLAYERS_ROWS, CONVLAYERS_VECTORS   the register tile: rows times vectors of sums, the vectors of weights and one
//                       of a repeated input, in as many registers as the instruction set has.
#include "kernels/depthwise/depthwise_weight_body.h"
#include "kernels/direct/direct_body.h"
#include "kernels/direct/weight_body.h"
#include "kernels/layout/filters_body.h"
#include "kernels/norm/planes_body.h"
#include "kernels/norm/rows_body.h"
#include "kernels/pool/boxes_body.h"
#include "kernels/winograd/winograd_weight_body.h"
#include "kernels/table.h"

#define CONVLAYERS_JOIN_(a, b) a##b
#define CONVLAYERS_JOIN(a, b) CONVLAYERS_JOIN_(a, b)
#define CONVLAYERS_TEXT_(a) #a
#define CONVLAYERS_TEXT(a) CONVLAYERS_TEXT_(a)

namespace convlayers {

extern const Kernels CONVLAYERS_JOIN(CONVLAYERS_ISA, _kernels);
const Kernels CONVLAYERS_JOIN(CONVLAYERS_ISA, _kernels) = {
    .isa = CONVLAYERS_TEXT(CONVLAYERS_ISA),
    .lanes = kLanes,
    .block = kBlock,
    .pack = {pack_tasks, pack},
    .unpack = {unpack_tasks, unpack},
    .direct = {direct_tasks, direct},
    .lanes_are_sources = lanes_are_sources,
    .direct_weight = {direct_weight_tasks, direct_weight},
    .channel_sums = {channel_sums_tasks, channel_sums},
    .depthwise = {depthwise_tasks, depthwise},
    .depthwise_weight = {depthwise_weight_tasks, depthwise_weight},
    .winograd_filters = {winograd_filter_tasks, winograd_filters},
    .winograd_sources = {winograd_source_tasks, winograd_sources},
    .winograd = {winograd_tasks, winograd},
    .winograd_weight = {winograd_weight_tasks, winograd_weight},
    .batch_norm_statistics = {batch_norm_tasks, batch_norm_statistics},
    .batch_norm_apply = {batch_norm_tasks, batch_norm_apply},
    .batch_norm_planes = {batch_norm_plane_tasks, batch_norm_planes},
    .batch_norm_grad_sums = {batch_norm_grad_tasks, batch_norm_grad_sums},
    .batch_norm_grad_apply = {batch_norm_grad_tasks, batch_norm_grad_apply},
    .batch_norm_grad_planes = {batch_norm_grad_plane_tasks, batch_norm_grad_planes},
    .max_pool = {max_pool_tasks, max_pool},
    .max_pool_adjoint = {max_pool_adjoint_tasks, max_pool_adjoint},
    .avg_pool = {avg_pool_tasks, avg_pool},
    .avg_pool_adjoint = {avg_pool_adjoint_tasks, avg_pool_adjoint},
};

}  // namespace convlayers
