"""Networks that follow others as exponential moving averages, and the mode a teacher looks in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Literal, TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)

Buffers = Literal["average", "copy", "own"]


def frozen_copy(module: M) -> M:
    """Return a copy with equal weights that no optimizer and no gradient reaches."""
    return deepcopy(module).requires_grad_(False)


def warm_momentum(momentum: float, step: int) -> float:
    """Return min(1 - 1 / (step + 1), momentum): a young average forgets its start quickly."""
    return min(1 - 1 / (step + 1), momentum)


@torch.no_grad()
def follow(
    average: nn.Module, source: nn.Module, momentum: float, buffers: Buffers = "average"
) -> None:
    """Set average = momentum * average + (1 - momentum) * source, in place.

    Of the buffers (batch statistics), those of floating point are averaged too, copied, or, with
    "own", left as the average's own forward passes made them; counters are copied or left.
    """
    for parameter, new in zip(average.parameters(), source.parameters(), strict=True):
        parameter.lerp_(new, 1 - momentum)
    if buffers == "own":
        return
    for buffer, latest in zip(average.buffers(), source.buffers(), strict=True):
        if buffers == "average" and buffer.is_floating_point():
            buffer.lerp_(latest, 1 - momentum)
        else:
            buffer.copy_(latest)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Hold the module in evaluation mode inside the block; give each part its own mode back."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
