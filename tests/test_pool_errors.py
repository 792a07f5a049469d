"""What the poolings refuse, and how they say it."""

from __future__ import annotations

import pytest
import torch

from convlayers import functional as C

X1, X2, X3 = torch.zeros(1, 2, 8), torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 8, 8, 8)
INDICES = torch.zeros(1, 2, 8, 8, dtype=torch.int64)

REFUSED = [
    (ValueError, "kernel_size must be at least 1; received 0", lambda: C.max_pool2d(X2, 0)),
    (ValueError, "kernel_size must be at least 1; received -2", lambda: C.avg_pool1d(X1, -2)),
    (ValueError, "stride must be at least 1; received 0", lambda: C.max_pool2d(X2, 2, 0)),
    (ValueError, "dilation must be at least 1", lambda: C.max_pool3d(X3, 2, dilation=(1, 0, 1))),
    (ValueError, "kernel_size must be one integer or 2", lambda: C.max_pool2d(X2, (2, 2, 2))),
    (ValueError, "stride must be one integer or 3", lambda: C.avg_pool3d(X3, 2, (1, 2))),
    (ValueError, "padding must not be negative; received -1", lambda: C.max_pool2d(X2, 2, padding=-1)),
    (ValueError, "at most half of the window's reach of 2", lambda: C.max_pool2d(X2, 2, padding=2)),
    (ValueError, "at most half of the window's reach of 5", lambda: C.max_pool2d(X2, 3, dilation=2, padding=3)),
    (ValueError, "less than the window's reach of 2", lambda: C.avg_pool1d(X1, 2, padding=((2, 0),))),
    (ValueError, "padding must have pairs", lambda: C.avg_pool1d(X1, 2, padding=((1, 0, 0),))),
    (ValueError, "padding must be an amount or one of valid", lambda: C.max_pool2d(X2, 2, padding="SAME")),
    (ValueError, "padding must be one entry or 2", lambda: C.max_pool2d(X2, 2, padding=(1, 1, 1))),
    (ValueError, "kernel_size must not exceed the padded input", lambda: C.max_pool2d(X2, 9)),
    (ValueError, "kernel_size must not exceed the padded input", lambda: C.avg_pool1d(X1, 5, dilation=2)),
    (ValueError, "input must have 4 dimensions", lambda: C.max_pool2d(X2[0, 0], 2)),
    (ValueError, "input must have 3 dimensions", lambda: C.adaptive_max_pool1d(X2, 2)),
    (ValueError, "must not have empty channels and spatial axes", lambda: C.max_pool2d(X2[:, :0], 2)),
    (ValueError, "must not have empty spatial axes", lambda: C.adaptive_avg_pool2d(X2[..., :0], 2)),
    (ValueError, "divisor_override must not be zero", lambda: C.avg_pool2d(X2, 2, divisor_override=0)),
    (ValueError, "norm_type must be a number other than zero", lambda: C.lp_pool2d(X2, 0, 2)),
    (ValueError, "output_size must be one integer or 2", lambda: C.adaptive_avg_pool2d(X2, (1, 2, 3))),
    (ValueError, "output_size must be at least 0", lambda: C.adaptive_max_pool2d(X2, (-1, 2))),
    (ValueError, r"at most 2\*\*63 - 1 elements", lambda: C.adaptive_avg_pool2d(X2, 2**62)),
    (ValueError, r"at most 2\*\*63 - 1 elements", lambda: C.max_pool2d(X2, 2**40, 1, padding="full")),
    (ValueError, r"at most 2\*\*63 - 1 elements", lambda: C.max_pool2d(X2, 2**40, padding="full")),
    (ValueError, "sizes must fit 64 bits", lambda: C.max_pool1d(X1, 2, dilation=2**63)),
    (ValueError, "output_size or output_ratio must be given", lambda: C.fractional_max_pool2d(X2, 2)),
    (ValueError, r"output_size \+ kernel_size - 1", lambda: C.fractional_max_pool2d(X2, 3, 7)),
    (ValueError, "output_ratio must lie between", lambda: C.fractional_max_pool2d(X2, 2, output_ratio=1.5)),
    (
        ValueError,
        "output_ratio must lie between",
        lambda: C.fractional_max_pool2d(X2, 2, output_ratio=(0.5, -1.0)),
    ),
    (ValueError, "output_ratio must leave an output", lambda: C.fractional_max_pool2d(X2, 2, output_ratio=0.01)),
    (ValueError, "indices must have the input's shape", lambda: C.max_unpool2d(X2, INDICES[:, :1], 2)),
    (
        ValueError,
        "padding must leave an output",
        lambda: C.max_unpool2d(X2, INDICES, 2, 1, 5),
    ),
    (
        ValueError,
        "must lie between 14 and 18",
        lambda: C.max_unpool2d(X2, INDICES, 2, output_size=(18, 16)),
    ),
    (ValueError, "output_size must have 2 or 4 entries", lambda: C.max_unpool2d(X2, INDICES, 2, output_size=(1, 2, 3))),
    (TypeError, "kernel_size must be an integer", lambda: C.max_pool2d(X2, 2.0)),
    (TypeError, "kernel_size must be an integer", lambda: C.max_pool2d(X2, None)),
    (TypeError, "kernel_size must be an integer", lambda: C.max_pool2d(X2, True)),
    (TypeError, "padding must be an integer", lambda: C.avg_pool2d(X2, 2, padding=0.5)),
    (TypeError, "ceil_mode must be True or False", lambda: C.max_pool2d(X2, 2, ceil_mode=1)),
    (TypeError, "return_indices must be True or False", lambda: C.max_pool2d(X2, 2, return_indices=None)),
    (TypeError, "input must be a tensor; received list", lambda: C.max_pool2d([1.0], 2)),
    (TypeError, "divisor_override must be an integer", lambda: C.avg_pool2d(X2, 2, divisor_override=2.5)),
    (TypeError, "norm_type must be a number", lambda: C.lp_pool1d(X1, "2", 2)),
    (TypeError, "indices must be a tensor of torch.int64", lambda: C.max_unpool2d(X2, INDICES.int(), 2)),
    (TypeError, "output_size must be a tuple", lambda: C.max_unpool2d(X2, INDICES, 2, output_size=16)),
    (TypeError, "output_ratio must be a number", lambda: C.fractional_max_pool2d(X2, 2, output_ratio="half")),
    (TypeError, "keepdim must be True or False", lambda: C.global_avg_pool2d(X2, keepdim=0)),
]


@pytest.mark.parametrize(("kind", "message", "call"), REFUSED, ids=[str(i) for i in range(len(REFUSED))])
def test_refused(kind: type[Exception], message: str, call) -> None:
    with pytest.raises(kind, match=message) as caught:
        call()
    assert isinstance(caught.value, RuntimeError)  # what torch raises for the same mistakes


SAMPLES = [
    ("must have shape", torch.zeros(1, 2, 1)),
    ("must have shape", torch.zeros(0, 2, 2)),
    ("must have the input's dtype", torch.zeros(1, 2, 2, dtype=torch.float64)),
    ("must be finite", torch.full((1, 2, 2), torch.nan)),
    ("must be finite", torch.full((1, 2, 2), torch.inf)),
    ("must be finite", torch.full((1, 2, 2), -torch.inf)),
]


@pytest.mark.parametrize(("message", "samples"), SAMPLES, ids=str)
def test_fractional_samples(message: str, samples: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=message):
        C.fractional_max_pool2d(X2, 2, 3, _random_samples=samples)
    if "dtype" not in message:
        with pytest.raises(ValueError, match=message):
            C.fractional_max_pool2d(X2.double(), 2, 3, _random_samples=samples.double())
