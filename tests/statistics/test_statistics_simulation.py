"""2,000 tables without any true effect, whose draws matter: how often is something claimed?

A table has a base row and five others, each trained with two seeds on each of up to twelve draws.
Draws move all rows of a table by much, each row by some more, and seeds add their own. Bounds are
those that a true rate of 5 % would exceed once in a thousand such simulations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
import resolved
from resolved import decoded
from scipy import stats

from semisweep.statistics.alpha_spending import Spending, level_at_look
from semisweep.statistics.verdicts import Judgement, Numbers, further_replicates, judge
from semisweep.tables.interim_analysis import MOST_ADDED
from semisweep.tables.table_builder import build

TABLES, ROWS, DRAWS, SEEDS = 2000, 6, 12, 2  # the first row is the base
MARGIN = 1.0
LOOKS = (3, 6, 12)  # draws at each
MOST = stats.binom.ppf(0.999, TABLES, 0.05)
LEAST = stats.binom.ppf(0.001, TABLES, 0.05)


def simulated(seed: int, truth: float = 0.0) -> Numbers:
    """Return the numbers [T, R, D, S] of tables in which all rows differ by `truth` to the base."""
    numbers = np.random.default_rng(seed)
    table = numbers.normal(0, 2, (TABLES, 1, DRAWS, 1))
    row = numbers.normal(0, 0.5, (TABLES, ROWS, DRAWS, 1))
    found = table + row + numbers.normal(0, 0.5, (TABLES, ROWS, DRAWS, SEEDS))
    found[:, 1:] += truth
    return np.asarray(found)


def summary(values: Numbers) -> tuple[Numbers, Numbers, int]:
    """Return mean, standard deviation and count of the draws on the last axis."""
    return values.mean(axis=-1), values.std(axis=-1, ddof=1), values.shape[-1]


def uncovered(values: Numbers, truth: float, alpha: float = 0.05) -> Any:
    """Return where the interval of the last axis leaves out the truth."""
    mean, std, n = summary(values)
    half = stats.t.ppf(1 - alpha / 2, n - 1) * std / np.sqrt(n)
    return np.abs(mean - truth) > half


def judged(values: Numbers, alpha: float = 0.05) -> Judgement:
    """Return the verdicts on all rows against the base from the draws [T, R, D]."""
    return judge(*summary(values[:, 1:] - values[:, :1]), margin=MARGIN, alpha=alpha)


@pytest.mark.parametrize("draws", [3, 5, 12])
def test_tables_without_an_effect_rarely_claim_one(draws: int) -> None:
    found = judged(simulated(draws).mean(axis=-1)[:, :, :draws])

    assert (found.better | found.worse).any(axis=1).sum() <= MOST


def test_without_holm_or_with_seeds_as_units_they_would() -> None:
    """The simulation can tell: each shortcut claims an effect in far more tables."""
    values = simulated(0)[:, :, :5]
    draws = values.mean(axis=-1)
    uncorrected = uncovered(draws[:, 1:] - draws[:, :1], 0)
    seeds = judged(values.reshape(TABLES, ROWS, -1))

    assert uncorrected.any(axis=1).sum() > 2 * MOST
    assert (seeds.better | seeds.worse).any(axis=1).sum() > 1.5 * MOST


@pytest.mark.parametrize("draws", [3, 5])
def test_intervals_leave_out_the_truth_as_often_as_they_say(draws: int) -> None:
    """Of each row's mean and difference; within a table they depend on each other."""
    values = simulated(10 + draws).mean(axis=-1)[:, :, :draws]

    for row in range(ROWS):
        assert LEAST <= uncovered(values[:, row], 0).sum() <= MOST
    for row in range(1, ROWS):
        assert LEAST <= uncovered(values[:, row] - values[:, 0], 0).sum() <= MOST


def test_tables_of_differences_as_large_as_the_margin_are_rarely_called_equivalent() -> None:
    for sign in (-1, 1):
        found = judged(simulated(20 + sign, sign * MARGIN).mean(axis=-1)[:, :, :5])

        assert found.equivalent.any(axis=1).sum() <= MOST


class Ended(NamedTuple):
    """What topping up ended in: by table a false claim at any look, by row a missing truth."""

    claimed: Any  # [T]
    missed: Any  # [T, R - 1]
    conclusive: float  # share of rows with a verdict at last


def topped_up(values: Numbers, levels: Sequence[float]) -> Ended:
    """Look at tables [T, R, D], train more draws for what is inconclusive, and look again.

    As in a table, every look judges all rows anew, those that were settled by their fewer draws.
    """
    differences = values[:, 1:] - values[:, :1]
    still = np.ones(differences.shape[:2], dtype=bool)
    mean, std, n = (np.zeros(differences.shape[:2]) for _ in range(3))
    missed, claimed = np.zeros_like(still), np.zeros(TABLES, dtype=bool)
    for draws, alpha in zip(LOOKS, levels, strict=True):
        grown = summary(differences[:, :, :draws])
        mean, std = np.where(still, grown[0], mean), np.where(still, grown[1], std)
        n = np.where(still, draws, n)
        missed |= still & uncovered(differences[:, :, :draws], 0, alpha)
        found = judge(mean, std, n, margin=MARGIN, alpha=alpha)
        claimed |= (found.better | found.worse).any(axis=1)
        still &= ~(found.better | found.worse | found.equivalent)
    return Ended(claimed, missed, float(1 - still.mean()))


