"""Designs of every kind, by slow obvious rules, and random numbers of methods they take apart."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from random_tables import WIDE, noise
from random_tables import Kind as NoiseKind

from semisweep.statistics.contrast_estimates import Sums, as_evidence, estimates, own_bounds
from semisweep.statistics.design_contrasts import contrasts
from semisweep.statistics.design_effects import as_sums
from semisweep.statistics.verdicts import Flags, Numbers, judge
from semisweep.store.resolved_design import Design, Kind

Needs = Mapping[str, tuple[str, ...]]
NOISE = 2.0  # points: of a row in one unit
SHIFT = 2.0  # points: of a unit in all rows
NOTHING = 1e-9
Value = Callable[[frozenset[str]], float]  # of a set of switches that are on


def named(sets: Iterable[frozenset[str]]) -> dict[str, tuple[str, ...]]:
    """Return rows by the switches they have on, each once."""
    return {"+".join(sorted(own)) or "none": tuple(sorted(own)) for own in sets}


def admissible_sets(switches: Sequence[str], needs: Needs) -> list[frozenset[str]]:
    every = (itertools.combinations(switches, size) for size in range(len(switches) + 1))
    sets = (frozenset(own) for group in every for own in group)
    return [own for own in sets if all(set(needs.get(name, ())) <= own for name in own)]


def admissible_orders(switches: Sequence[str], needs: Needs) -> list[tuple[str, ...]]:
    return [
        order
        for order in itertools.permutations(switches)
        if all(set(needs.get(name, ())) <= set(order[:at]) for at, name in enumerate(order))
    ]


def closed(switch: str, needs: Needs) -> frozenset[str]:
    """Return a switch with all it needs."""
    more = (closed(need, needs) for need in needs.get(switch, ()))
    return frozenset({switch}).union(*more)


def design(
    kind: Kind,
    switches: Sequence[str] | str,
    needs: Needs | None = None,
    *,
    sampled: int = 0,
    seed: int = 0,
) -> Design:
    """Return a design; `sampled`: orders of Shapley values, in pairs where nothing has needs."""
    own_needs = dict(needs or {})
    switches = tuple(switches)
    full, none = frozenset(switches), frozenset[str]()
    orders: tuple[tuple[str, ...], ...] = ()
    every = 0
    if kind == "leave-one-out":
        without = ({own for own in full if name in closed(own, own_needs)} for name in switches)
        sets = [full, *(full - own for own in without)]
    elif kind == "one-in":
        sets = [none, *(closed(name, own_needs) for name in switches)]
    elif kind in ("cumulative", "path"):
        orders = (admissible_orders(switches, own_needs)[seed],)
        sets = [frozenset(orders[0][:at]) for at in range(len(switches) + 1)]
    elif kind == "shapley" and sampled:
        orders, every = sampled_orders(switches, own_needs, sampled, seed)
        sets = [frozenset(order[:at]) for order in orders for at in range(len(switches) + 1)]
    else:
        sets = admissible_sets(switches, own_needs)
    return Design(kind=kind, switches=switches, on=named(sets), needs=own_needs, orders=orders,
                  all_orders=every)  # fmt: skip


def sampled_orders(
    switches: Sequence[str], needs: Needs, count: int, seed: int
) -> tuple[tuple[tuple[str, ...], ...], int]:
    """Return orders drawn without repetition, with their reverses where nothing has needs."""
    numbers = np.random.default_rng(seed)
    if needs:
        every = admissible_orders(switches, needs)
        places = numbers.permutation(len(every))[:count]
        return tuple(every[place] for place in places), len(every)
    found: dict[tuple[str, ...], None] = {}
    while len(found) < count:
        order = tuple(str(name) for name in numbers.permutation(list(switches)))
        found |= dict.fromkeys((order, order[::-1]))
    return tuple(found), math.factorial(len(switches))


def half_fraction(switches: str, sign: int = 1) -> Design:
    """Return the half of a factorial in which the product of all, each 1 or -1, is `sign`."""
    every = admissible_sets(switches, {})
    sets = [own for own in every if (-1) ** (len(switches) - len(own)) == sign]
    names = [":".join(own) for size in (1, 2) for own in itertools.combinations(switches, size)]
    groups: dict[frozenset[str], list[str]] = {}
    for name in names:
        own = frozenset(name.split(":"))
        groups.setdefault(min(own, frozenset(switches) - own, key=sorted), []).append(name)
    aliases = tuple(tuple(group) for group in groups.values() if len(group) > 1)
    return Design(kind="factorial", switches=tuple(switches), on=named(sets), aliases=aliases,
                  resolution=len(switches))  # fmt: skip


def values(design: Design, value: Value) -> dict[str, float]:
    """Return what each row of a design is worth."""
    return {row: value(frozenset(own)) for row, own in design.on.items()}


def shapley_values(switches: Sequence[str], needs: Needs, value: Value) -> dict[str, float]:
    """Return Shapley values by their definition: the mean over all admissible orders."""
    orders = admissible_orders(switches, needs)
    found = dict.fromkeys(switches, 0.0)
    for order in orders:
        for at, name in enumerate(order):
            gain = value(frozenset(order[: at + 1])) - value(frozenset(order[:at]))
            found[name] += gain / len(orders)
    return found


class Claims(NamedTuple):
    """What is said of the effects of many tables, [T, K], and what is true of them, [K]."""

    truth: Numbers
    mean: Numbers
    low: Numbers
    high: Numbers
    helps: Flags
    harms: Flags
    negligible: Flags

    def covered(self) -> Flags:
        """Return which intervals have the truth."""
        return (self.low <= self.truth) & (self.truth <= self.high)

    def false(self, margin: float) -> Flags:
        """Return which verdicts are wrong: of the wrong sign, or negligible from the margin on."""
        wrong = (self.helps & (self.truth <= NOTHING)) | (self.harms & (self.truth >= -NOTHING))
        return np.asarray(wrong | (self.negligible & (np.abs(self.truth) >= margin)))


def draw(design: Design, value: Value, count: int, n: int, numbers: np.random.Generator, *,
         kind: NoiseKind = "normal", wide: int | None = None) -> Numbers:  # fmt: skip
    """Return numbers [T, R, n] of a design's rows: their worth, a shift of each unit, and noise.

    Noise and shift have a standard deviation of two points, a wide row's noise has ten.
    """
    worth = np.array(list(values(design, value).values()))
    own = noise(numbers, (count, len(worth), n), kind)
    if wide is not None:
        own[:, wide] *= WIDE
    return np.asarray(worth[:, None] + SHIFT * numbers.normal(size=(count, 1, n)) + NOISE * own)


def sums_of(design: Design) -> Sums:
    """Return the contrasts of a design as weights of all its rows, in their order."""
    places = {row: place for place, row in enumerate(design.on)}
    return as_sums(contrasts(design), places, len(places))


def claims(design: Design, table: Numbers, truth: Mapping[str, float], *, margin: float,
           alpha: float) -> Claims:  # fmt: skip
    """Return what is said of whole tables [T, R, n] at once, as `effects` does of one."""
    found = estimates(table, sums_of(design))
    tested = judge(as_evidence(found), margin=margin, alpha=alpha)
    low, high = own_bounds(found, alpha)
    true = np.array([truth[own.name] for own in contrasts(design)])
    return Claims(true, found.mean, low, high, tested.better, tested.worse, tested.equivalent)


def truths(design: Design, value: Value) -> dict[str, float]:
    """Return the contrasts of what rows are worth, or the exact Shapley values."""
    worth = values(design, value)
    if design.all_orders:
        return shapley_values(design.switches, design.needs, value)
    return {
        own.name: math.fsum(weight * worth[row] for row, weight in own.weights.items())
        for own in contrasts(design)
    }
