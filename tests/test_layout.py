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
