// Which source pixel feeds which output pixel through which tap of the filter.
//
// A convolution, its transpose and the gradients of both are one computation, a gather,
//
//     out(p) = sum over taps t of  W(t) in(source(p, t)),
//
// and differ in `source` alone. Borders, strides and dilations live here and nowhere else. The computation separates
// over the axes, so a gather is three axes (leading ones of size 1 where the rank is less).
//
// Along an axis, outputs are split into classes: outputs that use the same taps in the same order. A convolution has one
// class; a transposed one has a class for every phase of the stride; in the gradient of a folding border (reflection...)
// the inputs that are seen more than once have classes of their own.
#pragma once

#include <cstdint>
#include <vector>

namespace convlayers {

enum class Border : int { kConstant, kReflect, kReplicate, kCircular, kCount };

// A source that lies outside, where the border is a constant. Any sum of offsets with it stays negative.
constexpr int64_t kOutside = INT64_MIN / 4;

struct AxisClass {
  std::vector<int64_t> output;  // coordinates of its outputs
  std::vector<int64_t> base;    // of each output, and
  std::vector<int64_t> shift;   // of each tap: source = lookup[base + shift], a coordinate, or kOutside
  std::vector<int64_t> tap;     // the filter's index of each tap
  std::vector<int64_t> kind;    // of each output: those of one kind have the same taps inside
  bool outside = false;         // whether an output has a tap outside
};

struct Axis {
  std::vector<int64_t> lookup;
  std::vector<AxisClass> classes;
};

// One axis of a problem: `transposed` and `adjoint` as for the whole operator.
struct AxisGeometry {
  int64_t input, output;  // sizes of the operator's input and output (not of the gather's)
  int64_t kernel, stride, dilation, low;
  Border border;
};

// output <- input: convolution, or transposed convolution.
Axis forward_axis(const AxisGeometry& g, bool transposed);

// input <- output: what the gradient of the input gathers from that of the output.
Axis adjoint_axis(const AxisGeometry& g, bool transposed);

// --- what the kernels read: plain pointers, offsets in floats ----------------------------------------------------------

struct ClassView {
  const int64_t *output, *base, *shift, *tap, *kind;
  int64_t outputs, taps;
};

// The outputs of one class along each axis, for the whole batch: a grid of pixels that share their taps.
struct Region {
  ClassView axis[3];
  int64_t pixels;      // batch * outputs of the three axes
  int64_t taps;        // product of the three axes' taps
  const int64_t* tap;  // the filter's index of each: (d * kernel_h + h) * kernel_w + w
  // Whether taps lie outside, where zeros are: they add nothing, and may be left out. Which ones, is the same for all pixels with
  // the same sum of their kinds along the axes.
  bool leaves_out;
};

struct Strides {
  int64_t batch, axis[3];
};

struct Gather {
  Strides source_strides, output_strides;
  const int64_t* lookup[3];
  const Region* region;
  int64_t regions;
  int64_t filter_taps;  // kernel_d * kernel_h * kernel_w
  // Where each source along an axis goes, `input` and `output` being the gather's own sizes here: to outputs
  // source * stride + tap * dilation - low, those that exist. Only if `spreads`: nothing outside is read but zeros.
  bool spreads;
  AxisGeometry spread[3];
};

// A gather of one of its regions alone.
Gather only_region(const Gather& g, int64_t region);

// Whether a region has all of the filter's taps, each once and in its order: where a border folds, or a stride leaves some
// out, it is otherwise.
bool has_every_tap(const Gather& g, const Region& r);

// Owns what a Gather points at.
class GatherPlan {
 public:
  // `zeros`: whether the constants beyond the borders are all zero.
  GatherPlan(int64_t batch, const AxisGeometry (&geometry)[3], bool transposed, bool adjoint, Strides source,
             Strides output, bool zeros);
  GatherPlan(const GatherPlan&) = delete;
  const Gather& view() const { return view_; }
  int64_t bytes() const;

 private:
  Axis axis_[3];
  std::vector<Region> regions_;
  std::vector<std::vector<int64_t>> taps_;
  Gather view_;
};

}  // namespace convlayers
