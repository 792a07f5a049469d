// The gradient of an activation's input, from that of its output and the output itself: for those activations where the
// output tells (as src/convlayers/activations.py says). Vectors only, as activation_body.h.
#pragma once

#include "kernels/base/activation_body.h"

namespace {

inline Vec activation_grad(Vec grad, Vec output, Activation a) {
  switch (a.code) {
    case ActivationCode::kRelu:
      return select(output > 0.f, grad, splat(0.f));
    case ActivationCode::kLeakyRelu:
      return select(output > 0.f, grad, grad * a.alpha);
    case ActivationCode::kHardtanh:
      return select((output > a.alpha) & (output < a.beta), grad, splat(0.f));
    case ActivationCode::kTanh:
      return grad * (1.f - output * output);
    case ActivationCode::kSigmoid:
      return grad * output * (1.f - output);
    case ActivationCode::kElu:
      return select(output > 0.f, grad, grad * (output + a.alpha));
    default:
      return grad;
  }
}

// Calls f(activation), with a constant code for the commonest: their loops have no switch.
template <class F>
inline void for_activation(Activation a, const F& f) {
  if (a.code == ActivationCode::kIdentity)
    f([] { return Activation{ActivationCode::kIdentity}; });
  else if (a.code == ActivationCode::kRelu)
    f([] { return Activation{ActivationCode::kRelu}; });
  else
    f([a] { return a; });
}

}  // namespace
