"""Plans: what is wanted, what is there, and what would run."""

from __future__ import annotations

from pathlib import Path

import pytest
from resolved import cell, search, table

from semisweep import Store
from semisweep.store.resolved_study import ResolvedStudy
from semisweep.study.plan import plan


def wanting(*cells: dict[str, str]) -> ResolvedStudy:
    return table(*(cell(trials, row=f"row {index}") for index, trials in enumerate(cells)))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store in which a is finished, b failed, c failed and then finished, d was begun."""
    made = Store.open(tmp_path / "store", create=True)
    made.trial("a").complete({})
    made.trial("b").fail({"error": "no"})
    made.trial("c").fail({"error": "no"})
    made.trial("c").complete({})
    made.trial("d").start_attempt()
    made.trial("z").complete({})
    return made


def test_trials_are_finished_failed_or_missing(store: Store) -> None:
    found = plan([wanting({"0/0": "a", "0/1": "b"}, {"0/0": "c", "0/1": "d", "0/2": "e"})], store)

    assert (found.wanted, found.distinct, found.shared) == (5, 5, 0)
    assert found.finished == ("a", "c")
    assert found.failed == ("b",)
    assert found.missing == ("d", "e")


def test_equal_trials_run_once_for_all_cells_and_studies(store: Store) -> None:
    first = wanting({"0/0": "a", "0/1": "d"}, {"0/0": "d", "0/1": "a"})
    second = wanting({"0/0": "e", "0/1": "d"})

    found = plan([first, second], store)

    assert (found.wanted, found.distinct, found.shared) == (6, 3, 3)
    assert (found.finished, found.missing) == (("a",), ("d", "e"))


def test_without_a_store_everything_is_missing() -> None:
    found = plan([wanting({"0/0": "a", "0/1": "b"})], None)

    assert (found.finished, found.failed, found.missing) == ((), (), ("a", "b"))


def test_a_search_wants_what_it_has_suggested(store: Store) -> None:
    found = plan([search(["a", "e", "e"])], store)

    assert (found.wanted, found.finished, found.missing) == (3, ("a",), ("e",))
