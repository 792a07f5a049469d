// The activations that kernels apply to a tile before it is stored. Codes as in src/convlayers/activations.py.
#pragma once

namespace convlayers {

enum class ActivationCode : int {
  kIdentity, kRelu, kLeakyRelu, kHardtanh, kTanh, kSigmoid, kSilu, kGelu, kGeluTanh,
  kHardswish, kHardsigmoid, kElu, kSoftplus, kMish, kCount,
};

struct Activation {
  ActivationCode code = ActivationCode::kIdentity;
  float alpha = 0.f, beta = 0.f;
};

}  // namespace convlayers
