"""Looking again: who gets how many further replicates, and what a table says of its looks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import resolved
from resolved import cell

from semisweep.core.errors import ConfigError
from semisweep.store.resolved_study import ResolvedStudy
from semisweep.tables.interim_analysis import (
    LOOKS,
    MOST_ADDED,
    InterimAnalysis,
    added,
    grown,
    kept_look,
    look_again,
)
from semisweep.tables.markdown_csv import to_markdown
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


VALUES = {
    "base": [60.0, 61.0, 62.0],
    "clear": [70.0, 71.1, 72.0],
    "close": [61.9, 62.0, 64.6],
    "noisy": [55.0, 68.0, 61.0],
}


def test_inconclusive_rows_get_what_their_verdict_says_up_to_a_cap() -> None:
    shown = table(VALUES)
    further = {place[0]: cell.decision.further for place, cell in shown.cells.items()
               if cell.decision is not None}  # fmt: skip

    assert further["clear"] is None
    assert further["noisy"] > MOST_ADDED
    assert added(shown) == {
        ("close", "one"): min(further["close"], MOST_ADDED),
        ("noisy", "one"): MOST_ADDED,
    }


def test_the_base_row_grows_with_the_longest_row_of_its_column() -> None:
    look = look_again(stored(VALUES), table(VALUES), None, missing=False)

    assert (look.look, look.looks) == (2, LOOKS)
    assert look.units["noisy", "one"] == look.units["base", "one"] == 3 + MOST_ADDED
    assert look.units["clear", "one"] == 3
    assert grown({("base", "a"): 2, ("x", "a"): 2}, {("x", "a"): 1}, "base") == {
        ("base", "a"): 3,
        ("x", "a"): 3,
    }


def test_a_row_with_a_single_replicate_gets_some_too() -> None:
    assert added(table({"base": [60.0], "row": [61.0]})) == {("row", "one"): MOST_ADDED}


def test_a_look_that_was_interrupted_goes_on() -> None:
    half = stored(VALUES, look=2, looks=3)

    found = look_again(half, table(VALUES, look=2, looks=3), None, missing=True)
    first = look_again(stored(VALUES), table(VALUES), None, missing=True)

    assert (found.look, found.looks) == (2, 3)
    assert (first.look, first.looks) == (1, 1)
    assert found.units == first.units == {(row, "one"): 3 for row in VALUES}


def test_nothing_inconclusive_is_no_further_look() -> None:
    decided = {"base": [60.0, 61.0, 62.0], "clear": [70.0, 71.1, 72.0]}

    found = look_again(stored(decided), table(decided), None, missing=False)
    assert (found.look, found.looks) == (1, 1)


def test_looks_are_as_many_as_were_planned() -> None:
    last = {"look": 3, "looks": 3}

    with pytest.raises(ConfigError, match="look=4, looks=3"):
        look_again(stored(VALUES, **last), table(VALUES, **last), None, missing=False)
    with pytest.raises(ConfigError, match="fixed before the first, got looks=5, planned=3"):
        kept_look(stored(VALUES, look=1, looks=3), 5)


def test_a_run_keeps_the_look_and_its_replicates() -> None:
    kept = kept_look(stored(VALUES, look=2, looks=3), None)

    assert kept.units == {(row, "one"): 3 for row in VALUES}
    assert (kept.look, kept.looks) == (2, 3)
    assert kept.stated(stored(VALUES)) == stored(VALUES, look=2, looks=3)
    assert kept_look(None, None).stated(stored(VALUES)) == stored(VALUES)
    assert kept_look(None, 2) == InterimAnalysis(looks=2)


@pytest.mark.parametrize("looks", [2, 3, 4])
def test_any_number_of_looks_above_one_was_planned(looks: int) -> None:
    kept = kept_look(stored(VALUES, look=2, looks=looks), None)

    assert (kept.look, kept.looks) == (2, looks)
    with pytest.raises(ConfigError, match=f"got looks=9, planned={looks}"):
        kept_look(stored(VALUES, look=2, looks=looks), 9)


def test_a_table_says_which_look_it_is_and_judges_at_its_share() -> None:
    single, second = table(VALUES), table(VALUES, look=2, looks=3)
    once, again = (shown.cells["clear", "one"] for shown in (single, second))

    assert "(look 2 of 3)" in to_markdown(second)
    assert "(look 1 of any number)" in to_markdown(single)
    assert again.high - again.low > once.high - once.low


def test_rows_with_more_replicates_are_compared_by_those_in_common() -> None:
    shown = table(VALUES | {"base": [60.0, 61.0, 62.0, 59.0], "noisy": [55.0, 68.0, 61.0, 60.0]})

    assert shown.cells["noisy", "one"].delta == pytest.approx(np.mean([-5, 7, -1, 1]))
    assert shown.cells["clear", "one"].delta == pytest.approx(np.mean([10, 10.1, 10]))
    assert shown.cells["base", "one"].n == 4


def test_a_top_up_without_a_run_is_refused(call: Call, refused: Check, tmp_path: Any) -> None:
    said = call("run", "gps_images", "--scale", "paper", "--top-up", "--store", tmp_path / "s")

    refused(said, "a top-up must follow a run")
