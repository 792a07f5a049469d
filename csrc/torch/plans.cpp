#include "torch/plans.h"

#include "torch/recent.h"

namespace convlayers {
namespace {

// Few have more than some kilobytes: an axis has a word for each of its pixels.
constexpr int64_t kBytes = 8 << 20, kMost = 1 << 20;
constexpr uint64_t kPatience = 1024;
using Plans = Recent<31, const GatherPlan>;

// Never destroyed: threads may outlive static objects.
Plans& plans() {
  static auto& all = *new Plans(kBytes, kPatience);
  return all;
}

}  // namespace

std::shared_ptr<const GatherPlan> gather_plan(int64_t batch, const AxisGeometry (&geometry)[3], bool transposed,
                                              bool adjoint, const Strides& source, const Strides& output, bool zeros) {
  Plans::Key key;
  size_t n = 0;
  key[n++] = batch;
  key[n++] = transposed | adjoint << 1 | zeros << 2;
  for (const AxisGeometry& a : geometry)
    for (int64_t word : {a.input, a.output, a.kernel, a.stride, a.dilation, a.low, static_cast<int64_t>(a.border)})
      key[n++] = word;
  for (const Strides* s : {&source, &output})
    for (int64_t word : {s->batch, s->axis[0], s->axis[1], s->axis[2]}) key[n++] = word;
  if (auto found = plans().find(key)) return found;
  auto plan = std::make_shared<const GatherPlan>(batch, geometry, transposed, adjoint, source, output, zeros);
  if (const int64_t bytes = plan->bytes(); bytes <= kMost) plans().keep(key, plan, bytes);
  return plan;
}

}  // namespace convlayers
