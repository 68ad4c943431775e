"""What is said of the parts of a method, with all that can be wrong with its results."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import random_designs
from random_designs import Needs, claims, half_fraction, truths
from random_designs import design as designed

from semisweep.core.errors import ConfigError
from semisweep.statistics.design_effects import Effect, effects
from semisweep.statistics.power import further_replicates
from semisweep.store.resolved_design import Design, Kind

Results = dict[str, dict[str, float]]


def worth(own: frozenset[str]) -> float:
    """Return points: a helps by 8, b does so with a alone, c harms by 6, d does nothing."""
    return 60 + 8 * ("a" in own) + 8 * ({"a", "b"} <= own) - 6 * ("c" in own)


def results(design: Design, units: int = 5, noise: float = 0.5, seed: int = 0) -> Results:
    numbers = np.random.default_rng(seed)
    shift = numbers.normal(0, 2, units)
    return {
        row: {
            f"{unit}": own + shift[unit] + float(numbers.normal(0, noise)) for unit in range(units)
        }
        for row, own in random_designs.values(design, worth).items()
    }


def said(
    design: Design, rows: Results, margin: float = 1.0, alpha: float = 0.04
) -> dict[str, Effect]:
    found = effects(design, rows, margin=margin, alpha=alpha, next_alpha=0.01)
    return {own.name: own for own in found}


DESIGNS: list[tuple[Kind, str, Needs, int]] = [
    ("leave-one-out", "abcd", {}, 0), ("one-in", "abcd", {}, 0), ("cumulative", "abcd", {}, 0),
    ("path", "abcd", {"c": ("a",)}, 0), ("factorial", "abcd", {}, 0),
    ("factorial", "abcd", {"c": ("a",)}, 0), ("combinations", "abc", {}, 0),
    ("shapley", "abc", {}, 0), ("shapley", "abcd", {"b": ("a",)}, 0), ("shapley", "abcde", {}, 8),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "switches", "needs", "sampled"), DESIGNS)
def test_effects_have_their_names_signs_and_intervals(
    kind: Kind, switches: str, needs: Needs, sampled: int
) -> None:
    design = designed(kind, switches, needs, sampled=sampled)
    found = said(design, results(design, units=8, noise=0.2))
    true = truths(design, worth)

    assert list(found) == list(true)
    for name, own in found.items():
        allowed = 4 * (0.2 * math.sqrt(2 / 8) + own.order_std)
        assert own.mean == pytest.approx(true[name], abs=allowed)
        assert own.low < own.mean < own.high
        assert own.n == 8
        if abs(true[name]) > 4 and not own.order_std:
            assert own.verdict == ("helps" if true[name] > 0 else "harms")
            assert own.p < 0.04
            assert not own.within_margin
        if true[name] == 0:
            assert own.verdict in ("negligible", "inconclusive")
    assert "negligible" in {own.verdict for own in found.values()} or "d" not in found


@pytest.mark.parametrize(("kind", "switches", "needs", "sampled"), DESIGNS)
def test_they_are_what_is_simulated(kind: Kind, switches: str, needs: Needs, sampled: int) -> None:
    design = designed(kind, switches, needs, sampled=sampled)
    numbers = np.random.default_rng(0)
    tables = random_designs.draw(design, worth, 20, 4, numbers)
    expected = claims(design, tables, truths(design, worth), margin=1.0, alpha=0.04)
    compared = 0
    for index, table in enumerate(tables):
        rows = {row: {f"{u}": float(x) for u, x in enumerate(own)}
                for row, own in zip(design.on, table, strict=True)}  # fmt: skip
        found = said(design, rows)
        if "apart" in {own.verdict for own in found.values()}:
            continue
        for place, own in enumerate(found.values()):
            compared += 1
            assert (own.verdict == "helps") == expected.helps[index, place]
            assert (own.verdict == "harms") == expected.harms[index, place]
            assert (own.mean, own.low, own.high) == pytest.approx(
                (
                    expected.mean[index, place],
                    expected.low[index, place],
                    expected.high[index, place],
                )
            )

    assert compared > 40


def test_an_interaction_is_found_and_a_fraction_names_its_aliases() -> None:
    design = half_fraction("abcd")
    found = said(design, results(design))

    assert found["a:b = c:d"].verdict == "helps"
    assert found["a:b = c:d"].kind == "interaction"
    assert found["a:b = c:d"].aliases == ("c:d",)
    assert found["a:c = b:d"].verdict in ("negligible", "inconclusive")


def test_levels_are_of_one_effect_in_intervals_and_of_all_in_p() -> None:
    design = designed("leave-one-out", "abcd")
    rows = results(design, noise=2.0)
    found, wider = said(design, rows), said(design, rows, alpha=0.01)
    alone = said(Design(kind="leave-one-out", switches=("d",), on={"full": ("d",), "none": ()}),
                 {"full": rows["a+b+c+d"], "none": rows["a+b+c"]})  # fmt: skip

    assert wider["d"].low < found["d"].low < found["d"].high < wider["d"].high
    assert (alone["d"].low, alone["d"].high) == pytest.approx((found["d"].low, found["d"].high))
    assert alone["d"].p < found["d"].p


def test_what_is_open_says_how_many_units_a_verdict_takes() -> None:
    design = designed("leave-one-out", "abcd")
    found = said(design, results(design, noise=2.0))["d"]

    assert found.verdict == "inconclusive"
    assert found.further is not None
    assert 1 <= found.further.low <= found.further.high
    assert said(design, results(design, units=3, noise=2.0))["d"].further is None


def test_where_orders_are_most_of_the_doubt_further_units_are_no_help() -> None:
    design = designed("shapley", "abcdef", sampled=8)

    def three(own: frozenset[str]) -> float:
        return 60 + 12 * ({"a", "b", "c"} <= own)

    numbers = np.random.default_rng(0)
    rows = {
        row: {f"{unit}": x + float(numbers.normal(0, 0.5)) for unit in range(5)}
        for row, x in random_designs.values(design, three).items()
    }
    found = [own for own in said(design, rows).values() if own.order_std > 1]

    assert found
    assert {own.verdict for own in found} == {"inconclusive"}
    assert {own.further for own in found} == {None}


def test_rows_without_results_are_waited_for_and_count_in_the_family() -> None:
    design = designed("leave-one-out", "abcd")
    rows = results(design, noise=2.0)
    whole = said(design, rows)
    del rows["a+b+c"]
    rows["a+b+d"] = {"0": math.nan}
    found = said(design, rows)

    for name, row in (("d", "a+b+c"), ("c", "a+b+d")):
        assert found[name].verdict == "waits"
        assert found[name].missing == (row,)
        assert math.isnan(found[name].mean)
    assert found["a"].mean == pytest.approx(whole["a"].mean)
    none = said(design, {})
    assert {own.verdict for own in none.values()} == {"waits"}
    assert none["a"].missing == ("a+b+c+d", "b+c+d")


def test_units_that_a_row_lacks_are_left_to_least_squares() -> None:
    design = designed("factorial", "abc")
    rows = results(design, units=6)
    del rows["a"]["0"]
    rows["b"]["1"] = math.nan
    found = said(design, rows)

    assert {own.n for own in found.values()} == {4}
    assert found["a:b"].verdict == "helps"
    assert found["a:b"].mean == pytest.approx(8, abs=1)


@pytest.mark.parametrize("units", [1, 2])
def test_fewer_than_three_units_say_too_little(units: int) -> None:
    for kind in ("leave-one-out", "factorial"):
        design = designed(kind, "abc")  # type: ignore[arg-type]
        for own in said(design, results(design, units=units)).values():
            assert own.verdict == "too few"
            assert own.n == units
            assert math.isfinite(own.mean)
            assert all(math.isnan(x) for x in (own.low, own.high, own.p))
            assert math.isnan(own.std) == (units == 1)


def test_a_switch_that_never_did_anything_is_told() -> None:
    """Its rows are trained apart and equal, as the switch is not read; noise is counted once."""
    design = designed("factorial", "abd")
    half = Design(kind="factorial", switches=("a", "b"), on={"none": (), "a": ("a",), "b": ("b",),
                                                             "a+b": ("a", "b")})  # fmt: skip
    rows = results(half, noise=2.0)
    equal = {row: rows["+".join(name for name in own if name != "d") or "none"]
             for row, own in design.on.items()}  # fmt: skip
    found, alone = said(design, equal), said(half, rows)

    for name in ("d", "a:d", "b:d"):
        assert found[name].verdict == "identical"
        assert found[name].mean == 0
    for name in ("a", "b", "a:b"):
        for part in ("mean", "low", "high", "std"):
            assert getattr(found[name], part) == pytest.approx(getattr(alone[name], part))
        assert found[name].p >= alone[name].p


def test_a_row_that_is_equal_as_far_as_it_goes_is_identical_too() -> None:
    design = designed("leave-one-out", "abcd")
    rows = results(design)
    rows["a+b+c"] = {unit: rows["a+b+c+d"][unit] for unit in ("0", "1", "3")}
    found = said(design, rows)["d"]

    assert (found.verdict, found.mean, found.n) == ("identical", 0, 3)


def test_a_run_that_collapsed_is_named_and_others_are_judged_without_its_row() -> None:
    design = designed("leave-one-out", "abcd")
    rows = results(design, noise=0.2)
    before = said(design, rows)
    rows["b+c+d"]["2"] -= 40
    found = said(design, rows)

    assert found["a"].verdict == "apart"
    assert found["a"].apart == ("2",)
    assert found["a"].mean == pytest.approx(before["a"].mean + 8)
    assert math.isnan(found["a"].low)
    assert (found["b"].verdict, found["c"].verdict) == ("helps", "harms")
    assert before["d"].verdict == "negligible"
    assert found["d"].verdict == "inconclusive"  # as nothing is shown to be small beside such a run
    whole = designed("factorial", "abc")
    rows = results(whole)
    rows["a"]["0"] -= 40
    assert {own.verdict for own in said(whole, rows).values()} == {"apart"}


def test_signs_turn_with_the_numbers() -> None:
    design = designed("factorial", "abcd")
    rows = results(design, noise=1.5)
    turned = {row: {unit: -x for unit, x in own.items()} for row, own in rows.items()}
    found, other = said(design, rows), said(design, turned)
    sides = {"helps": "harms", "harms": "helps"}

    assert {"helps", "harms"} <= {own.verdict for own in found.values()}
    for name, own in found.items():
        assert other[name].verdict == sides.get(own.verdict, own.verdict)
        assert (other[name].mean, other[name].p) == pytest.approx((-own.mean, own.p))
        assert (other[name].low, other[name].high) == pytest.approx((-own.high, -own.low))


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"margin": 0.0}, "margin=0"),
        ({"margin": math.nan}, "margin=nan"),
        ({"alpha": 1.0}, "alpha=1"),
    ],
)
def test_wrong_levels_are_refused(change: dict[str, float], rule: str) -> None:
    design = designed("one-in", "ab")
    for rows in (results(design), {}):
        with pytest.raises(ConfigError, match=rule):
            said(design, rows, **change)


def test_units_to_come_are_those_of_a_paired_difference_with_that_noise() -> None:
    """Of a factorial of two the interaction has twice the variance of a difference of two rows."""
    design = designed("factorial", "ab")
    rows = results(design, units=6, noise=6.0, seed=4)
    found = said(design, rows)
    still = sum(own.verdict not in ("helps", "harms") for own in found.values())
    own = found["a:b"]
    values = np.array([list(own.values()) for own in rows.values()])
    rest = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
    std = math.sqrt((rest**2).sum() / 15)

    assert own.verdict == "inconclusive"
    assert own.further == further_replicates(
        own.mean, std * math.sqrt(2), 15, 6, rows=4, comparisons=still, margin=1.0, alpha=0.01
    )


def test_where_a_row_varies_far_more_they_are_by_its_own_differences() -> None:
    design = designed("leave-one-out", "abcdefghij")
    rows = results(design, units=6, noise=0.2)
    for unit, more in zip("012345", (-4, 3, -2, 4, -3, 1), strict=True):
        rows["a+b+c+d+e+f+g+h+i"][unit] += more
    found = said(design, rows)
    own, still = found["j"], sum(own.verdict not in ("helps", "harms") for own in found.values())

    assert own.verdict == "inconclusive"
    assert own.further == further_replicates(
        own.mean, own.std / math.sqrt(2), 5, 6, rows=11, comparisons=still, margin=1.0, alpha=0.01
    )


def test_one_number_that_is_equal_says_nothing() -> None:
    design = designed("one-in", "ab")
    found = said(design, {"none": {"0": 60.0}, "a": {"0": 60.0}, "b": {"0": 61.0}})

    assert [own.verdict for own in found.values()] == ["too few", "too few"]


def test_nothing_heavy_is_imported() -> None:
    script = "import sys, semisweep.statistics.design_effects; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "False"


def test_columns_share_the_level_and_intervals_are_as_they_are() -> None:
    design = designed("leave-one-out", "ab")
    rows = results(design, units=4, noise=1.0)
    alone = effects(design, rows, margin=1.0, alpha=0.04, next_alpha=0.01)
    of_five = effects(design, rows, margin=1.0, alpha=0.04, next_alpha=0.01, columns=5)
    strict = effects(design, rows, margin=1.0, alpha=0.008, next_alpha=0.002)

    assert [own.verdict for own in of_five] == [own.verdict for own in strict]
    assert [own.p for own in of_five] == pytest.approx([min(1, 5 * own.p) for own in strict])
    assert [(own.low, own.high) for own in of_five] == [(own.low, own.high) for own in alone]
