"""How long an epoch takes: ours and the same network in torch.nn, alternating in one process."""

from __future__ import annotations

import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

from convlayers import models
from convlayers.models.blocks import torch_block
from convlayers.train.classify import Settings, loader, optimiser
from convlayers.train.data import Examples


def _epoch(network: nn.Module, batches: list, settings: Settings) -> float:
    step = optimiser(network, settings)
    begin = time.perf_counter()
    for pictures, labels in batches:
        step.zero_grad()
        F.cross_entropy(network(pictures), labels).backward()
        step.step()
    return time.perf_counter() - begin


def seconds_per_epoch(name: str, examples: Examples, settings: Settings, rounds: int = 3) -> tuple[float, float]:
    """Median seconds of forward, backward and optimiser steps over the training part.

    Args:
        name: the network's name.
        rounds: epochs of each, in turn, after a tenth of one each to warm up.

    Returns:
        (ours, torch.nn's), both channels last, both on the same batches.
    """
    channels, classes = examples.preprocessing.channels, len(examples.classes)
    networks = [models.build(name, channels, classes), models.build(name, channels, classes, block=torch_block)]
    batches = [(x.contiguous(memory_format=torch.channels_last), y) for x, y in loader(examples, settings)]
    for network in networks:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        _epoch(network, batches[: max(1, len(batches) // 10)], settings)
    times = [[_epoch(network, batches, settings) for network in networks] for _ in range(rounds)]
    ours, theirs = (statistics.median(column) for column in zip(*times, strict=True))
    return ours, theirs
