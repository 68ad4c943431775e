"""How often tables claim what is not there, in every way in which they are used.

The short form looks at the corners of what `make test-statistics` looks at in full. A rate is held
against 5.5 % and what chance adds to it in a simulation of its size (once in a thousand). What the
earlier rule did, each row's own t test after Holm with the whole level at every look, stands beside
it in what the long form prints.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import resolved
from random_tables import (
    MARGIN,
    Kind,
    Setting,
    Wide,
    claims,
    evidence,
    judged,
    old_claims,
    topped_up,
)
from resolved import decoded
from scipy import stats

from semisweep.statistics.alpha_spending import OPEN, level_at_look
from semisweep.statistics.intervals import interval
from semisweep.statistics.verdicts import Numbers, judge
from semisweep.tables.interim_analysis import MOST_ADDED
from semisweep.tables.table_builder import build

PROMISED = 0.055
KINDS: tuple[Kind, ...] = ("normal", "t3", "skewed")
SPREADS: tuple[Wide, ...] = ("none", "row", "base")
CORNERS = [
    Setting(3), Setting(12), Setting(6, "normal", "row"), Setting(12, "normal", "base"),
    Setting(12, "skewed", "base"), Setting(6, "skewed", "row"), Setting(6, "t3", "base"),
]  # fmt: skip


def everything(rows: Sequence[int] = (3, 6, 12)) -> Iterator[Setting]:
    for count, kind, wide in itertools.product(rows, KINDS, SPREADS):
        yield Setting(count, kind, wide)


def most(count: int, rate: float = PROMISED) -> float:
    """Return the share that a true rate exceeds once in a thousand simulations of this size."""
    return float(stats.binom.ppf(0.999, count, rate)) / count


def planned(setting: Setting, n: int, tables: int, looks: int) -> tuple[float, float]:
    """Return how many tables claim something at one look, now and by the earlier rule."""
    values = setting.draw(tables, n)
    found = claims(judged(values, level_at_look(1, looks))).any(axis=1)
    return float(found.mean()), float(old_claims(values, 0.05).any(axis=1).mean())


def raised(setting: Setting, n: int, tables: int) -> tuple[float, float]:
    """Return the same of tables whose seeds are raised three times by two: at any look."""
    values = setting.draw(tables, n + 6)
    now, before = np.zeros(tables, dtype=bool), np.zeros(tables, dtype=bool)
    look = 0
    for count in (n, n + 2, n + 4, n + 6):
        if count >= 3:  # else it was not judged, and no look
            look += 1
            found = judged(values[..., :count], level_at_look(look, OPEN))
            now |= claims(found).any(axis=1)
        before |= old_claims(values[..., :count], 0.05).any(axis=1)
    return float(now.mean()), float(before.mean())


def grown(setting: Setting, n: int, tables: int) -> float:
    """Return the same of tables that are topped up twice."""
    values = setting.draw(tables, n + 2 * MOST_ADDED)
    first = max(n, 3)
    levels = [level_at_look(look, OPEN) for look in (1, 2, 3)]
    return float(np.mean([topped_up(own, first, levels, MOST_ADDED)[0].any() for own in values]))


@pytest.mark.parametrize("setting", CORNERS, ids=str)
@pytest.mark.parametrize("n", [3, 5])
def test_tables_without_an_effect_rarely_claim_one(setting: Setting, n: int) -> None:
    for looks in (OPEN, 1):
        assert planned(setting, n, 4000, looks)[0] <= most(4000)


@pytest.mark.parametrize("setting", CORNERS, ids=str)
def test_nor_do_tables_whose_seeds_are_raised_three_times(setting: Setting) -> None:
    assert raised(setting, 3, 4000)[0] <= most(4000)


@pytest.mark.parametrize("setting", [Setting(6), Setting(6, "skewed", "base")], ids=str)
def test_nor_do_tables_that_are_topped_up_twice(setting: Setting) -> None:
    assert grown(setting, 3, 500) <= most(500)


def test_the_simulation_can_tell_what_is_not_paid_for() -> None:
    """Seeds raised with the whole level each time, and the pooled noise without confirmation."""
    _, before = raised(Setting(3), 3, 2000)
    values = Setting(6, "normal", "row").draw(2000, 3)
    own = evidence(values)
    trusting = judge(own._replace(own=own.own * 1e-9, base=own.base * 1e-9),
                     margin=MARGIN, alpha=0.05)  # fmt: skip

    assert before > 0.1
    assert claims(trusting).any(axis=1).mean() > 0.1


def test_tables_of_differences_as_large_as_the_margin_are_rarely_called_equivalent() -> None:
    for sign, n in itertools.product((-1, 1), (5, 12)):
        values = Setting(6).draw(2000, n) * 0.2
        values[:, 1:] += sign * MARGIN

        assert judged(values, 0.05).equivalent.any(axis=1).mean() <= most(2000)


def test_verdicts_find_more_than_they_did_with_few_replicates() -> None:
    """A row that is three standard deviations ahead, of six: the figures are the README's."""
    for n, least in ((3, 0.2), (5, 0.7)):
        values = Setting(6, effect=3.0).draw(4000, n)
        now = judged(values, level_at_look(1)).better[:, 0].mean()
        named = judged(values, level_at_look(1), comparisons=1).better[:, 0].mean()
        before = old_claims(values, 0.05)[:, 0].mean()

        assert now > max(least, before + 0.05)
        assert named > now


