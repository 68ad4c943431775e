"""What trials will cost: the measured seconds a step of their kind, times their steps.

A kind's rates are those of its finished trials, or of a probe. A range goes from the fastest to the
slowest of them, and somewhat beyond, for other work on a machine makes trials slower. Kinds
without a measurement are unknown, and left out of sums.
"""

from __future__ import annotations

import heapq
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

STARTUP_SECONDS = 20.0  # of Ray and the first slot, measured as 14 to 32 s on two CPU cores
SLACK_OF_ONE = 1.5  # beyond the only trial that was measured
SLACK = 1.2  # beyond the fastest and slowest of several


class Kind(NamedTuple):
    """What decides how long a step takes, as far as it is known before a trial runs."""

    method: str
    networks: str
    crop_pixels: int
    labelled_batch: int
    unlabelled_batch: int
    precision: str
    device: str
    workers: int


@dataclass(frozen=True, kw_only=True)
class MeasuredCost:
    """What a finished trial, or a probe, cost; `disk_bytes` and `memory_bytes` 0 for unknown."""

    kind: Kind
    steps: int
    seconds: float
    memory_bytes: float = 0.0  # of the largest process, at its peak
    disk_bytes: float = 0.0


class PlannedTrial(NamedTuple):
    """A trial that is to run."""

    kind: Kind
    steps: int


class Range(NamedTuple):
    """What is expected, and between which bounds."""

    low: float
    middle: float
    high: float

    def covers(self, truth: float) -> bool:
        """Return whether the truth lies within."""
        return self.low <= truth <= self.high


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What some trials will cost; None where nothing was measured of any."""

    seconds: Range | None  # from start to end, with `slots` at a time
    device_seconds: Range | None
    disk_bytes: float | None
    memory_bytes: float | None  # of the largest process
    known: int  # trials of kinds that were measured
    unknown: int  # which the numbers above leave out
    slots: int


def estimate(past: Sequence[MeasuredCost], wanted: Sequence[PlannedTrial], slots: int) -> Estimate:
    """Return what `wanted` will cost with `slots` trials at a time, in the order given."""
    rates = rates_of(past)
    known = [trial for trial in wanted if trial.kind in rates]
    bounds = [[trial.steps * rates[trial.kind][bound] for trial in known] for bound in range(3)]
    seconds = device = None
    if known:
        seconds = Range(*(STARTUP_SECONDS + makespan(own, slots) for own in bounds))
        workers = [trial.kind.workers for trial in known]
        device = Range(*(sum(map(operator.mul, own, workers)) for own in bounds))
    disk = _grouped(past, lambda own: own.disk_bytes)
    memory = _grouped(past, lambda own: own.memory_bytes)
    return Estimate(
        seconds=seconds,
        device_seconds=device,
        disk_bytes=sum(fmean(disk[trial.kind]) for trial in known if trial.kind in disk) or None,
        memory_bytes=max((max(memory.get(own.kind, [0.0])) for own in known), default=0) or None,
        known=len(known),
        unknown=len(wanted) - len(known),
        slots=slots,
    )


def rates_of(past: Iterable[MeasuredCost]) -> dict[Kind, Range]:
    """Return the seconds a step of each kind that was measured."""
    found = _grouped(past, lambda own: own.seconds / own.steps)
    return {kind: _range(rates) for kind, rates in found.items()}


def makespan(seconds: Sequence[float], slots: int) -> float:
    """Return when the last trial ends if each goes to the slot that is free first."""
    free = [0.0] * slots
    for trial in seconds:
        heapq.heapreplace(free, free[0] + trial)
    return max(free)


def _range(rates: Sequence[float]) -> Range:
    slack = SLACK if len(rates) > 1 else SLACK_OF_ONE
    return Range(min(rates) / slack, fmean(rates), max(rates) * slack)


def _grouped(
    past: Iterable[MeasuredCost], value: Callable[[MeasuredCost], float]
) -> dict[Kind, list[float]]:
    """Return what was measured of trials, by their kind; 0 is left out."""
    found: dict[Kind, list[float]] = {}
    for own in past:
        if value(own) > 0:
            found.setdefault(own.kind, []).append(value(own))
    return found
