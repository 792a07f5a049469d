"""Between contiguous and channels last: an identity convolution gives back its input, bit for bit, in either layout."""

import itertools

import pytest
import torch

import convlayers.functional as F


@pytest.mark.parametrize("batch", [1, 2])
def test_an_identity_convolution_changes_nothing(batch: int) -> None:
    torch.manual_seed(0)
    for channels, height, width in itertools.product((2, 3, 4, 5, 31, 33, 64, 70), (1, 3, 8), (1, 4, 5, 33)):
        x = torch.randn(batch, channels, height, width)
        identity = torch.eye(channels).view(channels, channels, 1, 1)
        for layout in (torch.contiguous_format, torch.channels_last):
            y = F.conv2d(x.contiguous(memory_format=layout), identity)
            assert torch.equal(y, x)
            assert y.is_contiguous(memory_format=layout)


FORMATS = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (1, 6), (6, 1), (6, 5)])
@pytest.mark.parametrize("kernel", [1, 3])
def test_results_have_torchs_strides(channels: int, size: tuple[int, int], kernel: int) -> None:
    for of_input, of_weight, groups in itertools.product(FORMATS, FORMATS, {1, channels}):
        x = torch.randn(2, channels, *size).to(memory_format=of_input)
        weight = torch.randn(2 * channels, channels // groups, kernel, kernel).to(memory_format=of_weight)
        found = []
        for library in (F, torch.nn.functional):
            y = library.conv2d(x, weight, padding=1, groups=groups)
            found.append((y.stride(), library.max_pool2d(x, 1).stride()))
        assert found[0] == found[1]
