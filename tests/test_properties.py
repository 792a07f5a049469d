"""Whatever the geometry, border, layout and number of threads, a convolution gives what its definition says."""

from __future__ import annotations

import os

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from problems import FORMATS, Problem, laid_out, oracle, problems, tensors
from torch import Tensor

import convlayers
from convlayers import functional

# The same examples every time; CONVLAYERS_EXAMPLES=5000 looks further.
_EXAMPLES = int(os.environ.get("CONVLAYERS_EXAMPLES", "300"))


def examples(share: float):
    return settings(
        max_examples=max(1, int(_EXAMPLES * share)),
        derandomize="CONVLAYERS_EXAMPLES" not in os.environ,
        deadline=None,
        suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
    )


def poison(*tensors: Tensor) -> None:
    """Leaves NaN in freed memory of the sizes that a call is about to ask for: what it fails to write will show."""
    sizes = {t.numel() + extra for t in tensors for extra in (0, 16, 64)}
    held = [torch.full((size,), float("nan")) for size in sizes for _ in range(2)]
    del held


def call(problem: Problem, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return getattr(functional, problem.name)(input, weight, bias, **problem.arguments())


def leaves(*given: Tensor | None) -> list[Tensor | None]:
    return [None if t is None else t.detach().requires_grad_() for t in given]


def cotangent(problem: Problem, output: Tensor, integers: bool) -> Tensor:
    generator = torch.Generator().manual_seed(problem.seed + 1)
    if integers:
        values = torch.randint(-3, 4, output.shape, generator=generator).float()
    else:
        values = torch.randn(output.shape, generator=generator)
    return laid_out(values, problem.layout, problem.rank)


def same(actual: Tensor, expected: Tensor, what: str) -> None:
    assert actual.shape == expected.shape, f"{what}: {tuple(actual.shape)} instead of {tuple(expected.shape)}"
    wrong = actual.double() != expected
    assert not bool(wrong.any()), f"{what}: {int(wrong.sum())} of {wrong.numel()} differ"


@examples(1)
@given(problems())
def test_small_integers_give_the_exact_result_and_gradients(problem):
    # Winograd's algorithm is not exact on integers; tests/test_winograd.py bounds it.
    with convlayers.precision("exact"):
        check_integers(problem)


def check_integers(problem):
    mine = leaves(*tensors(problem, integers=True))
    exact = [None if t is None else t.detach().double().requires_grad_() for t in mine]
    expected = oracle(problem, *exact)
    poison(*[t for t in (*mine, expected) if t is not None])
    actual = call(problem, *mine)
    same(actual, expected, "output")

    grad = cotangent(problem, actual, integers=True)
    given = [t for t in mine if t is not None]
    poison(*given)
    gradients = torch.autograd.grad(actual, given, grad)
    wanted = torch.autograd.grad(expected, [t for t in exact if t is not None], grad.double())
    for what, a, e in zip(("grad input", "grad weight", "grad bias"), gradients, wanted, strict=False):
        same(a, e, what)


@pytest.mark.parametrize(("channels", "stride", "size"), [(1024, 1, 7), (512, 2, 9), (2048, 1, 5), (4096, 1, 3)])
def test_exact_where_pixels_share_a_set_of_the_cache(channels, stride, size):
    torch.manual_seed(channels)
    small = lambda *shape: torch.randint(-1, 2, shape).float()  # noqa: E731
    input = small(2, channels, size, size).contiguous(memory_format=torch.channels_last).requires_grad_()
    weight, bias = small(70, channels, 1, 1).requires_grad_(), small(70).requires_grad_()
    expected = torch.nn.functional.conv2d(input.double(), weight.double(), bias.double(), stride)
    poison(expected)
    output = functional.conv2d(input, weight, bias, stride)
    torch.testing.assert_close(output.double(), expected, rtol=0, atol=0)
    grad = small(*expected.shape)
    found = torch.autograd.grad(output, (input, weight, bias), grad)
    wanted = torch.autograd.grad(expected, (input, weight, bias), grad.double())
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_exact_where_such_a_pixel_is_seen_twice():
    # A border that folds gives an input more than one tap, even of a filter that has one.
    torch.manual_seed(0)
    input = torch.randint(-1, 2, (70, 64, 3)).float().requires_grad_()
    weight = torch.randint(-1, 2, (1024, 64, 1)).float()
    output = functional.conv1d(input, weight, stride=2, padding=[(3, 3)], padding_mode="circular")
    wide = input.double()
    expected = torch.nn.functional.conv1d(torch.cat([wide] * 3, 2), weight.double(), stride=2)
    torch.testing.assert_close(output.double(), expected, rtol=0, atol=0)
    grad = torch.randint(-1, 2, expected.shape).float()
    found, wanted = (torch.autograd.grad(y, input, g)[0] for y, g in ((output, grad), (expected, grad.double())))
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


@examples(0.3)
@given(problems())
def test_second_derivatives_are_exact(problem):
    with convlayers.precision("exact"):
        check_second_derivatives(problem)


def check_second_derivatives(problem):
    mine = leaves(*tensors(problem, integers=True))
    exact = [None if t is None else t.detach().double().requires_grad_() for t in mine]
    results = []
    for inputs, function in ((mine, call), (exact, oracle)):
        output = function(problem, *inputs)
        grad = cotangent(problem, output, integers=True).to(output.dtype).requires_grad_()
        given = [t for t in inputs if t is not None]
        first = torch.autograd.grad(output, given, grad, create_graph=True)
        weights = [cotangent(problem, g, integers=True).to(g.dtype) for g in first]
        total = sum((g * w).sum() for g, w in zip(first, weights, strict=True))
        results.append(torch.autograd.grad(total, [grad, *given], materialize_grads=True))
    for i, (a, e) in enumerate(zip(*results, strict=True)):
        same(a, e, f"second derivative {i}")


@examples(0.5)
@given(problems())
def test_float32_is_within_the_bound_of_any_summation(problem):
    # Winograd's algorithm is no such summation; tests/test_winograd.py bounds it.
    with convlayers.precision("exact"):
        check_bound(problem._replace(activation=None))


def check_bound(problem):
    # A sum of n products, in whatever order, is within n u of the sum of their absolute values.
    mine = leaves(*tensors(problem, integers=False))
    output = call(problem, *mine)
    grad = cotangent(problem, output, integers=False)
    given = [t for t in mine if t is not None]
    actual = [output, *torch.autograd.grad(output, given, grad)]

    def exactly(change, problem: Problem) -> list[Tensor]:
        inputs = [None if t is None else change(t.detach().double()).requires_grad_() for t in mine]
        result = oracle(problem, *inputs)
        return [result, *torch.autograd.grad(result, [t for t in inputs if t is not None], change(grad.double()))]

    exact = exactly(lambda t: t, problem)
    magnitude = exactly(torch.abs, problem._replace(padding_value=abs(problem.padding_value)))
    filled = problem._replace(padding_value=float(problem.padding_value != 0))
    terms = exactly(torch.ones_like, filled)
    unit = torch.finfo(torch.float32).eps / 2
    for a, e, m, n in zip(actual, exact, magnitude, terms, strict=True):
        assert bool(((a.double() - e).abs() <= (n + 1) * unit * m + 1e-37).all())


@examples(0.3)
@given(problems(largest=3), st.sampled_from((2, 4)))
def test_results_are_equal_bit_for_bit_whatever_the_threads(problem, threads):
    mine = leaves(*tensors(problem, integers=False))

    def evaluate(count: int) -> list[Tensor]:
        before = torch.get_num_threads()
        torch.set_num_threads(count)
        try:
            poison(*[t for t in mine if t is not None])
            output = call(problem, *mine)
            grad = cotangent(problem, output, integers=False)
            return [output, *torch.autograd.grad(output, [t for t in mine if t is not None], grad)]
        finally:
            torch.set_num_threads(before)

    alone, again, shared = evaluate(1), evaluate(1), evaluate(threads)
    assert all(map(torch.equal, alone, again)), "from run to run"
    assert all(map(torch.equal, alone, shared)), f"with {threads} threads"


@examples(0.3)
@given(problems())
def test_layouts_do_not_change_the_result_and_carry_over_to_it(problem):
    input, weight, bias = tensors(problem._replace(layout="contiguous"), integers=False)
    output = call(problem, input, weight, bias)
    assert output.is_contiguous()
    for layout in ("channels last", "sliced", "permuted"):
        same(call(problem, laid_out(input, layout, problem.rank), weight, bias), output.double(), layout)
    form = FORMATS.get(input.dim())
    if form is not None and problem.batch is not None:
        result = call(problem, input.contiguous(memory_format=form), weight, bias)
        if not input.contiguous(memory_format=form).is_contiguous():
            assert result.is_contiguous(memory_format=form)
