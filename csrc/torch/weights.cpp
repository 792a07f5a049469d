#include "torch/weights.h"

#include <atomic>
#include <cstring>

namespace convlayers {
namespace {

constexpr int64_t kBytes = int64_t{256} << 20;
constexpr uint64_t kPatience = 1024;
std::atomic<bool> keeps{true};

struct Fingerprint {
  uint64_t half[2];
};

// Eight chains of words, since one would wait for its multiplication; each word changes its chain for good.
Fingerprint fingerprint_of_part(const float* data, int64_t floats) {
  constexpr int64_t kChains = 8, kFloats = 2 * kChains;
  uint64_t chain[kChains] = {1, 2, 3, 4, 5, 6, 7, 8};
  const auto take = [&](const float* from) {
#pragma GCC unroll 8
    for (int64_t c = 0; c < kChains; ++c) {
      uint64_t word;
      std::memcpy(&word, from + 2 * c, sizeof word);
      chain[c] = mixed(chain[c], word);
    }
  };
  int64_t i = 0;
  for (; i + kFloats <= floats; i += kFloats) take(data + i);
  float rest[kFloats] = {};
  std::copy(data + i, data + floats, rest);
  take(rest);
  Fingerprint f{{static_cast<uint64_t>(floats), kOdd}};
  for (int round = 0; round < 2; ++round)
    for (int64_t c = 0; c < kChains; ++c) {
      f.half[0] = mixed(f.half[0], chain[c]);
      f.half[1] = mixed(f.half[1], chain[kChains - 1 - c] + (f.half[0] >> 32));
    }
  return f;
}

// Of parts of a fixed size, so that threads can share it.
Fingerprint fingerprint(const float* data, int64_t floats) {
  constexpr int64_t kPart = 32 * 1024;
  if (floats <= kPart) return fingerprint_of_part(data, floats);
  std::vector<Fingerprint> parts(static_cast<size_t>((floats + kPart - 1) / kPart));
  parallel(static_cast<int64_t>(parts.size()), [&](int64_t i) {
    parts[static_cast<size_t>(i)] = fingerprint_of_part(data + i * kPart, std::min(kPart, floats - i * kPart));
  });
  Fingerprint all{{0, 0}};
  for (const Fingerprint& f : parts)
    for (int h = 0; h < 2; ++h) all.half[h] = mixed(all.half[h], f.half[h]);
  return all;
}

// Whether the weights are all there is between the first of them and the last.
bool is_dense(const Tensor& weight) {
  const auto sizes = weight.sizes(), strides = weight.strides();
  int64_t span = 1, count = 1;
  for (size_t i = 0; i < sizes.size(); ++i) {
    span += (sizes[i] - 1) * strides[i];
    count *= sizes[i];
  }
  return count > 0 && span == count;
}

}  // namespace

// Never destroyed: threads may outlive static objects.
PackedWeights::Kept& PackedWeights::kept() {
  static auto& all = *new Kept(kBytes, kPatience);
  return all;
}

int64_t keep_weights(int64_t bytes) {
  STD_TORCH_CHECK(bytes >= 0, "convlayers: the bytes of kept weights must not be negative; received ", bytes);
  keeps = bytes > 0;
  return PackedWeights::kept().bound(bytes);
}

int64_t kept_weights() { return PackedWeights::kept().bytes(); }

PackedWeights::PackedWeights(const Tensor& weight, bool constant, const WeightForm& form, int64_t floats)
    : floats_(floats) {
  if (!constant || !keeps || !is_dense(weight)) return;
  const FilterStrides& s = form.strides;
  const FilterSizes& z = form.sizes;
  const Fingerprint f = fingerprint(static_cast<const float*>(weight.const_data_ptr()), weight.numel());
  const Kept::Key key{static_cast<int64_t>(f.half[0]), static_cast<int64_t>(f.half[1]), form.kernel, form.detail[0],
                      form.detail[1], form.detail[2], s.group, s.row, s.column, s.axis[0], s.axis[1], s.axis[2], z.groups, z.rows,
                      z.columns, z.kernel[0], z.kernel[1], z.kernel[2]};
  memory_ = kept().find(key);
  if (memory_ || kept().has_room(floats * static_cast<int64_t>(sizeof(float)))) key_ = key;
}

void PackedWeights::keep() { kept().keep(*key_, memory_, floats_ * static_cast<int64_t>(sizeof(float))); }

}  // namespace convlayers
