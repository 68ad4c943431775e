"""Files of a store that are of another shape: one line that names the file, whoever reads it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow.parquet import write_table
from resolved import cell, search, table

from semisweep import Store
from semisweep.core.errors import StoreError
from semisweep.store.query import results
from semisweep.store.stopped_trial import read_rungs

Call = Callable[..., Any]
Check = Callable[..., None]
COMMANDS = {
    "table": ("table", "mine"),
    "status": ("status",),
    "report": ("report",),
    "compact": ("compact",),
    "gc": ("gc",),
    "diff": ("diff", "done", "runs"),
}
BROKEN = {
    "a study": ("studies/mine@mini.json", "a stored study must have format 1, got format=None"),
    "a result": ("trials/done/result.parquet", "a result must be one row, got 0 rows"),
    "a history": ("trials/runs/history.jsonl", "a line of a history must be a JSON object"),
    "a description": ("trials/runs/trial.json", "a description of a trial must have trial"),
}
# What a command does not read cannot stop it; what compaction cannot read it leaves out.
UNREAD = {
    ("a study", "diff"),
    ("a result", "gc"),
    *(("a history", name) for name in ("table", "compact", "gc", "diff")),
    *(("a description", name) for name in ("table", "report", "compact", "gc")),
}
LEFT_OUT = {("a result", "compact")}
# A damaged trial is named and left out, the others are shown.
NAMED = {("a result", "table"), ("a result", "report"), ("a history", "report")}


def broken(store: Store, what: str) -> Path:
    """Put another content in the place of a file, and return its path."""
    path = Path(str(store.root)) / BROKEN[what][0]
    if what == "a result":
        write_table(pa.table({"key": pa.array([], pa.string())}), path)
    else:
        path.write_text("[1]\n" if what == "a history" else "{}")
    return path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store of a study whose first trial has finished and whose second has begun."""
    made = Store.open(tmp_path / "store", create=True)
    for key in ("done", "runs"):
        made.trial(key).start_attempt()
        made.trial(key).describe({"format": 1, "trial": {"training": {"steps": 9}}})
        made.trial(key).append_history([{"step": 3, "val.miou": 0.5}])
    made.trial("done").complete({"last.test.miou": 0.5, "run.seconds": 1.0})
    made.write_study("mine", "mini", table(cell(["done", "runs"]), name="mine"))
    return made


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("what", BROKEN)
def test_a_file_of_another_shape_is_one_line_that_names_it(
    store: Store,
    call: Call,
    refused: Check,
    caplog: pytest.LogCaptureFixture,
    what: str,
    command: str,
) -> None:
    path = broken(store, what)
    with store.trial("runs").lock():
        said = call(*COMMANDS[command], "--store", store.root)

    if (what, command) in UNREAD:
        assert (said.code, said.error) == (0, "")
    elif (what, command) in LEFT_OUT:
        assert said.code == 0
        assert said.error.startswith(f"left out: done: {BROKEN[what][1]}")
        assert said.error.count("\n") == said.error.count(str(path)) == 1
    elif (what, command) in NAMED:
        assert said.code == 0
        (text,) = caplog.messages
        assert text.startswith(f"left out: {path.parent.name}: {BROKEN[what][1]}")
        assert f"path={path}" in text
    else:
        refused(said, BROKEN[what][1], f"path={path}")


def test_a_history_that_is_no_objects_is_left_out_of_compaction(store: Store, call: Call) -> None:
    path = Path(str(store.root)) / "trials" / "done" / "history.jsonl"
    path.write_text('{"step": 1}\n[1]\n')

    said = call("compact", "--store", store.root)

    assert said.code == 0
    assert said.error == (
        f"left out: done: a line of a history must be a JSON object, got [1], path={path}\n"
    )


CELL = {"row": "a", "column": "b", "trials": {}}
STUDY = {"format": 1, "name": "s", "metric": "m", "rows": [], "columns": [], "cells": [CELL]}
SUGGESTION = {"number": 0, "params": {}, "key": "k"}
SEARCH = {"format": 1, "kind": "search", "name": "s", "metric": "m", "direction": "maximize",
          "trials": [SUGGESTION]}  # fmt: skip


