"""Axes of plots: from values to pixels, and where the ticks stand."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from sys import float_info

MARGIN = 0.06  # of the range of values, free at each end
LOG_RATIO = 8.0  # of the largest to the smallest value, from which on an axis is logarithmic

Tick = tuple[float, str]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis: what it shows, from where to where, and its ticks."""

    label: str
    low: float
    high: float
    ticks: tuple[Tick, ...]
    log: bool = False

    def at(self, value: float) -> float:
        """Return where a value stands: 0 at the low end, 1 at the high one, within these."""
        if self.log:
            if value <= 0:
                return 0.0
            low, high = math.log(self.low), math.log(self.high)
            share = (math.log(value) - low) / (high - low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return 0.0 if share < 0 else 1.0 if share > 1 else share


def value_axis(
    label: str,
    values: Iterable[float],
    *,
    count: int = 5,
    zero: bool = False,
    whole: bool = False,
) -> Axis:
    """Return an axis of round ticks around some values; those that are not finite do not count.

    `zero`: it reaches to 0; `whole`: ticks stand at whole numbers alone.
    """
    found = [value for value in values if math.isfinite(value)]
    low, high = (min(found), max(found)) if found else (0.0, 1.0)
    if zero:
        low, high = min(0.0, low), max(0.0, high)
    if low == high:
        low, high = low - 0.5, high + 0.5
    room = MARGIN * (high - low)
    low, high = low - (0 if zero and low == 0 else room), high + room
    return Axis(label=label, low=low, high=high, ticks=round_ticks(low, high, count, whole=whole))


def setting_axis(label: str, values: Iterable[float]) -> Axis:
    """Return an axis for values of a setting: a tick at each, logarithmic where they span much.

    Values that are not finite do not count.
    """
    found = sorted({value for value in values if math.isfinite(value)}) or [0.0]
    log = found[0] > 0 and found[-1] / LOG_RATIO >= found[0]
    if log or (found[0] > 0 and is_geometric(found)):
        ratio = math.log(found[-1]) - math.log(found[0])
        spread = math.exp(MARGIN * ratio) if len(found) > 1 else 2.0
        low, high, log = (
            max(found[0] / spread, float_info.min),
            min(found[-1] * spread, float_info.max),
            True,
        )
    else:
        room = MARGIN * (found[-1] - found[0]) or 0.5
        low, high = found[0] - room, found[-1] + room
    return Axis(
        label=label, low=low, high=high, log=log, ticks=tuple((v, number(v)) for v in found)
    )


def log_axis(label: str, values: Iterable[float]) -> Axis:
    """Return a logarithmic axis for positive values, with ticks at 1, 2 and 5 times powers of ten.

    At powers of ten alone where these are enough, at the ends where there are fewer than two.
    """
    whole = setting_axis(label, values)
    low, high = whole.ticks[0][0], whole.ticks[-1][0]
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 2, 5)):
        found = [factor * 10.0**power for power in powers for factor in factors]
        inside = [value for value in found if whole.low <= value <= whole.high]
        if len(inside) > 2:
            break
    chosen = inside if len(inside) > 1 else [low, high]
    ticks = tuple((value, number(value)) for value in chosen)
    return Axis(label=label, low=whole.low, high=whole.high, log=True, ticks=ticks)


def round_ticks(low: float, high: float, count: int, *, whole: bool = False) -> tuple[Tick, ...]:
    """Return about so many ticks at round numbers, or at `whole` ones, from `low` to `high`."""
    raw = (high - low) / max(1, count)
    raw = max(1.0, raw) if whole else raw
    power = 10.0 ** math.floor(math.log10(raw))
    factors = (1, 2, 5, 10) if whole else (1, 2, 2.5, 5, 10)
    step = next(factor * power for factor in factors if factor * power >= raw * 0.999)
    digits = max(0, (step / power == 2.5) - math.floor(math.log10(step) + 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(
        (index * step, tick_text(index * step, int(digits))) for index in range(first, last + 1)
    )


def tick_text(value: float, digits: int) -> str:
    """Return the text of a tick; thousands are written as k."""
    if digits == 0 and abs(value) >= 10_000:
        return f"{value / 1000:.4g}k"
    return f"{value + 0.0:.{digits}f}".replace("-", "−")


def number(value: float) -> str:
    """Return a number in four digits at most."""
    return f"{value:.4g}".replace("-", "−")


def is_geometric(values: Sequence[float]) -> bool:
    """Return whether positive, rising values have (nearly) one ratio, as 4, 8, 16 have."""
    ratios = [later / earlier for earlier, later in pairwise(values)]
    return len(ratios) > 1 and max(ratios) < 1.3 * min(ratios) and min(ratios) >= 1.8
