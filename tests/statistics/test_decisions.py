"""What is said of each comparison: words, families, replicates that were left out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from semisweep.statistics.decisions import (
    Decision,
    Rows,
    column_noise,
    comparison,
    decide,
    smallest_detectable,
)
from semisweep.statistics.power import detectable

BASE = "base"


def rows(shifts: dict[str, float], units: int = 5, scale: float = 0.2, seed: int = 0) -> Rows:
    numbers = np.random.default_rng(seed)
    shared = numbers.normal(70, 3, units)
    return {
        row: {
            f"{unit}": float(shared[unit] + shift + numbers.normal(0, scale))
            for unit in range(units)
        }
        for row, shift in {BASE: 0.0, **shifts}.items()
    }


def decisions(found: Rows, named: set[str] | None = None, **changed: float) -> dict[str, Decision]:
    others = [row for row in found if row != BASE]
    noise = column_noise(found, BASE)
    flags = [named is None or row in named for row in others]
    compared = [
        comparison(row, BASE, found, noise, confirmatory=flag)
        for row, flag in zip(others, flags, strict=True)
    ]
    levels = {"margin": 1.0, "alpha": 0.04, "next_alpha": 0.005, **changed}
    known = decide(compared, confirmatory=flags, **levels)
    return {row: own for row, own in zip(others, known, strict=True) if own is not None}


def test_the_four_verdicts() -> None:
    found = decisions(rows({"up": 5, "down": -5, "same": 0.02, "near": 0.55}, scale=0.3))

    words = {row: own.verdict for row, own in found.items()}
    assert words == {
        "up": "better", "down": "worse", "same": "equivalent", "near": "inconclusive",
    }  # fmt: skip
    assert [own.further is None for own in found.values()] == [True, True, True, False]
    assert found["up"].low > 0
    assert found["down"].high < 0


def test_a_difference_that_is_there_but_small_is_both() -> None:
    own = decisions(rows({"a": 0.5}, units=12, scale=0.1))["a"]

    assert (own.verdict, own.within_margin) == ("better", True)


def test_a_comparison_that_waits_is_none_and_counts() -> None:
    found = rows({"a": 1.0, "b": 0.0, "c": 0.0}, scale=0.5)
    noise = column_noise(found, BASE)
    own = comparison("a", BASE, found, noise, confirmatory=True)
    levels = {"margin": 1.0, "alpha": 0.05, "next_alpha": 0.01}
    alone, among = decide([own], **levels)[0], decide([own, None, None], **levels)

    assert alone is not None
    assert among[0] is not None
    assert among[0].p > alone.p
    assert among[1:] == [None, None]


def test_exploratory_rows_get_no_verdict_and_cost_the_others_nothing() -> None:
    shifts = {"named": 2.0, **{f"other {index}": 2.0 for index in range(6)}}
    found = rows(shifts, scale=0.6, units=10)
    few, all_named = decisions(found, {"named"}), decisions(found)

    assert few["named"].p <= all_named["named"].p
    assert few["named"].high < all_named["named"].high
    others = [own for row, own in few.items() if row != "named"]
    assert {own.verdict for own in others} == {"exploratory"}
    assert all(0 < own.p <= 1 for own in others)


def test_two_replicates_decide_nothing() -> None:
    own = decisions(rows({"a": 50.0}, units=2))["a"]

    assert own.verdict == "too few"
    assert math.isnan(own.low)


def test_equal_rows_that_were_trained_apart_are_identical() -> None:
    found = dict(rows({"a": 3.0}))
    found["b"] = dict(found[BASE])

    known = decisions(found)

    assert known["b"].verdict == "identical"
    assert known["a"].verdict == "better"


def test_a_row_that_is_another_one_twice_does_not_make_the_noise_surer() -> None:
    found = dict(rows({"a": 3.0, "b": 1.0}))
    once = column_noise(found, BASE)
    found["c"] = dict(found["b"])

    assert column_noise(found, BASE) == once


def test_a_run_that_collapsed_leaves_its_row_without_a_verdict_and_no_row_equivalent() -> None:
    whole = rows({"a": 5.0, "b": 0.02, "c": 4.0})
    assert decisions(whole)["b"].verdict == "equivalent"

    found = {row: dict(own) for row, own in whole.items()}
    found["c"]["3"] -= 40
    known = decisions(found)

    assert (known["c"].verdict, known["c"].apart) == ("apart", ("3",))
    assert known["a"].verdict == "better"
    assert known["b"].verdict == "inconclusive"


def test_a_base_row_that_collapsed_leaves_no_row_with_a_verdict() -> None:
    found = {row: dict(own) for row, own in rows({"a": 5.0, "b": 0.0, "c": 4.0}).items()}
    found[BASE]["0"] -= 40

    assert {own.verdict for own in decisions(found).values()} == {"apart"}


def test_no_comparison_has_no_decision() -> None:
    assert decide([], margin=1.0, alpha=0.05, next_alpha=0.01) == []


def test_the_smallest_detectable_difference_is_in_points() -> None:
    noise = column_noise(rows({"a": 1.0, "b": 2.0}), BASE)

    found = smallest_detectable(noise, 5, 2, 0.04)

    assert found == pytest.approx(noise.std * detectable(3, 5, 2, 0.04))
