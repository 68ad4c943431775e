"""What designs say of methods whose parts are known, over many random tables: with -s as a table.

Noise is that of mini scale: two points a run, and a shift of two points that all rows of a draw
share. "a" adds 3 points, "c" 1.5, "e" takes 2, "a" and "b" together add 5 more: 2.5 standard
deviations of the noise. "d" does nothing. Shapley values from sampled orders also have interactions
of three and four. Rates are held against what is promised and what chance adds to it in a
simulation of that size (once in a thousand). The short form draws few tables of each design.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest
from random_designs import (
    NOISE,
    Claims,
    Value,
    claims,
    design,
    draw,
    half_fraction,
    shapley_values,
    sums_of,
    truths,
)
from random_tables import Kind
from scipy import stats

from semisweep.statistics.contrast_estimates import as_evidence, estimates
from semisweep.statistics.verdicts import judge
from semisweep.store.resolved_design import Design

MARGIN, ALPHA = 1.0, 0.05
LEAST, MOST = 0.93, 0.97  # of intervals at 95 % that have the truth
POWER = 0.8
UNEQUAL = (
    0.07  # false verdicts where one row spreads five times as much, or noise is skewed as well
)
NEEDS = {"c": ("a",)}
DESIGNS: dict[str, Design] = {
    "leave-one-out": design("leave-one-out", "abcd"),
    "leave-one-out, needs": design("leave-one-out", "abcd", NEEDS),
    "one-in": design("one-in", "abcd"),
    "one-in, needs": design("one-in", "abcd", NEEDS),
    "cumulative": design("cumulative", "abcd"),
    "factorial 2^3": design("factorial", "abd"),
    "factorial 2^4": design("factorial", "abcd"),
    "factorial 2^4, needs": design("factorial", "abcd", NEEDS),
    "factorial 2^(5-1)": half_fraction("abcde"),
    "shapley, 3 exact": design("shapley", "abd"),
    "shapley, 4 exact, needs": design("shapley", "abcd", NEEDS),
}


class Noise(NamedTuple):
    """What runs vary by."""

    kind: Kind = "normal"
    wide: int | None = None  # the row that spreads five times as much

    def __str__(self) -> str:
        return self.kind if self.wide is None else f"{self.kind}, row {self.wide} of 5 sd"


EQUAL = Noise()
OTHERS = [Noise("normal", 0), Noise("normal", 1), Noise("skewed"), Noise("skewed", 0), Noise("t3")]


def nothing(own: frozenset[str]) -> float:
    return 60.0


def method(own: frozenset[str]) -> float:
    pair = {"a", "b"} <= own
    return 60 + 3 * ("a" in own) + 1.5 * ("c" in own) - 2 * ("e" in own) + 5 * pair


def deep_method(own: frozenset[str]) -> float:
    three = 4 * ({"a", "b", "c"} <= own) - 4 * ({"b", "e", "f"} <= own)
    return method(own) + three + 5 * ({"a", "c", "e", "f"} <= own)


class Rates(NamedTuple):
    """What share of intervals, tables and verdicts is right or wrong."""

    covered: Sequence[float]  # of each effect
    false: float  # tables with a wrong verdict
    dead: float  # tables that say that d helps or harms
    found: float  # tables that find a:b; NaN where the design cannot

    @classmethod
    def of(cls, parts: Sequence[Claims], names: Sequence[str]) -> Rates:
        covered = np.concatenate([own.covered() for own in parts])
        false = np.concatenate([own.false(MARGIN).any(axis=1) for own in parts])
        claimed = np.concatenate([own.helps | own.harms for own in parts])
        helps = np.concatenate([own.helps for own in parts])
        pair = names.index("a:b") if "a:b" in names else None
        return cls(
            covered=[float(x) for x in covered.mean(axis=0)],
            false=float(false.mean()),
            dead=float(claimed[:, names.index("d")].mean()),
            found=float("nan") if pair is None else float(helps[:, pair].mean()),
        )

    def __str__(self) -> str:
        covered = f"{100 * min(self.covered):5.1f} to {100 * max(self.covered):5.1f}"
        found = "  - " if np.isnan(self.found) else f"{100 * self.found:4.0f}"
        return f"{covered} | {100 * self.false:4.1f} | {100 * self.dead:4.1f} | {found}"


def least(count: int, rate: float) -> float:
    """Return the share that a true rate falls below once in a thousand simulations."""
    return float(stats.binom.ppf(0.001, count, rate)) / count


def most(count: int, rate: float) -> float:
    """Return the share that a true rate exceeds once in a thousand simulations."""
    return float(stats.binom.ppf(0.999, count, rate)) / count


def rates(own: Design, worth: Value, noise: Noise, n: int, tables: int) -> Rates:
    numbers = np.random.default_rng([n, worth is method])
    true = truths(own, worth)
    table = draw(own, worth, tables, n, numbers, kind=noise.kind, wide=noise.wide)
    return Rates.of([claims(own, table, true, margin=MARGIN, alpha=ALPHA)], list(true))


def sampled_rates(needs: bool, orders: int, n: int, samples: int) -> Rates:
    """Return the rates of Shapley values of six switches, each table with orders of its own."""
    numbers, every = np.random.default_rng(n), dict(NEEDS) if needs else {}
    true = shapley_values("abcdef", every, deep_method)
    parts = []
    for seed in range(samples):
        own = design("shapley", "abcdef", every, sampled=orders, seed=seed)
        table = draw(own, deep_method, 2, n, numbers)
        parts.append(claims(own, table, true, margin=MARGIN, alpha=ALPHA))
    return Rates.of(parts, list(true))


HEAD = "\ndesign, noise, units: intervals with the truth %, tables with a false verdict %, "
HEAD += "d matters %, a:b found %"


def check(name: str, noise: Noise, tables: int) -> list[str]:
    """Print what a design says; return what is not as promised."""
    failed = []
    print(HEAD)
    for n in (3, 5, 10):
        for told, worth in (("nothing", nothing), ("method", method)):
            found = rates(DESIGNS[name], worth, noise, n, tables)
            line = f"{name:24} {noise!s:20} {n:2} {told:8}| {found}"
            print(line)
            bad = found.false > most(tables, ALPHA if noise == EQUAL else UNEQUAL)
            bad |= found.dead > most(tables, ALPHA)
            if noise == EQUAL:
                bad |= min(found.covered) < least(tables, LEAST)
                bad |= max(found.covered) > most(tables, MOST)
                bad |= worth is method and n == 10 and found.found < POWER
            if bad:
                failed.append(line)
    return failed


def check_sampled(needs: bool, orders: int, samples: int) -> list[str]:
    """Do so of sampled orders: intervals are held to their promise on average over switches.

    Of few orders they miss a switch whose effect depends on two others more often: whether it came
    last of the three is nearly all that an order tells of it.
    """
    failed = []
    print(HEAD)
    for n in (3, 5, 10):
        found = sampled_rates(needs, orders, n, samples)
        name = f"shapley, {orders} orders of 6"
        line = f"{name:24} {'needs' if needs else '':20} {n:2} {'method':8}| {found}"
        average = float(np.mean(found.covered))
        print(f"{line}; on average {100 * average:.1f}")
        bad = not least(2 * samples, LEAST) <= average <= most(2 * samples, MOST)
        bad |= found.false > most(2 * samples, ALPHA)
        bad |= found.dead > most(2 * samples, ALPHA)
        if bad:
            failed.append(line)
    return failed


@pytest.mark.parametrize("name", DESIGNS)
def test_designs_say_what_is_true_of_a_method(name: str) -> None:
    assert not check(name, EQUAL, 2000)


@pytest.mark.parametrize("name", ["leave-one-out", "cumulative", "factorial 2^3"])
@pytest.mark.parametrize("noise", [Noise("normal", 0), Noise("skewed", 0)], ids=str)
def test_and_hardly_err_more_where_a_row_spreads_five_times_as_much(
    name: str, noise: Noise
) -> None:
    assert not check(name, noise, 2000)


@pytest.mark.parametrize("orders", [8, 16])
def test_nor_do_sampled_orders_say_more_than_they_know(orders: int) -> None:
    assert not check_sampled(False, orders, 200)


def test_the_simulation_can_tell_what_is_not_paid_for() -> None:
    """The noise of all rows alone errs where one spreads more, and no orders are all orders."""
    own = DESIGNS["leave-one-out"]
    numbers = np.random.default_rng(0)
    table = draw(own, nothing, 2000, 3, numbers, wide=0)
    found = estimates(table, sums_of(own))
    evidence = as_evidence(found)
    trusting = judge(
        evidence._replace(own=evidence.own * 1e-9, base=evidence.base * 1e-9),
        margin=MARGIN, alpha=ALPHA,
    )  # fmt: skip
    half = stats.t.ppf(0.975, found.freedom) * found.error

    assert (trusting.better | trusting.worse).any(axis=1).mean() > 0.1
    assert (np.abs(found.mean) <= half).mean() < LEAST

    true = shapley_values("abcdef", {}, deep_method)
    covered = []
    for seed in range(60):
        sampled = design("shapley", "abcdef", sampled=8, seed=seed)
        found = estimates(draw(sampled, deep_method, 2, 10, numbers), sums_of(sampled))
        half = stats.t.ppf(0.975, found.noise_freedom) * found.noise
        covered.append(np.abs(found.mean - np.array(list(true.values()))) <= half)

    assert np.mean(covered) < 0.8


def test_a_single_quadruple_of_runs_finds_less_than_a_whole_factorial() -> None:
    """The same interaction of 2.5 standard deviations, of which one quadruple knows the least."""
    small = rates(design("factorial", "abd", {"d": ("a", "b")}), method, EQUAL, 10, 2000)
    whole = rates(DESIGNS["factorial 2^3"], method, EQUAL, 10, 2000)

    assert NOISE * 2.5 == 5
    assert 0.65 < small.found < 0.9 < whole.found


@pytest.mark.statistics
@pytest.mark.parametrize("name", DESIGNS)
def test_every_design_is_right_as_often_as_promised(name: str) -> None:
    failed = [line for noise in (EQUAL, *OTHERS) for line in check(name, noise, 10_000)]

    assert not failed


@pytest.mark.statistics
@pytest.mark.parametrize("needs", [False, True])
@pytest.mark.parametrize("orders", [8, 12, 16])
def test_so_are_shapley_values_of_sampled_orders(needs: bool, orders: int) -> None:
    assert not check_sampled(needs, orders, 2000)