@pytest.mark.parametrize(
    ("study", "told"),
    [
        (STUDY | {"format": 2}, "format=2"),
        (STUDY | {"kind": "race"}, "must have kind, table or search, got 'race'"),
        (STUDY | {"name": 3}, "must have name, a text, got 3"),
        (STUDY | {"cells": {}}, "must have cells, a list, got {}"),
        (STUDY | {"cells": [1]}, "a cell of a stored study must be a JSON object, got 1"),
        (
            STUDY | {"cells": [CELL | {"trials": {"0/0": 1}}]},
            "have trials, an object of texts",
        ),
        (
            STUDY | {"cells": [CELL | {"published": "70"}]},
            "have published, a number, got '70'",
        ),
        (STUDY | {"rows": [{}]}, "a row of a stored study must have name, a text, got none"),
        (STUDY | {"notes": [1]}, "must have notes, a list of texts"),
        (STUDY | {"race": {}}, "a race of a stored study must have alpha, a number, got none"),
        (SEARCH | {"direction": "up"}, "must have direction, maximize or minimize, got 'up'"),
        (
            SEARCH | {"trials": [{"key": "k", "number": 0}]},
            "a suggestion of a stored search must have params",
        ),
        (
            SEARCH | {"halving": {"rungs": [2]}},
            "halving of a stored search must have reduction",
        ),
        (SEARCH | {"space": {"a": 1}}, "must have a, an object, got 1"),
        (SEARCH | {"front": ["x"]}, "must have front, a list of whole numbers"),
    ],
)
def test_every_field_of_a_study_is_what_it_must_be(
    store: Store, study: dict[str, Any], told: str
) -> None:
    path = Path(str(store.root)) / "studies" / "mine@mini.json"
    path.write_text(json.dumps(study))

    with pytest.raises(StoreError) as raised:
        store.read_study("mine", "mini")
    assert told in str(raised.value)
    assert f"path={path}" in str(raised.value)


def test_a_decision_at_a_rung_is_decoded_likewise(store: Store) -> None:
    path = Path(str(store.root)) / "trials" / "runs" / f"rung-00000003-{'0' * 12}.json"
    path.write_text('{"search": "s", "step": 3, "rung": 0.5, "value": null, "stop": "no"}')

    with pytest.raises(StoreError, match="a decision at a rung must have stop, true or false"):
        read_rungs(store.trial("runs"))


def test_a_number_that_is_a_text_is_told_with_its_trial_and_left_out(
    store: Store, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    store.trial("late").complete({"last.test.miou": "high", "run.seconds": 2.0})
    store.write_study("mine", "mini", table(cell(["done", "late"]), name="mine"))

    said = call("table", "mine", "--store", store.root)

    assert said.code == 0
    assert "50.0 (1 of 2)" in said.out
    (text,) = caplog.messages
    assert text == (
        "left out: late: a result must have last.test.miou, a number, got 'high', key=late"
    )
    assert results(store, ["late"])["late"].text("last.test.miou") == "high"


@pytest.mark.parametrize(
    ("command", "file", "content", "told"),
    [
        ("table", "imported/mine@mini.json", {}, "imported numbers must have format"),
        ("status", "plans/0001.json", {"format": 1}, "costs must have estimate, an object"),
    ],
)
def test_what_is_kept_beside_trials_is_decoded_likewise(
    store: Store,
    call: Call,
    refused: Check,
    command: str,
    file: str,
    content: dict[str, object],
    told: str,
) -> None:
    path = Path(str(store.root)) / file
    path.parent.mkdir()
    path.write_text(json.dumps(content))

    refused(call(*COMMANDS[command], "--store", store.root), told, f"path={path}")


def test_studies_and_searches_are_read_by_their_kind(store: Store) -> None:
    store.write_study("looked", "mini", search(["done"], space={}))

    assert store.read_table("mine", "mini") == store.read_study("mine", "mini")
    assert store.read_search("looked", "mini") == search(["done"], space={})
    assert store.read_search("mine", "mini") is store.read_table("looked", "mini") is None
