"""Freeing large files: what is needed stays, results always do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from resolved import cell, table

from semisweep import Store, export, history
from semisweep.running.cost_history import disk_bytes
from semisweep.store.garbage_collection import examine, free, size_text, summary


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Finished and unfinished trials, of which a study wants those called wanted."""
    made = Store.open(tmp_path / "store", create=True)
    for key in ("wanted", "lone", "wanted-unfinished", "lone-unfinished", "wanted-failed"):
        folder = made.trial(key)
        with folder.lock():
            folder.start_attempt()
        folder.append_history([{"step": 5, "loss": 0.5}])
        folder.write_weights("best", 3, b"best before")
        folder.write_checkpoint(4, b"state before")
        folder.write_weights("best", 5, b"best")
        folder.write_weights("last", 5, b"last")
        folder.write_checkpoint(5, b"state")
        if "-" not in key:
            folder.write_confusion("best-test", np.zeros((1, 2, 2), dtype=np.int64))
            folder.write_confusion("last-test", np.zeros((1, 2, 2), dtype=np.int64))
            folder.complete({"seed": 1})
            folder.write_checkpoint(5, b"left by a process killed just before it went")
    made.trial("wanted-failed").fail({"error": "no"})
    keys = ["wanted", "wanted-unfinished", "wanted-failed", "absent"]
    made.write_study("mine", "mini", table(cell(keys)))
    return made


def large(store: Store, key: str) -> list[str]:
    """Return the kinds of the files that a trial has and could do without, in order."""
    names = sorted(path.name for path in store.trial(key).path.iterdir())
    starts = ("checkpoint", "weights", "confusion")
    names = [name for name in names if name.startswith(starts) or name.endswith(".tmp")]
    return [
        name if name.endswith(".tmp") else "-".join(name.partition(".")[0].split("-")[:2])
        for name in names
    ]


def test_what_a_study_needs_stays_and_all_else_goes(store: Store) -> None:
    before = export(store), history(store).to_csv()
    unfinished = large(store, "wanted-unfinished")
    assert len(unfinished) == 5

    assert free(store, examine(store)) == []

    assert large(store, "wanted") == [
        *("confusion-best", "confusion-last", "weights-best", "weights-last")
    ]
    assert large(store, "wanted-unfinished") == large(store, "wanted-failed") == unfinished
    assert large(store, "lone") == large(store, "lone-unfinished") == []
    assert (export(store), history(store).to_csv()) == before
    assert store.trial("wanted").read_weights("best") == b"best"
    assert store.failures().keys() == {"wanted-failed"}
    assert all(item.kept for item in examine(store))


def test_examining_writes_nothing(store: Store) -> None:
    before = {path: path.stat().st_mtime_ns for path in store.root.rglob("*")}

    items = examine(store)

    assert {path: path.stat().st_mtime_ns for path in store.root.rglob("*")} == before
    found = {(item.path.parent.name, item.kept) for item in items}
    assert {("lone", False), ("wanted", True), ("wanted", False)} <= found
    assert ("lone", True) not in found
    assert all(item.size == item.path.stat().st_size for item in items)


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        (("best",), ["confusion-best", "weights-best"]),
        (("last",), ["confusion-last", "weights-last"]),
        ((), []),
    ],
)
def test_the_names_to_keep_can_be_chosen(
    store: Store, keep: tuple[str, ...], left: list[str]
) -> None:
    free(store, examine(store, keep))

    assert large(store, "wanted") == left
    assert len(large(store, "wanted-unfinished")) == 5


def test_a_trial_that_is_being_trained_keeps_everything(store: Store) -> None:
    torn = store.trial("lone-unfinished").path / "weights-last.0123.tmp"
    torn.write_bytes(b"half")
    with store.trial("lone-unfinished").lock():
        free(store, examine(store))
        assert len(large(store, "lone-unfinished")) == 6
        assert any("being trained" in line for line in summary(examine(store)))

    assert all(not item.kept for item in examine(store) if item.path == torn)


def test_a_trial_whose_training_began_meanwhile_is_left(store: Store) -> None:
    items = examine(store)
    with store.trial("lone-unfinished").lock():
        left = free(store, items)

    assert {item.path.parent.name for item in left} == {"lone-unfinished"}
    assert len(large(store, "lone-unfinished")) == 5
    assert large(store, "lone") == []


def test_weights_with_two_names_count_once(store: Store) -> None:
    folder = store.trial("equal")
    folder.write_weights("best", 5, bytes(2**20))
    folder.share_weights("last", "best", 5)
    folder.complete({"seed": 1})
    items = [item for item in examine(store) if item.key == "equal"]

    assert len(items) == 2
    assert size_text(items) == "1.0 MiB"
    assert disk_bytes(folder.path) < 1.1 * 2**20


def test_a_summary_says_how_much_and_why(store: Store) -> None:
    lines = summary(examine(store))

    assert [line.split()[0] for line in lines] == sorted(
        (line.split()[0] for line in lines), reverse=True
    )
    assert any("study mine@mini" in line and line.startswith("keep") for line in lines)
    assert any("that no study wants" in line and line.startswith("free") for line in lines)
    assert sum(int(line.split()[1]) for line in lines) == len(examine(store))
