#include "kernels/table.h"
#include "kernels/winograd/winograd_weight_body.h"

namespace convlayers {

void CONVLAYERS_PART(winograd)(Kernels& table) {
  table.winograd_filters = {winograd_filter_tasks, winograd_filters};
  table.winograd_sources = {winograd_source_tasks, winograd_sources};
  table.winograd = {winograd_tasks, winograd};
  table.winograd_weight = {winograd_weight_tasks, winograd_weight};
}

}  // namespace convlayers
