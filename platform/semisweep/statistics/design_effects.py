"""What each switch of a method adds, and how two interact: with intervals and verdicts.

All parts and interactions of a design are one family, which errs in at most `alpha` of designs:
`semisweep.statistics.verdicts.judge` tests each with the noise of all rows, and the differences in
single units, and the base row that all share, have to confirm it. Intervals are of one effect each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from semisweep.statistics.contrast_estimates import (
    NO_BASE,
    Estimates,
    Sums,
    as_evidence,
    estimates,
    own_bounds,
)
from semisweep.statistics.design_contrasts import Contrast, Kind, Weights, contrasts
from semisweep.statistics.intervals import FEWEST
from semisweep.statistics.power import Further, further_replicates
from semisweep.statistics.row_spread import apart, as_matrix, spread
from semisweep.statistics.verdicts import Evidence, Judgement, Numbers, check, judge
from semisweep.store.resolved_design import Design

Verdict = Literal[
    "helps", "harms", "negligible", "inconclusive",
    "too few",  # units of replication
    "apart",  # a run of its rows that is unlike all others does not allow a verdict
    "identical",  # equal in every unit: the switch never did anything
    "waits",  # for rows without a result
]  # fmt: skip
Rows = Mapping[str, Mapping[str, float]]  # row -> unit of replication -> percentage

TINY = 1e-12  # of a weight that is the sum of those of identical rows


class Effect(NamedTuple):
    """What is said of a part or an interaction, in percentage points."""

    name: str
    kind: Kind
    verdict: Verdict  # a proven effect goes before a negligible one
    mean: float = math.nan
    low: float = math.nan  # of its own interval at level 1 - alpha
    high: float = math.nan
    std: float = math.nan  # over units
    n: int = 0  # units that have all its rows
    p: float = math.nan  # of "there is no effect", corrected over the design
    within_margin: bool = False  # shown to be smaller than the margin, whatever the verdict
    further: Further | None = None  # units that a verdict would take
    order_std: float = 0.0  # what the sampling of orders adds to the standard error
    missing: tuple[str, ...] = ()  # rows that it waits for
    apart: tuple[str, ...] = ()  # units in which a run of its rows is unlike all others
    aliases: tuple[str, ...] = ()  # effects that it cannot be told from


class Table(NamedTuple):
    """Rows with results, one for all of those that are equal in every unit."""

    numbers: Numbers  # [R, U], NaN where a row lacks a unit
    places: Mapping[str, int]  # row -> its place; identical rows have the same
    apart: Mapping[int, tuple[str, ...]]  # place -> units that are unlike all others


def effects(
    design: Design,
    rows: Rows,
    *,
    margin: float,
    alpha: float,
    next_alpha: float,
    columns: int = 1,
) -> list[Effect]:
    """Return the effects of a design by the results of its rows, in the order of its contrasts.

    Units are draws, averaged over seeds, or seeds of one draw; numbers that are not finite count
    as not there, and rows without a number are waited for. `next_alpha` is the level of the next
    look, at which further units would be judged. `columns`: those that the design is trained in, of
    which each has its share of the levels (Bonferroni); intervals are of one effect nevertheless.
    Raises `ConfigError` unless the margin is positive and the level between 0 and 1.
    """
    check(margin, alpha)
    share = alpha / columns
    asked = contrasts(design)
    table = _table(design, rows)
    said = [_before_tests(own, table) for own in asked]
    left = [place for place, own in enumerate(said) if own is None]
    if not left:
        return [own for own in said if own is not None]
    even = [place for place in range(len(table.numbers)) if place not in table.apart]
    places = {row: even.index(at) for row, at in table.places.items() if at in even}
    sums = as_sums([asked[place] for place in left], places, len(even))
    found = estimates(table.numbers[even], sums)
    tested = judge(_for_all(as_evidence(found), left, len(asked)), margin=margin, alpha=share)
    tested = tested._replace(p=np.minimum(1.0, columns * tested.p))
    low, high = own_bounds(found, alpha)
    still = int((~(tested.better | tested.worse)).sum())
    for index, place in enumerate(left):
        own = _measured(asked[place], found, index)
        if own.verdict == "inconclusive":
            own = own._replace(low=float(low[index]), high=float(high[index]))
            own = _decided(own, tested, place, all_even=not table.apart)
        if own.verdict == "inconclusive":
            more = _further(found, index, len(even), still, margin, next_alpha / columns)
            own = own._replace(further=more)
        said[place] = own
    return [own for own in said if own is not None]


def as_sums(asked: Sequence[Contrast], places: Mapping[str, int], rows: int) -> Sums:
    """Return contrasts as weights of the places that their rows have in a table of so many."""
    return Sums(
        weights=_as_array([own.weights for own in asked], places, rows),
        base=np.array([places[own.base] if own.base else NO_BASE for own in asked], dtype=np.intp),
        orders=[_as_array(own.orders, places, rows) if own.orders else None for own in asked],
        sampled=[len(own.orders) / own.all_orders if own.orders else 1.0 for own in asked],
    )


def _as_array(weights: Sequence[Weights], places: Mapping[str, int], rows: int) -> Numbers:
    """Return weights [N, R]; those of identical rows, in one place, add up."""
    found = np.zeros((len(weights), rows))
    for index, own in enumerate(weights):
        for row, weight in own.items():
            found[index, places[row]] += weight
    found[np.abs(found) < TINY] = 0.0
    return found


def _table(design: Design, rows: Rows) -> Table:
    finite = {
        row: {unit: value for unit, value in rows.get(row, {}).items() if math.isfinite(value)}
        for row in design.on
    }
    kept: dict[str, Mapping[str, float]] = {}
    same: dict[tuple[tuple[str, float], ...], int] = {}
    places = {}
    for row, own in finite.items():
        if not own:
            continue
        # One number that is equal says nothing: such a row stays on its own.
        alike = tuple(sorted(own.items())) if len(own) > 1 else ((row, math.nan),)
        places[row] = same.setdefault(alike, len(same))
        kept.setdefault(f"{places[row]}", own)
    numbers, units = as_matrix(kept)
    flags = apart(spread(numbers)) if kept else np.zeros((0, 0), dtype=bool)
    lying = {
        place: tuple(units[unit] for unit in np.nonzero(own)[0])
        for place, own in enumerate(flags)
        if own.any()
    }
    return Table(numbers, places, lying)


def _before_tests(asked: Contrast, table: Table) -> Effect | None:
    """Return what is said of a contrast that is not tested; None of one that is."""
    missing = tuple(row for row in asked.weights if row not in table.places)
    plain = Effect(asked.name, asked.kind, "waits", missing=missing, aliases=asked.aliases)
    if missing:
        return plain
    (weights,) = _as_array([asked.weights], table.places, len(table.numbers))
    places = [table.places[row] for row in asked.weights]
    if not weights.any():
        n = int((~np.isnan(table.numbers[places])).all(axis=0).sum())
        return plain._replace(verdict="identical", mean=0.0, std=0.0, n=n)
    lying = dict.fromkeys(unit for place in places for unit in table.apart.get(place, ()))
    if not lying:
        return None
    whole = estimates(table.numbers, as_sums([asked], table.places, len(table.numbers)))
    return _measured(asked, whole, 0)._replace(verdict="apart", apart=tuple(lying))


def _measured(asked: Contrast, found: Estimates, index: int) -> Effect:
    """Return an effect before its test."""
    units = found.units[index]
    n = int(found.n[index])
    equal = n > 1 and not np.nan_to_num(units).any()
    return Effect(
        asked.name,
        asked.kind,
        "identical" if equal else "too few" if n < FEWEST else "inconclusive",
        mean=0.0 if equal else float(found.mean[index]),
        std=float(found.own[index]),
        n=n,
        order_std=float(found.order_std[index]),
        aliases=asked.aliases,
    )


def _decided(own: Effect, tested: Judgement, place: int, *, all_even: bool) -> Effect:
    """Return a tested effect; runs that lie apart leave no doubt-free "smaller than the margin"."""
    small = bool(tested.equivalent[place]) and all_even
    own = own._replace(p=float(tested.p[place]), within_margin=small)
    if tested.better[place] or tested.worse[place]:
        return own._replace(verdict="helps" if tested.better[place] else "harms")
    return own._replace(verdict="negligible") if small else own


def _for_all(found: Evidence, left: Sequence[int], count: int) -> Evidence:
    """Return evidence on all contrasts: those that are not tested have none, but count."""
    whole = []
    for part in found:
        numbers = np.full(count, math.nan)
        numbers[list(left)] = part
        whole.append(numbers)
    return Evidence(*whole)


def _further(
    found: Estimates, index: int, rows: int, comparisons: int, margin: float, alpha: float
) -> Further | None:
    """Return the units that a verdict would take; None where further orders would do more."""
    noise, n = float(found.noise[index]), int(found.n[index])
    if not found.order_std[index] <= noise:
        return None
    std, freedom = noise * math.sqrt(n / 2), float(found.noise_freedom)
    alone = float(found.own[index]) / math.sqrt(2)
    if alone > 2 * std:
        std, freedom = alone, n - 1
    return further_replicates(
        float(found.mean[index]), std, freedom, n,
        rows=max(rows, 2), comparisons=max(comparisons, 1), margin=margin, alpha=alpha,
    )  # fmt: skip
