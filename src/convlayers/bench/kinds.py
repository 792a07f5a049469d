"""What kind of convolution a problem is: the groups in which kernels differ, and so their speed."""

from __future__ import annotations

import math

from convlayers.bench.problem import Problem

KINDS = (
    *("1x1", "3x3, stride 1, 64 channels or more", "other 2-D", "few channels", "1-D", "3-D", "dilated", "grouped"),
    *("depthwise 3x3", "depthwise 5x5 and 7x7", "depthwise larger", "depthwise 1-D", "depthwise 3-D"),
    *("depthwise dilated", "transposed"),
)
#: Input channels up to which a layer is one of few: the first of a network.
FEW = 4
#: Channels on either side from which a 3x3 counts among the large ones.
MANY = 64


def kind(problem: Problem) -> str:
    """One of :data:`KINDS`, by what matters most: transposed, then depthwise, groups, dilation, and so on.

    A convolution is depthwise where each group has one input channel, and there is more than one group.
    """
    if problem.transposed:
        return "transposed"
    if problem.groups > 1:
        return _depthwise(problem) if problem.groups == problem.in_channels else "grouped"
    if _dilated(problem):
        return "dilated"
    if math.prod(problem.kernel) == 1:
        return "1x1"
    if problem.in_channels <= FEW:
        return "few channels"
    if problem.rank != 2:
        return f"{problem.rank}-D"
    large = min(problem.in_channels, problem.out_channels) >= MANY
    return KINDS[1] if problem.kernel == (3, 3) and problem.stride == (1, 1) and large else "other 2-D"


def _depthwise(problem: Problem) -> str:
    if _dilated(problem):
        return "depthwise dilated"
    if problem.rank != 2:
        return f"depthwise {problem.rank}-D"
    widest = max(problem.kernel)
    return "depthwise 3x3" if widest <= 3 else "depthwise 5x5 and 7x7" if widest <= 7 else "depthwise larger"


def _dilated(problem: Problem) -> bool:
    return any(d > 1 and k > 1 for d, k in zip(problem.dilation, problem.kernel, strict=True))
