"""A command opens a store once, reads it once, and renders what it shows once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from report_store import fill_search, fill_table

from semisweep import Store
from semisweep.store.snapshot import Snapshot
from semisweep.tables import rendering

Call = Callable[..., Any]
NAME = "rankmatch_agents"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count how often stores are opened and surveyed, trials read, and tables rendered."""
    counts: Counter[str] = Counter()

    def counted(where: Any, name: str, told: str) -> None:
        whole = getattr(where, name)

        def counting(*arguments: Any, **named: Any) -> Any:
            counts[told] += 1
            return whole(*arguments, **named)

        monkeypatch.setattr(where, name, counting)

    counted(Store, "open", "opened")
    counted(Store, "survey", "surveyed")
    counted(Snapshot, "__init__", "read")
    for name in ("to_markdown", "search_to_markdown"):
        counted(rendering, name, "rendered")
    return counts


@pytest.fixture
def finished(tmp_path: Path, tiny_shapes: Path) -> tuple[object, ...]:
    """Make a store whose study has finished; return the options that name it and its data."""
    fill_table(tmp_path / "store", NAME, tiny_shapes.parent)
    fill_search(tmp_path / "store", tiny_shapes.parent, trials=3)
    return ("--store", tmp_path / "store", "--data", f"shapes={tiny_shapes}")


def test_a_finished_run_opens_reads_and_renders_once(
    call: Call, finished: tuple[object, ...], asked: Counter[str]
) -> None:
    call("run", NAME, *finished)  # which also compacts what was filled in
    asked.clear()

    said = call("run", NAME, *finished)

    assert said.code == 0, said.error
    assert "table: " in said.out
    assert (asked["opened"], asked["read"], asked["rendered"]) == (1, 1, 1)
    assert asked["surveyed"] == 2  # to plan, and to show


@pytest.mark.parametrize("command", [("table", NAME), ("table", "rankmatch_search"), ("report",)])
def test_what_shows_a_store_opens_and_reads_it_once(
    call: Call, finished: tuple[object, ...], asked: Counter[str], command: tuple[str, ...]
) -> None:
    said = call(*command, *finished)

    assert said.code == 0, said.error
    assert (asked["opened"], asked["read"]) == (1, 1)
    assert asked["rendered"] == (1 if command[0] == "table" else 0)


def test_the_status_opens_and_surveys_once(
    call: Call, finished: tuple[object, ...], asked: Counter[str]
) -> None:
    said = call("status", *finished[:2])

    assert said.code == 0, said.error
    assert (asked["opened"], asked["surveyed"]) == (1, 1)
