"""What trials will cost, from what earlier ones did: time, disk and memory with 80 % intervals.

The model: the logarithm of a trial's seconds a step is m_k + b_s + e. m_k is what its kind costs
(method, networks, crop, batches, precision, device, workers), b_s what all trials of one stretch of
work on a machine have in common (other load, heat), normal with deviation tau, and e the trial's
own, normal with deviation sigma. tau and sigma are estimated by moments, with a few degrees of
freedom of a prior, so that little history gives wide intervals: their draws are scaled inverse
chi-squared, which makes the intervals Student's t. Sums over trials are simulated: b is drawn once
for all, e for each, and trials are handed to slots in order.

A kind without history is guessed from kinds with the same networks, crop and batches, else from
the same method in proportion to the pixels of a batch, both with a wide prior; see `guessed`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Draws = npt.NDArray[np.float64]

COVERAGE = 0.8
DRAWS = 2000
SEED = 0
GAP_SECONDS = 1800.0  # without a trial, after which another stretch of work begins
STARTUP_SECONDS = 20.0  # of Ray and the first slot, measured as 14 to 32 s on two CPU cores
PRIOR_FREEDOM = 3.0
OWN_PRIOR, SHARED_PRIOR = 0.12, 0.2  # deviations of logarithms before anything was seen
SIZE_PRIOR = 0.04  # of disk and memory, which hardly vary
OTHER_METHOD, OTHER_SIZE = 0.6, 0.5  # what a guess from another kind adds


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

    @property
    def pixels(self) -> int:
        """Pixels of a step's images."""
        return self.crop_pixels**2 * (self.labelled_batch + self.unlabelled_batch)


@dataclass(frozen=True, kw_only=True)
class MeasuredCost:
    """What a finished trial, or a probe, cost; `disk_bytes` and `memory_bytes` 0 for unknown."""

    kind: Kind
    steps: int
    seconds: float
    ended: float  # seconds since 1970
    memory_bytes: float = 0.0  # of the largest process, at its peak
    disk_bytes: float = 0.0


class Wanted(NamedTuple):
    """A trial that is to run."""

    kind: Kind
    steps: int


