"""What tables say of variance and of effects over columns, in further notes alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from resolved import cell, table

from semisweep.store.trial_records import Result
from semisweep.tables.footnotes import further_notes, notes
from semisweep.tables.table_builder import build
from semisweep.tables.table_values import Table

EFFECTS = {"base": 0.0, "up": 5.0, "same": 0.0}


def made(
    draws: int, seeds: int, columns: Sequence[str], *, shared: bool = False, **more: Any
) -> Table:
    """Return a table whose rows differ by known effects; `shared`: columns are of one training."""
    numbers, cells, results = random.Random(0), [], {}
    for number, column in enumerate(columns):
        of_draw = [numbers.gauss(0, 3) for _ in range(draws)]
        for row, effect in EFFECTS.items():
            trials = {}
            for draw in range(draws):
                for seed in range(seeds):
                    key = f"{row}-{draw}-{seed}" + ("" if shared else f"-{number}")
                    trials[f"{draw}/{seed}"] = key
                    value = 60 + effect + of_draw[draw] + numbers.gauss(0, 0.5)
                    kept = results.get(key, Result(key, {}))
                    results[key] = Result(key, {**kept, f"m{number}": value / 100})
            cells.append(cell(trials, row, column, metric=f"m{number}"))
    return build(table(*cells, base="base", **more), results, {})


def lines(start: str, of: Table) -> list[str]:
    return [note for note in further_notes(of) if note.startswith(start)]


def test_variance_is_split_where_there_are_several_draws() -> None:
    (single,) = lines("Variance:", made(4, 1, ["one"]))
    (several,) = lines("Variance:", made(4, 2, ["one"]))

    assert "row by draw and seed" in single
    assert "mean squares" in single
    assert "seeds 0." in several
    assert "mixed model by REML" in several
    assert lines("Variance:", made(1, 4, ["one"])) == []
    assert not any(note.startswith("Variance:") for note in notes(made(4, 2, ["one"])))


def test_an_effect_is_summed_up_over_columns() -> None:
    head, up, same = lines("Over columns:", made(4, 1, ["one", "two", "three"]))

    assert "probability of improvement" in head
    assert up.startswith("Over columns: up: +5.")
    assert "over 3 columns; above in 100 % [" in up
    assert up.endswith("of 12 pairs.")
    low, high = (float(end) for end in same.partition("[")[2].partition("]")[0].split(", "))
    assert low < 0 < high
    assert lines("Over columns:", made(4, 1, ["one"])) == []


def test_columns_that_share_their_trials_are_no_blocks() -> None:
    head, up, _ = lines("Over columns:", made(4, 1, ["one", "two"], shared=True))

    assert "columns share their trials, so replicates are the unit" in head
    assert up.endswith("over 2 columns.")


@pytest.mark.parametrize("flag", [(), ("--notes",)])
def test_notes_are_printed_on_request(
    call: Callable[..., Any], tmp_path: Any, flag: tuple[str, ...]
) -> None:
    said = call("table", "rankmatch_agents", "--scale", "paper", "--store", tmp_path / "s", *flag)

    assert said.code == 0
    assert ("- Published: RankMatch, Table 7" in said.out) is bool(flag)
    assert "Noise" not in said.out
    assert sum(line.startswith("- ") for line in said.out.splitlines()) <= (3, 99)[bool(flag)]
