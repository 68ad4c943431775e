"""Who is behind in a race: the base row never, nobody by a run of bad luck of a noisy row."""

from __future__ import annotations

import numpy as np
import pytest

from semisweep.statistics.race_stops import STOPPING, StoppingRule, in_rounds, looks_of

ROUNDS = [f"0/{seed}" for seed in range(8)]
RULE = StoppingRule(looks=3, pairs=6)
MEANS = {"base": 50.0, "good": 60.0, "close": 59.9, "bad": 40.0}


def values(seed: int = 0, replicates: int = 4, **wide: float) -> dict[str, dict[str, float]]:
    numbers = np.random.default_rng(seed)
    return {
        row: {
            name: mean + wide.get(row, 1.0) * float(numbers.normal(0, 0.3))
            for name in ROUNDS[:replicates]
        }
        for row, mean in MEANS.items()
    }


def behind(rows: dict[str, dict[str, float]], base: str = "base") -> set[str]:
    found = RULE.behind(rows, base, ROUNDS)
    assert all(item.delta < 0 and item.p <= RULE.level for item in found)
    return {item.row for item in found}


def test_rows_that_are_clearly_worse_are_behind_and_the_base_row_never() -> None:
    assert behind(values()) == {"bad"}
    assert behind(values(), "bad") == {"base"}
    assert behind(values(replicates=2)) == set()
    assert behind({"base": {}, "good": {}}) == set()
    assert behind({"good": values()["good"]}) == set()


def test_a_row_of_more_noise_than_others_needs_its_own_differences_to_say_it() -> None:
    assert behind(values(bad=12.0)) == set()
    assert behind(values(bad=12.0, replicates=8)) == {"bad"}


def test_looks_are_between_two_fifths_and_three_quarters_of_the_rounds() -> None:
    assert [looks_of(ROUNDS[:count]) for count in (3, 4, 6, 8)] == [[], [], [4], [4, 5, 6]]
    draws = in_rounds(["0/0", "0/1", "1/0", "1/1", "2/0", "2/1", "10/0", "10/1"])
    assert draws == ["0/0", "1/0", "2/0", "10/0", "0/1", "1/1", "2/1", "10/1"]
    assert looks_of(draws) == [4, 5, 6]
    assert looks_of(in_rounds(["0/0", "0/1", "0/2", "1/0", "1/1", "1/2"])) == []
    assert StoppingRule(looks=4, pairs=1).level == pytest.approx(STOPPING / 4)
