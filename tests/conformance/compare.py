"""How a result is compared with torch's: shape, dtype, memory format, values, gradients.

Where torch's own operators compute both, and where a result only selects elements (maxima), the two must be equal bit
for bit. Where our kernels sum, float32 is held to float64: n products, summed in whatever order, are within n u of the
sum of their absolute values (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1), u being half
the machine epsilon. bfloat16 and float16 convolutions may run on either: equal bits, or a float32 sum's bound and one
rounding more.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Function = Callable[..., Any]
Arguments = tuple[tuple, dict[str, Any]]
FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}

#: For ``terms``: the function counts its terms itself where all its arguments are ones, as a convolution does.
COUNTED = "counted"
#: For ``terms``: no sum of products; float32 to 1e-5 relative, or absolute where the result is below 1.
CLOSE = "close"


def transform(arguments: Arguments, function: Callable[[Tensor], Tensor]) -> Arguments:
    """The same arguments, each tensor replaced."""
    args, kwargs = arguments
    change = lambda a: function(a) if isinstance(a, Tensor) else a  # noqa: E731
    return tuple(map(change, args)), {k: change(v) for k, v in kwargs.items()}


def differentiable(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def leaf(tensor: Tensor) -> Tensor:
    """The same data as the start of a new graph."""
    return tensor.detach().requires_grad_(differentiable(tensor))


class Evaluation:
    """A function's results and, given cotangents, the gradients of all its differentiable arguments."""

    def __init__(self, function: Function, arguments: Arguments):
        self.args, self.kwargs = transform(arguments, leaf)
        if "_random_samples" in self.kwargs:  # of fractional pooling; torch refuses to differentiate by them
            self.kwargs["_random_samples"].requires_grad_(False)
        torch.manual_seed(42)  # fractional pooling draws its windows where it gets none
        results = function(*self.args, **self.kwargs)
        self.results: tuple[Tensor, ...] = results if isinstance(results, tuple) else (results,)

    def gradients(self, cotangents: list[Tensor]) -> list[Tensor]:
        outputs = [r for r in self.results if r.requires_grad]
        inputs = [a for a in (*self.args, *self.kwargs.values()) if isinstance(a, Tensor) and a.requires_grad]
        if not outputs:
            return []
        return list(torch.autograd.grad(outputs, inputs, cotangents, materialize_grads=True))


def torch_evaluation(function: Function, arguments: Arguments) -> Evaluation:
    """Torch's own result; its remark that 'same' with an even kernel costs a copy is not ours."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Using padding='same' with even kernel lengths")
        return Evaluation(function, arguments)


def small_integers(tensor: Tensor) -> Tensor:
    """Random integers in its shape and layout, so small that float32 and bfloat16 sums of them are exact."""
    return torch.randint_like(tensor, -4, 5) if not tensor.is_complex() else torch.randn_like(tensor)


def compare(ours: Function, theirs: Function, arguments: Arguments, terms: int | str | None) -> str | None:
    """What differs between two functions on these arguments, or None.

    Args:
        terms: None to demand equal bits. Otherwise how many products a result or gradient sums at most, or COUNTED, or
            CLOSE.
    """
    actual = Evaluation(ours, arguments)
    expected = torch_evaluation(theirs, arguments)
    wrong = _metadata(actual.results, expected.results, _channels_last(arguments[0][0]))
    if wrong:
        return wrong
    cotangents = [small_integers(r) for r in expected.results if r.requires_grad]
    mine = [*actual.results, *actual.gradients(cotangents)]
    if terms is None:
        reference = [*expected.results, *expected.gradients(cotangents)]
        return _first(_unequal(a, e) for a, e in zip(mine, reference, strict=True))

    if terms == CLOSE:
        reference = [*expected.results, *expected.gradients(cotangents)]
        return _first(_distant(a, e) for a, e in zip(mine, reference, strict=True))

    def in_float64(change: Callable[[Tensor], Tensor]) -> list[Tensor]:
        exact = torch_evaluation(theirs, transform(arguments, lambda t: change(t.detach().double())))
        return [*exact.results, *exact.gradients([change(c.double()) for c in cotangents])]

    if mine[0].dtype != torch.float32:
        reference = [*expected.results, *expected.gradients(cotangents)]
        if _first(_unequal(a, e) for a, e in zip(mine, reference, strict=True)) is None:
            return None
    exact, magnitude = in_float64(lambda t: t), in_float64(torch.abs)
    counts = in_float64(torch.ones_like) if terms == COUNTED else [terms] * len(exact)
    return _first(_beyond(*four) for four in zip(mine, exact, magnitude, counts, strict=True))


def _first(findings: Any) -> str | None:
    return next((f"value or gradient {i}: {f}" for i, f in enumerate(findings) if f), None)


def _unequal(actual: Tensor, expected: Tensor) -> str | None:
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        return f"{actual.dtype} {tuple(actual.shape)} instead of {expected.dtype} {tuple(expected.shape)}"
    unequal = (actual != expected) & ~(actual.isnan() & expected.isnan())
    if not bool(unequal.any()):
        return None
    at = tuple(unequal.nonzero()[0].tolist())
    count = f"{int(unequal.sum())} of {unequal.numel()}"
    return f"{count} differ, the first at {at}: {actual[at]} instead of {expected[at]}"


def _distant(actual: Tensor, expected: Tensor) -> str | None:
    try:
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5, equal_nan=True)
    except AssertionError as error:
        return str(error)
    return None


def _beyond(actual: Tensor, exact: Tensor, magnitude: Tensor, count: Tensor | int) -> str | None:
    """Whether a result summed in float32 is farther from the exact one than any order of summation takes it."""
    if actual.shape != exact.shape:
        return f"{tuple(actual.shape)} instead of {tuple(exact.shape)}"
    unit = torch.finfo(torch.float32).eps / 2
    # One more rounding for the product (without FMA), one for a division or the bias, and what underflows.
    bound = (count + 2) * unit * magnitude.abs() + torch.finfo(torch.float32).tiny
    if actual.dtype != torch.float32:  # rounded to what it is stored in
        stored = torch.finfo(actual.dtype)
        bound += stored.eps / 2 * (exact.abs() + bound + stored.tiny)
    error = (actual.double() - exact).abs()
    inside = error <= bound
    if bool(inside.all()):
        return None
    worst = (error / bound).argmax()
    return f"off by {error.flatten()[worst]:.3g} where {bound.flatten()[worst]:.3g} is the bound"


def _channels_last(tensor: Tensor) -> bool:
    return tensor.dim() > 2 and tensor.movedim(1, -1).is_contiguous()


def _metadata(actual: tuple[Tensor, ...], expected: tuple[Tensor, ...], channels_last: bool) -> str | None:
    if len(actual) != len(expected):
        return f"{len(actual)} results instead of {len(expected)}"
    for a, e in zip(actual, expected, strict=True):
        for what in ("dtype", "shape", "requires_grad"):
            if getattr(a, what) != getattr(e, what):
                return f"{what} {getattr(a, what)} instead of {getattr(e, what)}"
        # Channels last in, channels last out: in torch for most functions, here for all.
        if channels_last and _channels_last(a):
            continue
        for form in (torch.contiguous_format, FORMATS.get(e.dim())):
            if form is not None and a.is_contiguous(memory_format=form) != e.is_contiguous(memory_format=form):
                return f"strides {a.stride()} instead of {e.stride()} for shape {tuple(e.shape)}"
    return None
