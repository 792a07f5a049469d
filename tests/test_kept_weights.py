"""That kept weights are never stale, however a weight was changed; that memory is bounded and results are the same."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

import convlayers
from convlayers import functional

KINDS = {
    "direct": (lambda: convlayers.Conv2d(24, 40, 3, stride=2, padding=1), (2, 24, 9, 8)),
    "pointwise": (lambda: convlayers.Conv2d(48, 33, 1), (2, 48, 5, 7)),
    "grouped": (lambda: convlayers.Conv2d(24, 48, 3, groups=3), (2, 24, 9, 8)),
    "depthwise": (lambda: convlayers.Conv2d(24, 48, 3, padding=1, groups=24), (2, 24, 9, 8)),
    "winograd": (lambda: convlayers.Conv2d(32, 48, 3, padding=1), (2, 32, 12, 12)),
    "winograd 5x5": (lambda: convlayers.Conv2d(32, 32, 5, padding=2), (2, 32, 12, 12)),
    "winograd, sliced": (lambda: convlayers.Conv2d(512, 512, 3, padding=1), (1, 512, 14, 14)),
    "transposed": (lambda: convlayers.ConvTranspose2d(24, 40, 3, stride=2), (2, 24, 5, 6)),
    "transposed winograd": (lambda: convlayers.ConvTranspose2d(32, 48, 3, padding=1), (2, 32, 12, 12)),
    "1-D": (lambda: convlayers.Conv1d(32, 32, 3, padding=1), (2, 32, 121)),
    "3-D": (lambda: convlayers.Conv3d(8, 16, 3, padding=1), (1, 8, 5, 6, 7)),
}


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    convlayers.keep_weights(0)
    with convlayers.keep_weights(256):
        yield
    convlayers.keep_weights(256)


def kept() -> int:
    return torch.ops.convlayers.kept_weights()


def made(kind: str) -> tuple[nn.Module, Tensor]:
    layer, shape = KINDS[kind]
    return layer(), torch.randn(shape)


def fresh(layer: nn.Module, x: Tensor) -> Tensor:
    """What the layer computes with its weights packed for this call."""
    before = torch.ops.convlayers.keep_weights(0)
    try:
        with torch.no_grad():
            return layer(x)
    finally:
        torch.ops.convlayers.keep_weights(before)


@pytest.mark.parametrize("kind", KINDS)
def test_results_are_the_same(kind: str) -> None:
    layer, x = made(kind)
    expected = fresh(layer, x)
    with torch.no_grad():
        first, bytes_after_one = layer(x), kept()
        assert bytes_after_one >= 4 * layer.weight.numel()
        assert torch.equal(first, expected)
        assert torch.equal(layer(x), expected)
        assert torch.equal(layer.to(memory_format=torch.channels_last)(x) if x.dim() == 4 else layer(x), expected)
    assert torch.allclose(layer(x), expected, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_input_gradients_are_the_same(kind: str) -> None:
    layer, x = made(kind)
    layer.requires_grad_(False)
    x.requires_grad_()
    y = layer(x)
    upstream = torch.randn_like(y)
    before = kept()
    gradients = [torch.autograd.grad(layer(x), x, upstream)[0] for _ in range(2)]
    assert kept() > before
    convlayers.keep_weights(0)
    expected = torch.autograd.grad(layer(x), x, upstream)[0]
    assert torch.equal(gradients[0], expected)
    assert torch.equal(gradients[1], expected)


def _copy(weight: Tensor) -> None:
    weight.copy_(torch.randn_like(weight))


def _data(weight: Tensor) -> None:
    weight.data.mul_(-1.5)


def _numpy(weight: Tensor) -> None:
    weight.detach().numpy()[...] += 1


def _one_bit(weight: Tensor) -> None:
    weight.detach().view(torch.int32).view(-1)[-1] ^= 1 << 22


def _swap(weight: Tensor) -> None:
    first, last = weight.detach().view(-1)[0].clone(), weight.detach().view(-1)[-1].clone()
    weight.data.view(-1)[0], weight.data.view(-1)[-1] = last, first


@pytest.mark.parametrize("change", [_copy, _data, _numpy, _one_bit, _swap])
@pytest.mark.parametrize("kind", KINDS)
def test_an_update_in_place_is_seen(kind: str, change: Callable[[Tensor], None]) -> None:
    layer, x = made(kind)
    with torch.no_grad():
        before = layer(x)
        change(layer.weight)
        after = layer(x)
    assert not torch.equal(before, after)
    assert torch.equal(after, fresh(layer, x))


def test_every_element_counts() -> None:
    x = torch.randn(1, 5, 6, 6)
    weight = torch.randn(7, 5, 3, 3)
    with torch.no_grad():
        functional.conv2d(x, weight)
        for i in range(weight.numel()):
            before = kept()
            weight.view(-1)[i] += 1
            functional.conv2d(x, weight)
            assert kept() > before


def test_an_optimiser_between_evaluations() -> None:
    layer, x = made("winograd")
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.1)
    for _ in range(3):
        with torch.no_grad():
            assert torch.equal(layer(x), fresh(layer, x))
        layer(x).square().mean().backward()
        optimiser.step()
        optimiser.zero_grad()
    with torch.inference_mode():
        assert torch.equal(layer(x), fresh(layer, x))


def test_weights_that_train_are_not_kept() -> None:
    layer, x = made("direct")
    layer(x).sum().backward()
    assert kept() == 0


def test_a_state_that_is_loaded_and_a_copy() -> None:
    layer, x = made("depthwise")
    other, _ = made("depthwise")
    with torch.no_grad():
        layer(x), other(x)
        twin = copy.deepcopy(layer)
        assert torch.equal(twin(x), layer(x))
        layer.load_state_dict(other.state_dict())
        assert torch.equal(layer(x), other(x))
        twin.weight.zero_()
        assert torch.equal(twin(x), fresh(twin, x))


def test_equal_weights_share_their_memory() -> None:
    layer, x = made("winograd")
    twin = copy.deepcopy(layer)
    with torch.no_grad():
        layer(x)
        before = kept()
        twin(x)
    assert kept() == before


def test_forms_do_not_mix() -> None:
    """The same bytes as another bank: other strides, sizes, direction or kernel."""
    weight, x = torch.randn(32, 32, 3, 3), torch.randn(1, 32, 12, 12)
    calls = [
        lambda w: functional.conv2d(x, w, padding=1),
        lambda w: functional.conv2d(x, w, stride=2),
        lambda w: functional.conv_transpose2d(x, w, padding=1),
        lambda w: functional.conv_transpose2d(x, w, stride=2),
        lambda w: functional.conv2d(x, w.transpose(0, 1), padding=1),
        lambda w: functional.conv2d(x, w.transpose(2, 3), padding=1),
        lambda w: functional.conv2d(x, w.view(32, 32, 9, 1), padding=(4, 0)),
        lambda w: functional.conv2d(x[:, :8], w.view(128, 8, 3, 3), padding=1),
        lambda w: functional.conv2d(x, w.reshape(32 * 32, 1, 3, 3), groups=32),
    ]
    with torch.no_grad():
        with convlayers.keep_weights(0):
            expected = [call(weight) for call in calls]
        for call, y in [*zip(calls, expected, strict=True)] * 2:
            assert torch.equal(call(weight), y)


def test_slices_and_expanded_weights() -> None:
    x, bank = torch.randn(1, 8, 6, 6), torch.randn(16, 16, 3, 3)
    with torch.no_grad():
        for weight in (bank[::2, :8], bank[:1, :1].expand(16, 8, 3, 3), torch.randn(16, 8, 1, 1).expand(16, 8, 3, 3)):
            y = functional.conv2d(x, weight)
            assert torch.equal(y, functional.conv2d(x, weight.contiguous()))
            bank += 1
            assert torch.equal(functional.conv2d(x, weight), functional.conv2d(x, weight.clone()))


def test_another_weight_at_a_dead_ones_address() -> None:
    x, addresses = torch.randn(1, 16, 5, 5), set()
    with torch.no_grad():
        for _ in range(20):
            weight = torch.randn(16, 16, 3, 3)
            addresses.add(weight.data_ptr())
            y = functional.conv2d(x, weight, stride=2)
            assert torch.allclose(y, torch.conv2d(x.double(), weight.double(), stride=2).float(), atol=1e-4)
            del weight, y
    assert len(addresses) < 20


def test_memory_is_bounded() -> None:
    x = torch.randn(1, 256, 2, 2)
    convlayers.keep_weights(1)
    with torch.no_grad():
        for _ in range(10):
            functional.conv2d(x, torch.randn(256, 256, 1, 1))
            assert 0 < kept() <= 2**20
        with convlayers.keep_weights(0):
            assert kept() == 0
            functional.conv2d(x, torch.randn(256, 256, 1, 1))
            assert kept() == 0
        functional.conv2d(x, torch.randn(1024, 257, 1, 1)[:, :256].contiguous())
        assert 0 < kept() <= 2**20


def test_a_cycle_of_too_many_keeps_what_fits_and_the_unused_give_way() -> None:
    x = torch.randn(1, 128, 2, 2)
    weights = [torch.randn(128, 128, 1, 1) for _ in range(32)]  # 64 KB each
    convlayers.keep_weights(1)
    with torch.no_grad():
        for weight in weights:
            functional.conv2d(x, weight)
        full = kept()
        assert full == 2**20
        for _ in range(1100):
            functional.conv2d(x, weights[0])
        functional.conv2d(x, torch.randn(192, 128, 1, 1))
        assert full - 2**16 < kept() <= full


def test_threads() -> None:
    layers = [made(kind) for kind in ("direct", "depthwise", "winograd")]
    expected = [fresh(layer, x) for layer, x in layers]

    def work(seed: int) -> bool:
        with torch.no_grad():
            for i in range(60):
                n = (seed + i) % 3
                layer, x = layers[n]
                if not torch.equal(layer(x), expected[n]):
                    return False
                if i % 20 == seed:
                    convlayers.keep_weights(256 * (i % 2))
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


@pytest.mark.parametrize("megabytes", [-1, 2**40])
def test_a_bound_that_makes_no_sense(megabytes: int) -> None:
    with pytest.raises(ValueError, match="megabytes must be at least 0"):
        convlayers.keep_weights(megabytes)


@pytest.mark.parametrize("megabytes", [1.5, "1", None, True])
def test_a_bound_of_the_wrong_kind(megabytes: object) -> None:
    with pytest.raises(TypeError, match="megabytes must be an integer"):
        convlayers.keep_weights(megabytes)  # type: ignore[arg-type]
