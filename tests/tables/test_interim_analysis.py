"""Looking again: who gets how many further replicates, and what a table says of its looks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import designed
import numpy as np
import pytest
import resolved
from resolved import cell

from semisweep.statistics.alpha_spending import level_at_look
from semisweep.store.resolved_study import ResolvedStudy
from semisweep.tables.interim_analysis import MOST_ADDED, is_judged, shown_units, topped_up
from semisweep.tables.table_builder import build

Call = Callable[..., Any]
Check = Callable[..., None]


def stored(values: Mapping[str, list[float]], **more: Any) -> ResolvedStudy:
    """Return a resolved study of one column; a row's numbers stand for its keys."""
    cells = [cell([f"{row}-{s}" for s in range(len(own))], row) for row, own in values.items()]
    return resolved.table(*cells, **{"base": "base", "metric": "miou", **more})


def table(values: Mapping[str, list[float]], **more: Any) -> Any:
    results = {
        f"{row}-{s}": {"miou": value / 100}
        for row, own in values.items()
        for s, value in enumerate(own)
    }
    return build(stored(values, **more), resolved.results(results), {})


SEEDS, DRAWS = {"one": 1}, {"one": math.inf}  # how many draws there are
VALUES = {
    "base": [60.0, 61.0, 62.0],
    "clear": [70.0, 71.1, 72.0],
    "close": [61.9, 62.0, 64.6],
    "noisy": [55.0, 68.0, 61.0],
}


def test_undecided_rows_get_what_they_say_up_to_a_cap() -> None:
    more = {"base": [*VALUES["base"], 60.5], "clear": [*VALUES["clear"], 71.0]}
    shown = table(VALUES)
    assert topped_up(stored(VALUES), shown, SEEDS) == {
        ("base", "one"): (7,),
        ("clear", "one"): (3,),
        ("close", "one"): (7,),
        ("noisy", "one"): (7,),
    }
    near = {**more, "close": [60.3, 62.9, 64.1, 60.2]}
    further = table(near).cells["close", "one"].decision.further
    assert topped_up(stored(near), table(near), SEEDS)["close", "one"] == (
        4 + min(further.low, MOST_ADDED),
    )


def test_a_column_of_one_draw_gets_draws_in_all_rows_where_there_are_some() -> None:
    assert topped_up(stored(VALUES), table(VALUES), DRAWS) == {
        ("base", "one"): (3, 1, 1, 1, 1),
        ("clear", "one"): (3, 1, 1),
        ("close", "one"): (3, 1, 1, 1, 1),
        ("noisy", "one"): (3, 1, 1, 1, 1),
    }
    assert topped_up(stored(VALUES), table(VALUES), {"one": 4})["noisy", "one"] == (3, 1, 1, 1)
    assert topped_up(stored(VALUES), table(VALUES), {"one": 2})["noisy", "one"] == (7,)


def test_rows_of_too_few_units_get_three() -> None:
    single = {"base": [60.0], "row": [61.0]}

    assert topped_up(stored(single), table(single), SEEDS) == {
        ("base", "one"): (3,),
        ("row", "one"): (3,),
    }
    assert topped_up(stored(single), table(single), DRAWS)["row", "one"] == (1, 1, 1)


def test_exploratory_and_decided_rows_get_none() -> None:
    named = {"confirmatory": (("close", "one"),)}
    found = topped_up(stored(VALUES, **named), table(VALUES, **named), SEEDS)
    decided = {"base": [60.0, 61.0, 62.0], "clear": [70.0, 71.1, 72.0]}

    assert found["noisy", "one"] == found["clear", "one"] == (3,)
    assert found["base", "one"] == found["close", "one"] == (7,)
    assert topped_up(stored(decided), table(decided), DRAWS) == shown_units(stored(decided))


def test_a_table_is_judged_once_a_row_and_the_base_row_are_complete() -> None:
    study = stored(VALUES)
    base, close = ({f"{row}-{seed}" for seed in range(3)} for row in ("base", "close"))

    assert is_judged(study, base | close)
    assert not is_judged(study, base | {"close-0", "close-1", "noisy-2"})
    assert not is_judged(study, close)
    two = stored({row: own[:2] for row, own in VALUES.items()})
    assert not is_judged(two, set(two.keys))
    assert not is_judged(stored(VALUES, base=""), base | close)


@pytest.mark.parametrize("looks", [0, 3])
def test_a_table_judges_at_the_share_of_its_look(looks: int) -> None:
    first, second = (table(VALUES, look=look, looks=looks) for look in (1, 2))
    once, again = (shown.cells["clear", "one"] for shown in (first, second))

    assert second.level == level_at_look(2, looks)
    assert again.high - again.low > once.high - once.low


def test_rows_with_more_replicates_are_compared_by_those_in_common() -> None:
    shown = table(VALUES | {"base": [60.0, 61.0, 62.0, 59.0], "noisy": [55.0, 68.0, 61.0, 60.0]})

    assert shown.cells["noisy", "one"].delta == pytest.approx(np.mean([-5, 7, -1, 1]))
    assert shown.cells["clear", "one"].delta == pytest.approx(np.mean([10, 10.1, 10]))
    assert shown.cells["base", "one"].n == 4


def test_a_top_up_without_a_run_is_refused(call: Call, refused: Check, tmp_path: Any) -> None:
    said = call("run", "gps_images", "--scale", "paper", "--top-up", "--store", tmp_path / "s")

    refused(said, "a top-up must follow a run")


def test_all_rows_of_an_undecided_design_get_as_many_units() -> None:
    sets = [("a", "b"), ("b",), ("a",), ()]
    study = designed.study_of(designed.design("factorial", sets, ("a", "b")), confirmatory=())
    shown = designed.table_of(study, lambda on: 60 + 6 * ("a" in on), noise=1.0)
    verdicts = [own.verdict for own in shown.effects["one"]]
    assert "inconclusive" in verdicts

    found = topped_up(study, shown, DRAWS)

    assert len(set(found.values())) == 1
    assert 5 < len(next(iter(found.values()))) <= 5 + MOST_ADDED


def test_a_decided_design_gets_no_further_units() -> None:
    sets = [("a", "b"), ("b",), ("a",), ()]
    study = designed.study_of(designed.design("factorial", sets, ("a", "b")), confirmatory=())
    shown = designed.table_of(study, lambda on: 60 + 6 * ("a" in on), noise=0.05)
    assert [own.verdict for own in shown.effects["one"]] == ["helps", "negligible", "negligible"]

    assert topped_up(study, shown, DRAWS) == shown_units(study)
