"""Networks that follow others as exponential moving averages, and the mode a teacher looks in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

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
    averaged = _pairs(average.parameters(), source.parameters())
    copied: Pairs = []
    if buffers != "own":
        for pair in _pairs(average.buffers(), source.buffers()):
            own = averaged if buffers == "average" and pair[0].is_floating_point() else copied
            own.append(pair)
    # One kernel for many tensors on a GPU; a CPU takes one after the other.
    for kind in {own.dtype for own, _ in averaged}:
        alike = [pair for pair in averaged if pair[0].dtype == kind]
        torch._foreach_lerp_([own for own, _ in alike], [new for _, new in alike], 1 - momentum)
    if copied:
        torch._foreach_copy_([own for own, _ in copied], [new for _, new in copied])


Pairs = list[tuple[Tensor, Tensor]]


def _pairs(average: Iterable[Tensor], source: Iterable[Tensor]) -> Pairs:
    return list(zip(average, source, strict=True))


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
