"""The project's own lists are what torch's layers make of the networks, and every size in them is torch's."""

from __future__ import annotations

import networks
import pytest
import torch

from convlayers.bench import check, kinds, problems, shapes
from convlayers.bench.peers.torch_eager import convolution


def test_every_list_is_of_a_network() -> None:
    assert sorted(problems.lists().values()) == sorted(networks.NETWORKS)


@pytest.mark.parametrize("network", networks.NETWORKS)
def test_the_lists_are_the_networks(network: str) -> None:
    """Written again by ``python -m tests.networks``."""
    assert shapes.read(problems.FOLDER / f"{network}.csv")
    lines = (problems.FOLDER / f"{network}.csv").read_text().splitlines()
    expected = [",".join(shapes.COLUMNS), *(",".join(row.values()) for row in networks.rows(network))]
    assert lines == expected


@pytest.mark.parametrize("network", networks.NETWORKS)
def test_torchs_functions_give_the_sizes(network: str) -> None:
    for given in shapes.read(problems.FOLDER / f"{network}.csv"):
        tensors = (
            torch.empty(s, device="meta") for s in (given.input_shape, given.weight_shape, (given.out_channels,))
        )
        assert convolution(given)(*tensors).shape == given.output_shape


def test_known_figures() -> None:
    """What the papers say of whole networks: thousands of millions of multiplications of the convolutions."""

    def work(network: str) -> float:
        counts = [int(row["count"]) for row in networks.rows(network)]
        given = shapes.read(problems.FOLDER / f"{network}.csv")
        return sum(n * p.macs / p.batch for n, p in zip(counts, given, strict=True)) / 1e9

    assert work("resnet50") == pytest.approx(4.09, rel=0.01)  # He et al. count 3.8 with the stride in the first 1x1
    assert work("mobilenet_v2") == pytest.approx(0.300, rel=0.01)
    assert work("vgg16") == pytest.approx(15.3, rel=0.01)
    assert work("convnext_t") == pytest.approx(4.5, rel=0.02)


def test_the_lists_have_every_kind_but_one() -> None:
    found = {kinds.kind(given) for path in problems.lists() for given in shapes.read(path)}
    assert set(kinds.KINDS) - found == {"depthwise 1-D"}
    assert max(max(check.lengths(given)) for path in problems.lists() for given in shapes.read(path)) < 2**31
