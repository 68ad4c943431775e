"""What a store says of studies and searches, and where the values of a method come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from resolved import search

from semisweep import Store
from semisweep.core.markdown import grid
from semisweep.store.resolved_search import Direction
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request
from semisweep.tables.rendering import (
    Reading,
    render,
    resolved_study,
    write,
)

METRIC = "last.val.miou"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def request(store: Path, **more: Any) -> Request:
    return Request(roots=Roots(store / "no data"), store=str(store), **more)


def search_with(store: Store, direction: Direction = "maximize") -> None:
    """Keep a search of three suggestions, of which the last has no result yet."""
    for key, score in (("aaaa", 0.4), ("bbbb", 0.6)):
        store.trial(key).complete({METRIC: score})
    named = {"name": "rankmatch_search", "title": "A search of tests"}
    kept = search(["aaaa", "bbbb", "cccc"], metric=METRIC, direction=direction, **named)
    store.write_study("rankmatch_search", "mini", kept)


def order(text: str) -> list[str]:
    return [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| #")]


@pytest.mark.parametrize(
    ("direction", "expected"),
    [("maximize", ["#1", "#0", "#2"]), ("minimize", ["#0", "#1", "#2"])],
)
def test_a_search_shows_the_best_first_and_what_is_missing_last(
    store: Store, direction: Direction, expected: list[str]
) -> None:
    search_with(store, direction)

    text = render(["rankmatch_search"], request(store.root))

    assert order(text) == expected
    assert "## A search of tests" in text
    assert "60.00" in text
    assert "missing" in text
    assert "2 of 3 suggested trials finished." in text


def test_a_search_that_was_never_run_is_empty(tmp_path: Path) -> None:
    text = render(["rankmatch_search"], request(tmp_path / "absent"))

    assert "0 of 0 suggested trials finished." in text


def test_searches_have_no_place_in_a_csv(store: Store) -> None:
    search_with(store)

    assert len(render(["rankmatch_search"], request(store.root), "csv").splitlines()) == 1


def test_a_study_that_was_never_run_shows_the_published_numbers(tmp_path: Path) -> None:
    text = render(["rankmatch_agents"], request(tmp_path / "absent"))

    for number in ("69.0", "71.6", "71.1", "69.9"):
        assert number in text


def test_what_was_run_is_shown_as_it_was_run(kept_store: Path) -> None:
    """Until the user asks for something else: then the study is resolved anew."""
    kept = Store.open(kept_store)
    stored = resolved_study("quickstart", request(kept_store, scale="paper"), kept)
    other = request(kept_store, scale="paper", changes={"training.epochs": 3})
    changed = resolved_study("quickstart", other, kept)

    assert stored.title == "A table of tests"
    assert changed.title.startswith("Quickstart")
    assert changed.changes == {"training.epochs": 3}


def test_failures_are_those_of_the_study(kept_store: Path) -> None:
    reading = Reading(["quickstart"], request(kept_store, scale="paper"))
    assert reading.failures() == ["bbbb: it broke"]


def test_the_written_table_is_the_shown_one(store: Store) -> None:
    asked = request(store.root)

    path = write("rankmatch_agents", asked, render(["rankmatch_agents"], asked))

    assert path == store.root / "tables" / "rankmatch_agents@mini.md"
    assert path.read_text() == render(["rankmatch_agents"], asked)


def test_columns_are_aligned() -> None:
    assert grid([["a", "long"], ["longer", "b"]]) == (
        "| a      | long |\n|--------|------|\n| longer | b    |\n"
    )
