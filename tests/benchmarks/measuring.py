"""Seconds and peak memory of one call, and the plain training step that they are scaled by."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

from semisweep import NetworkConfig
from semisweep.training.functional import supervised_loss

REPEATS = 5
ROUNDS = 15
RELEASED_STEP_SECONDS = 0.70  # of `plain_step`, where the released codes were measured


class Cost(NamedTuple):
    """What one call costs."""

    seconds: float  # median
    mebibytes: float  # of tensors made in the call, the most at a time


def measure(once: Callable[[], None]) -> Cost:
    """Return what a call costs after a first one."""
    once()
    return Cost(median(_seconds(once) for _ in range(REPEATS)), peak_mebibytes(once))


def shares(base: Callable[[], None], works: Sequence[Callable[[], None]]) -> list[float]:
    """Return each work's seconds as a share of the base's, the median over rounds of all of them.

    The machine is slower in one minute than in the next: what is compared has to be side by side.
    """
    found: list[list[float]] = [[] for _ in works]
    for work in (base, *works):
        work()
    for _ in range(ROUNDS):
        unit = _seconds(base)
        for taken, work in zip(found, works, strict=True):
            taken.append(_seconds(work) / unit)
    return [median(taken) for taken in found]


def _seconds(once: Callable[[], None]) -> float:
    started = time.perf_counter()
    once()
    return time.perf_counter() - started


def peak_mebibytes(once: Callable[[], None]) -> float:
    """Return the most memory that tensors made in a call hold at any one time."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        once()
    assert profiled.profiler is not None
    found: Any = profiled.profiler.kineto_results
    events = [event for event in found.events() if event.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most / 2**20


def plain_step() -> Callable[[], None]:
    """Return a supervised forward and backward pass: DeepLabV3+ ResNet-50, batch 2, crop 129."""
    network = NetworkConfig(backbone="resnet50", pretrained=False).build(21).train()
    made = torch.Generator().manual_seed(0)
    image = torch.randn(2, 3, 129, 129, generator=made)
    label = torch.randint(21, (2, 129, 129), generator=made)

    def once() -> None:
        network.zero_grad(set_to_none=True)
        supervised_loss("ce", network(image).logits, label).backward()  # type: ignore[no-untyped-call]

    return once


def judge(what: str, value: float, target: float) -> None:
    """Print whether a share of the release's cost is at most the target."""
    print(f"{what}: {value:.2f}, target {target:g}: {'met' if value <= target else 'MISSED'}")
