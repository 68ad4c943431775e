"""What a plan says of searches that have not chosen yet, before, amid and after them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tuned_study import STUDY, Tuned

from semisweep.running.cost_forecast import Forecast, forecast, to_text


@pytest.fixture
def place(tiny_shapes: Path, tmp_path: Path) -> Tuned:
    return Tuned(tiny_shapes, tmp_path)


def counts(place: Tuned, **more: object) -> tuple[Forecast, tuple[int, ...]]:
    """Return a forecast, and its wanted, finished, to run, to be suggested and following."""
    request = Tuned(place.request.roots.of("shapes"), Path(place.request.store), **more).request
    found = forecast([STUDY], request)  # type: ignore[list-item]
    state = found.plan
    told = (state.wanted, len(state.finished), len(state.missing))
    return found, (*told, found.suggested, found.following)


def test_before_anything_runs_both_are_counted(place: Tuned) -> None:
    found, told = counts(place)

    assert told == (3, 0, 3, 2 * 4, 2 * 3)
    assert found.estimate.unknown == 3 + 2 * 4 + 2 * 3
    lines = to_text(found, ["tuned"], "mini").splitlines()
    assert "searches      8 more trials, chosen as they go" in lines
    assert "tuned         6 replicates of the best that searches choose" in lines


def test_amid_a_search_what_is_left_of_it_is(place: Tuned) -> None:
    place.search(5)

    assert counts(place)[1] == (3 + 5, 5, 3, 3, 2 * 3)


def test_after_the_searches_the_replicates_are_the_tables_own(place: Tuned) -> None:
    place.search()
    found, told = counts(place)

    assert told == (9 + 8, 8, 9, 0, 0)
    assert "replicates of the best" not in to_text(found, ["tuned"], "mini")
    place.run()
    assert counts(place)[1] == (9 + 8, 17, 0, 0, 0)


def test_another_number_of_trials_is_planned_with(place: Tuned) -> None:
    place.run()

    assert counts(place, trials=6)[1] == (3 + 8, 11, 0, 2 * 2, 2 * 3)
    assert counts(place, draws=5)[1][3:] == (0, 0)