@pytest.mark.parametrize("spending", ["pocock", "obrien-fleming"])
def test_looking_again_is_paid_for(spending: Spending) -> None:
    levels = [level_at_look(look, len(LOOKS), 0.05, spending) for look in (1, 2, 3)]

    ended = topped_up(simulated(30).mean(axis=-1), levels)

    assert ended.claimed.sum() <= MOST
    assert (ended.missed.sum(axis=0) <= MOST).all()
    assert ended.conclusive > 0.5


def test_looking_again_for_nothing_would_claim_and_miss_more() -> None:
    ended = topped_up(simulated(30).mean(axis=-1), [0.05] * len(LOOKS))

    assert ended.claimed.sum() > MOST
    assert ended.missed.sum(axis=0).mean() > MOST


def told(values: Numbers) -> tuple[Any, Any]:
    """Top tables [T, R, D] up as `run --top-up` does: by what the verdicts say, up to a cap a look.

    Returns where a look claimed something [3, T], and where the last interval leaves out 0.
    """
    differences = values[:, 1:] - values[:, :1]
    n = np.full(differences.shape[:2], LOOKS[0])
    claimed = []
    for alpha in (level_at_look(look, 3) for look in (1, 2, 3)):
        used = np.arange(DRAWS) < n[..., None]
        mean = (differences * used).sum(axis=-1) / n
        squares = (differences - mean[..., None]) ** 2 * used
        std = np.sqrt(squares.sum(axis=-1) / (n - 1))
        found = judge(mean, std, n, margin=MARGIN, alpha=alpha)
        differs = found.better | found.worse
        claimed.append(differs.any(axis=1))
        missed = np.abs(mean) > stats.t.ppf(1 - alpha / 2, n - 1) * std / np.sqrt(n)
        levels = [alpha / np.maximum(1, (~f).sum(axis=1)) for f in (differs, found.equivalent)]
        more = np.zeros_like(n)
        for t, row in zip(*np.nonzero(~(differs | found.equivalent)), strict=True):
            further = further_replicates(
                mean[t, row],
                std[t, row],
                int(n[t, row]),
                margin=MARGIN,
                alpha=levels[0][t],
                alpha_equivalent=levels[1][t],
                most=MOST_ADDED,
            )
            more[t, row] = further or MOST_ADDED
        n = np.minimum(n + more, DRAWS)
    return np.array(claimed), missed


def test_as_many_more_as_verdicts_ask_for_are_paid_for_too() -> None:
    """How many are added depends on what was seen; claims of all looks together count."""
    claimed, missed = told(simulated(50).mean(axis=-1))

    assert claimed.any(axis=0).sum() <= MOST
    assert claimed[-1].sum() <= MOST
    assert (missed.sum(axis=0) <= MOST).all()


def test_a_built_table_says_what_was_simulated() -> None:
    """The same numbers as trials of a store: intervals and verdicts agree, look by look."""
    values = simulated(40)[:40, :, :3]
    values[:, 2] += 15
    means = values.mean(axis=-1)
    expected = judged(means, level_at_look(1, 3))
    words = set()
    for table in range(40):
        cells = built(values[table])
        for row in range(1, ROWS):
            cell = cells[f"{row}", "only"]
            found = cell.decision
            assert found is not None
            claims = (found.verdict == "better", found.verdict == "worse", found.within_margin)
            flags = (expected.better, expected.worse, expected.equivalent)
            assert claims == tuple(flag[table, row - 1] for flag in flags)
            assert found.p == pytest.approx(expected.p[table, row - 1])
            difference = means[table, row] - means[table, 0]
            outside = not cell.delta_low <= 0 <= cell.delta_high
            assert outside == uncovered(difference, 0, level_at_look(1, 3))
            words.add(found.verdict)

    assert words >= {"better", "inconclusive"}


def built(values: Numbers) -> Any:
    """Return the cells of a table whose trials have these numbers [R, D, S]."""
    rows = [f"{row}" for row in range(ROWS)]
    results, cells = {}, []
    for row in rows:
        trials = {f"{d}/{s}": f"{row}-{d}-{s}" for d in range(3) for s in range(SEEDS)}
        for replicate, key in trials.items():
            draw, seed = map(int, replicate.split("/"))
            results[key] = {"miou": values[int(row), draw, seed] / 100}
        cells.append({"row": row, "column": "only", "trials": trials})
    study = {
        "format": 1,
        "name": "simulated",
        "base": "0",
        "metric": "miou",
        "margin": MARGIN,
        "look": 1,
        "looks": 3,
        "rows": [{"name": row} for row in rows],
        "columns": [{"name": "only"}],
        "cells": cells,
    }
    return build(decoded(study), resolved.results(results), {}).cells