class Range(NamedTuple):
    """An 80 % interval and the median."""

    low: float
    middle: float
    high: float

    def covers(self, truth: float) -> bool:
        """Return whether the truth lies within."""
        return self.low <= truth <= self.high


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What some trials will cost; None where history tells nothing of it."""

    seconds: Range | None  # from start to end, with `slots` at a time
    device_seconds: Range | None
    disk_bytes: Range | None
    memory_bytes: Range | None  # of the largest process
    known: int  # trials of kinds with history
    guessed: int  # of kinds like others that have some
    unknown: int  # which the numbers above leave out
    slots: int


class Level(NamedTuple):
    """What is known of one kind: the mean of logarithms, and the number behind it."""

    mean: float
    trials: float
    stretches: float
    extra: float = 0.0  # deviation of a guess


def estimate(past: Sequence[MeasuredCost], wanted: Sequence[Wanted], slots: int) -> Estimate:
    """Return what `wanted` will cost with `slots` trials at a time, in the order given."""
    import numpy as np

    times = {kind: own for kind, own in _levels(past).items()}
    levels = {trial.kind: times.get(trial.kind) or guessed(trial.kind, times) for trial in wanted}
    able = [trial for trial in wanted if levels[trial.kind] is not None]
    known = sum(trial.kind in times for trial in wanted)
    seconds = device = None
    if able:
        generator = np.random.default_rng(SEED)
        drawn = _seconds(able, {k: v for k, v in levels.items() if v}, past, generator)
        workers = np.array([trial.kind.workers for trial in able])
        device = _range((drawn * workers[:, None]).sum(axis=0))
        seconds = _range(STARTUP_SECONDS + _makespan(drawn, slots))
    return Estimate(
        seconds=seconds,
        device_seconds=device,
        disk_bytes=_sizes(past, wanted, "disk_bytes", largest=False),
        memory_bytes=_sizes(past, wanted, "memory_bytes", largest=True),
        known=known,
        guessed=len(able) - known,
        unknown=len(wanted) - len(able),
        slots=slots,
    )


def guessed(kind: Kind, known: Mapping[Kind, Level]) -> Level | None:
    """Return what a kind without history might cost, or None where nothing is like it."""
    same = [own.mean for other, own in known.items() if other._replace(method=kind.method) == kind]
    if same:
        mean = math.fsum(same) / len(same)
        spread = math.sqrt(math.fsum((value - mean) ** 2 for value in same) / max(1, len(same) - 1))
        return Level(mean, 1.0, 1.0, max(spread, OTHER_METHOD))
    like = [
        own.mean + math.log(kind.pixels / other.pixels)
        for other, own in known.items()
        if (other.method, other.networks, other.device) == (kind.method, kind.networks, kind.device)
    ]
    if like:
        return Level(math.fsum(like) / len(like), 1.0, 1.0, OTHER_SIZE)
    return None


def stretches(past: Sequence[MeasuredCost]) -> list[int]:
    """Return for each trial the number of the stretch of work that it is of."""
    order = sorted(range(len(past)), key=lambda index: past[index].ended)
    numbers, number, last = [0] * len(past), 0, -math.inf
    for index in order:
        trial = past[index]
        if trial.ended - trial.seconds - last > GAP_SECONDS:
            number += 1
        last = max(last, trial.ended)
        numbers[index] = number
    return numbers


def _levels(past: Sequence[MeasuredCost]) -> dict[Kind, Level]:
    numbers = stretches(past)
    found: dict[Kind, list[tuple[float, int]]] = {}
    for trial, number in zip(past, numbers, strict=True):
        value = math.log(trial.seconds / trial.steps)
        found.setdefault(trial.kind, []).append((value, number))
    return {
        kind: Level(
            math.fsum(value for value, _ in own) / len(own),
            float(len(own)),
            float(len({number for _, number in own})),
        )
        for kind, own in found.items()
    }


def _spreads(past: Sequence[MeasuredCost]) -> tuple[float, float, float, float]:
    """Return sigma^2 and tau^2 by moments, each with its degrees of freedom."""
    levels, numbers = _levels(past), stretches(past)
    by_stretch: dict[int, list[float]] = {}
    for trial, number in zip(past, numbers, strict=True):
        rest = math.log(trial.seconds / trial.steps) - levels[trial.kind].mean
        by_stretch.setdefault(number, []).append(rest)
    means = {number: math.fsum(own) / len(own) for number, own in by_stretch.items()}
    inner = math.fsum((value - means[n]) ** 2 for n, own in by_stretch.items() for value in own)
    freedom = max(0.0, float(len(past) - len(levels) - len(means) + 1))
    own = inner / freedom if freedom else 0.0
    outer_freedom = float(max(0, len(means) - 1))
    outer = math.fsum(mean**2 for mean in means.values()) / outer_freedom if outer_freedom else 0.0
    typical = len(past) / len(means) if means else 1.0
    return own, freedom, max(0.0, outer - own / typical), outer_freedom


def _seconds(
    wanted: Sequence[Wanted],
    levels: Mapping[Kind, Level],
    past: Sequence[MeasuredCost],
    generator: np.random.Generator,
) -> Draws:
    """Return draws [trials, DRAWS] of the seconds of each trial."""
    import numpy as np

    own, freedom, outer, outer_freedom = _spreads(past)
    sigma2 = _variance(own, freedom, OWN_PRIOR, generator)
    tau2 = _variance(outer, outer_freedom, SHARED_PRIOR, generator)
    shared = np.sqrt(tau2) * generator.standard_normal(DRAWS)
    means = {}
    for kind, level in levels.items():
        spread = sigma2 / level.trials + tau2 / level.stretches + level.extra**2
        means[kind] = level.mean + np.sqrt(spread) * generator.standard_normal(DRAWS) + shared
    result = np.empty((len(wanted), DRAWS))
    for index, trial in enumerate(wanted):
        noise = np.sqrt(sigma2) * generator.standard_normal(DRAWS)
        result[index] = trial.steps * np.exp(means[trial.kind] + noise)
    return result


def _variance(found: float, freedom: float, prior: float, generator: np.random.Generator) -> Draws:
    total = freedom + PRIOR_FREEDOM
    scale = (freedom * found + PRIOR_FREEDOM * prior**2) / total
    return scale * total / generator.chisquare(total, DRAWS)


def _makespan(seconds: Draws, slots: int) -> Draws:
    """Return when the last trial ends if each goes to the slot that is free first."""
    import numpy as np

    free = np.zeros((min(slots, len(seconds)), seconds.shape[1]))
    every = np.arange(seconds.shape[1])
    for trial in seconds:
        free[free.argmin(axis=0), every] += trial
    ends: Draws = free.max(axis=0)
    return ends


def _sizes(
    past: Sequence[MeasuredCost], wanted: Sequence[Wanted], name: str, *, largest: bool
) -> Range | None:
    """Return the sum, or the largest, of the sizes of all trials whose kind is known."""
    import numpy as np

    found: dict[tuple[str, ...], list[float]] = {}
    for trial in past:
        if getattr(trial, name) > 0:
            found.setdefault(_size_kind(trial.kind), []).append(math.log(getattr(trial, name)))
    counts: dict[tuple[str, ...], int] = {}
    for item in wanted:
        counts[_size_kind(item.kind)] = counts.get(_size_kind(item.kind), 0) + 1
    able = {kind: number for kind, number in counts.items() if kind in found}
    if not able:
        return None
    generator = np.random.default_rng(SEED)
    rest = [value - math.fsum(own) / len(own) for own in found.values() for value in own]
    freedom = float(max(0, len(rest) - len(found)))
    inner = math.fsum(value**2 for value in rest) / freedom if freedom else 0.0
    spread = np.sqrt(_variance(inner, freedom, SIZE_PRIOR, generator))
    total = np.zeros(DRAWS)
    for kind, number in able.items():
        mean = math.fsum(found[kind]) / len(found[kind])
        wide = spread * math.sqrt(1 + 1 / len(found[kind]))
        size = np.exp(mean + wide * generator.standard_normal(DRAWS))
        total = np.maximum(total, size) if largest else total + number * size
    return _range(total)


def _size_kind(kind: Kind) -> tuple[str, ...]:
    return (kind.method, kind.networks, str(kind.crop_pixels), kind.device)


def _range(draws: Draws) -> Range:
    import numpy as np

    tail = (1 - COVERAGE) / 2
    low, middle, high = np.quantile(draws, [tail, 0.5, 1 - tail]).tolist()
    return Range(low, middle, high)
