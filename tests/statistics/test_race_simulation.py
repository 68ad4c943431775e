"""Races on simulated tables: what they save, what they cost in power, how often they err.

A table has a base row and 4, 8 or 16 others (arms), whose numbers are a mean, what a replicate does
to all rows, and noise; a standard deviation (sd) is that of the noise. Stops and the finished table
are decided by the functions that a race and a table use.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy import stats

from semisweep.statistics.alpha_spending import level_at_look
from semisweep.statistics.decisions import column_noise, comparison, decide
from semisweep.statistics.race_stops import StoppingRule, looks_of

FALSE_VERDICTS = 0.055  # of tables, at most
KINDS = ("normal", "t3", "skewed")


class Ended(NamedTuple):
    """What became of a table: the verdict on each arm, and the trainings it took."""

    verdicts: tuple[str, ...]
    trainings: int


def noise(numbers: np.random.Generator, kind: str, shape: tuple[int, ...]) -> Any:
    """Return noise of mean 0 and variance 1; skewed is to the left, as of runs that go wrong."""
    if kind == "normal":
        return numbers.normal(size=shape)
    if kind == "t3":
        return numbers.standard_t(3, size=shape) / math.sqrt(3)
    return -(numbers.gamma(4, size=shape) - 4) / 2


def tables(
    seed: int,
    count: int,
    arms: int,
    replicates: int,
    ahead: Mapping[int, float] | None = None,
    kind: str = "normal",
    wide: int | None = None,
) -> Any:
    """Return tables [T, 1 + arms, replicates]; `ahead`: by how many sd rows differ from the base.

    The row `wide` has five times the spread of the others.
    """
    numbers = np.random.default_rng(seed)
    own = noise(numbers, kind, (count, arms + 1, replicates))
    if wide is not None:
        own[:, wide] *= 5
    for row, by in (ahead or {}).items():
        own[:, row] += by
    return 50 + own + numbers.normal(0, 2, (count, 1, replicates))


def ended(table: Any, *, raced: bool) -> Ended:
    """Return what becomes of one table [R, N], whose first row is the base, with a race or not."""
    rounds = [f"0/{seed}" for seed in range(table.shape[1])]
    rows = {str(row): dict(zip(rounds, own, strict=True)) for row, own in enumerate(table.tolist())}
    rule = StoppingRule(len(looks_of(rounds)), math.comb(len(rows), 2))
    counts = dict.fromkeys(rows, len(rounds))
    for count in looks_of(rounds) if raced else ():
        live = {
            row: {name: own[name] for name in rounds[:count]}
            for row, own in rows.items()
            if counts[row] == len(rounds)
        }
        counts |= {item.row: count for item in rule.behind(live, "0", rounds)}
    kept = {row: dict(list(own.items())[: counts[row]]) for row, own in rows.items()}
    spread = column_noise(kept, "0")
    others = [row for row in rows if row != "0"]
    level = level_at_look(1, raced=raced)
    found = decide(
        [
            comparison(row, "0", kept, spread, confirmatory=True)
            if counts[row] == len(rounds)
            else None
            for row in others
        ],
        margin=1e-9,
        alpha=level,
        next_alpha=level,
    )
    verdicts = ("stopped" if own is None else own.verdict for own in found)
    return Ended(tuple(verdicts), sum(counts.values()))


def saved(values: Any) -> float:
    """Return the share of trainings that races of these tables save."""
    whole = values[0].size
    return 1 - float(np.mean([ended(table, raced=True).trainings / whole for table in values]))


def found(values: Any, arm: int, *, raced: bool) -> float:
    """Return in which share of tables an arm is found to be better than the base row."""
    ends = [ended(table, raced=raced) for table in values]
    return float(np.mean([own.verdicts[arm - 1] == "better" for own in ends]))


def errs(values: Any) -> tuple[float, float]:
    """Return in which share of tables, of nothing true, a race claims something, and stops a row.

    The row it is behind has no more to be behind of: a stop is a claim.
    """
    ends = [ended(table, raced=True).verdicts for table in values]
    wrong = [any(word in ("better", "worse", "stopped") for word in own) for own in ends]
    return float(np.mean(wrong)), float(np.mean(["stopped" in own for own in ends]))


def bound(count: int) -> float:
    """Return the share that a true rate of 5.5 % would exceed once in a thousand simulations."""
    return float(stats.binom.ppf(0.999, count, FALSE_VERDICTS)) / count


def test_a_race_saves_trainings_and_costs_no_verdict() -> None:
    """The short form; the long one has more tables, arms, replicates and kinds of noise."""
    values = tables(1, 60, 8, 8, {8: 3.0, 7: 2.0})

    assert saved(tables(2, 60, 8, 8, {8: 3.0})) > 0.15
    for arm in (7, 8):
        assert found(values, arm, raced=True) >= found(values, arm, raced=False) - 0.05
    assert errs(tables(3, 100, 4, 8))[0] <= bound(100)


@pytest.mark.statistics
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("arms", "replicates", "least"), [
    (4, 8, 0.13), (8, 8, 0.18), (16, 8, 0.20), (4, 12, 0.20), (8, 12, 0.20), (16, 12, 0.20),
    (4, 5, 0.0), (8, 5, 0.0), (16, 5, 0.0),
])  # fmt: skip
def test_what_races_save_and_what_they_cost(arms: int, replicates: int, least: float) -> None:
    """One arm is 3 sd ahead, and a second 2. Of five replicates hardly anything can be saved."""
    share = saved(tables(1, 1000, arms, replicates, {arms: 3.0}))
    values = tables(2, 1000, arms, replicates, {arms: 3.0, arms - 1: 2.0})
    power = {
        arm: [found(values, arm, raced=raced) for raced in (False, True)]
        for arm in (arms, arms - 1)
    }
    print(f"{arms} arms, {replicates} replicates: {share:.1%} saved, power {power}")

    assert share >= least
    assert all(raced >= alone - 0.05 for alone, raced in power.values())


@pytest.mark.statistics
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wide", [None, 0, 1])
@pytest.mark.parametrize(("arms", "replicates"), [(4, 8), (8, 8), (16, 8), (8, 5), (8, 12)])
def test_races_of_nothing_true_rarely_claim_anything(
    arms: int, replicates: int, wide: int | None, kind: str
) -> None:
    """All spreads are equal, or the base row's (0) or an arm's (1) is five times the others'."""
    wrong, stopped = errs(tables(3, 2000, arms, replicates, {}, kind, wide))
    print(f"{arms} arms, {replicates} replicates, {kind}, {wide=}: {wrong:.2%}, {stopped:.2%}")

    assert wrong <= bound(2000)