def covered(setting: Setting, n: int, tables: int) -> tuple[float, float]:
    """Return how often a row's interval has its mean, and all those of differences theirs."""
    values = setting.draw(tables, n)
    alpha = level_at_look(1)
    bounds = [interval(list(own[1]), 1 - alpha) for own in values]
    found = judged(values, alpha)
    inside = (found.low <= 0) & (found.high >= 0)
    return float(np.mean([low <= 70 <= high for low, high in bounds])), float(
        inside.all(axis=1).mean()
    )


@pytest.mark.parametrize("setting", [Setting(6), Setting(6, "t3", "row")], ids=str)
def test_intervals_have_the_truth_as_often_as_they_say(setting: Setting) -> None:
    alone, together = covered(setting, 3, 2000)

    assert alone >= 0.94
    assert together >= 1 - most(2000)


def test_a_built_table_says_what_was_simulated() -> None:
    """The same numbers as trials of a store: intervals and verdicts agree."""
    values = Setting(6).draw(40, 3)
    values[:, 2] += 9
    expected = judged(values, level_at_look(1))
    words = set()
    for table, own in enumerate(values):
        cells = built(own)
        for row in range(1, 6):
            cell = cells[f"{row}", "only"]
            found = cell.decision
            assert found is not None
            if found.verdict == "apart":
                continue
            verdicts = (found.verdict == "better", found.verdict == "worse")
            assert verdicts == tuple(f[table, row - 1] for f in (expected.better, expected.worse))
            assert found.p == pytest.approx(expected.p[table, row - 1])
            bounds = (expected.low[table, row - 1], expected.high[table, row - 1])
            assert (cell.delta_low, cell.delta_high) == pytest.approx(bounds)
            words.add(found.verdict)

    assert words >= {"better", "inconclusive"}


def built(values: Numbers) -> dict[tuple[str, str], object]:
    """Return the cells of a table whose trials have these numbers [R, n]."""
    rows = [f"{row}" for row in range(len(values))]
    results, cells = {}, []
    for row in rows:
        trials = {f"{d}/0": f"{row}-{d}" for d in range(values.shape[1])}
        for draw, key in enumerate(trials.values()):
            results[key] = {"miou": values[int(row), draw] / 100}
        cells.append({"row": row, "column": "only", "trials": trials})
    study = {
        "format": 1,
        "name": "simulated",
        "base": "0",
        "metric": "miou",
        "margin": MARGIN,
        "rows": [{"name": row} for row in rows],
        "columns": [{"name": "only"}],
        "cells": cells,
    }
    return dict(build(decoded(study), resolved.results(results), {}).cells)


def report(title: str, lines: Sequence[str]) -> None:
    print(f"\n{title}")
    print("\n".join(lines))


@pytest.mark.statistics
@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_no_way_of_use_errs_more_often_than_promised(n: int) -> None:
    tables, few = 10_000, 600
    failed: list[str] = []
    lines, worst = [], {"planned": 0.0, "one look": 0.0, "raised": 0.0, "topped up": 0.0}
    for setting in everything():
        found = {
            "planned": planned(setting, n, tables, OPEN) if n > 2 else (0.0, 0.0),
            "one look": planned(setting, n, tables, 1) if n > 2 else (0.0, 0.0),
            "raised": raised(setting, n, tables),
            "topped up": (grown(setting, n, few) if setting.rows < 12 or n < 5 else 0.0, 0.0),
        }
        worst = {name: max(own, found[name][0]) for name, own in worst.items()}
        told = ", ".join(f"{name} {100 * now:.1f}" for name, (now, _) in found.items())
        before = ", ".join(f"{name} {100 * found[name][1]:.1f}" for name in ("planned", "raised"))
        place = f"{setting.rows:2} rows {setting.kind:7} wide {setting.wide:5}"
        lines.append(f"{place} {told}; before: {before}")
        sizes = {name: few if name == "topped up" else tables for name in found}
        if any(now > most(sizes[name]) for name, (now, _) in found.items()):
            failed.append(lines[-1])
    told = ", ".join(f"{name} {100 * own:.1f}" for name, own in worst.items())
    report(f"n = {n}: false claims, % of tables", [*lines, f"   worst: {told}"])
    assert not failed


@pytest.mark.statistics
def test_power_beside_the_earlier_rule() -> None:
    lines = []
    for rows, n, effect in itertools.product((3, 6, 12), (3, 5, 10), (2.0, 3.0, 5.0)):
        values = Setting(rows, effect=effect).draw(10_000, n)
        now = judged(values, level_at_look(1)).better[:, 0].mean()
        named = judged(values, level_at_look(1), comparisons=2).better[:, 0].mean()
        before = old_claims(values, 0.05)[:, 0].mean()
        shares = f"before {100 * before:3.0f} %, now {100 * now:3.0f} %, "
        shares += f"two comparisons named {100 * named:3.0f} %"
        lines.append(f"{rows:2} rows n {n:2} effect {effect:g} sd: {shares}")
    report("power", lines)


@pytest.mark.statistics
def test_intervals_cover_at_least_so_much() -> None:
    lines = []
    for setting, n in itertools.product(everything((6,)), (3, 5, 10)):
        alone, together = covered(setting, n, 4000)
        lines.append(f"{setting.kind:7} wide {setting.wide:5} n {n:2}: mean {100 * alone:.1f} %, "
                     f"differences together {100 * together:.1f} %")  # fmt: skip
        assert alone >= 0.93, lines[-1]
        assert together >= 1 - most(4000), lines[-1]
    report("coverage at the first look (96 %)", lines)
