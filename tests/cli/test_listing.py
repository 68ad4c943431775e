"""What a store has is listed, shown and removed; wrong calls lead to the help."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from resolved import cell, table
from two_tables import two_tables

from semisweep import Store, load
from semisweep.store.study_origin import note_origin
from semisweep.study.catalogue import find_study, study_names
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request
from semisweep.study.title import study_title
from semisweep.tables.rendering import Reading

Call = Callable[..., Any]
Check = Callable[..., None]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return two_tables(Store.open(tmp_path / "store", create=True))


def test_studies_are_listed_with_their_origin(call: Call, store: Store) -> None:
    note_origin(store.root, "first", "/lab/mine.py:study")

    said = call("list", "--store", store.root)

    first, second = said.out.splitlines()
    assert first.startswith("first mini")
    assert "2 of 2 trials" in first
    assert first.endswith("[/lab/mine.py:study]")
    assert "[" not in second


def test_a_trial_is_shown_by_the_start_of_its_key(call: Call, store: Store) -> None:
    said = call("show", "aa", "--store", store.root)

    assert "state     finished" in said.out
    assert "study     first@mini: a, 0/0" in said.out
    assert "last.test.miou           50.00 %" in said.out


def test_a_removed_table_takes_the_trials_that_nobody_else_wants(call: Call, store: Store) -> None:
    said = call("rm", "first", "--yes", "--store", store.root)

    assert said.code == 0, said.error
    assert "1 tables and 1 trials" in said.out
    assert store.keys() == ["bbbb"]
    assert [name for name, _ in store.studies()] == ["second"]
    assert list(load(store.root)["key"]) == ["bbbb"]
    assert not list((Path(store.root) / "recorded").glob("first*"))


def test_a_removed_trial_that_a_table_wants_is_said(call: Call, store: Store) -> None:
    said = call("rm", "bbbb", "--yes", "--store", store.root)

    assert "1 of them belong to studies that stay" in said.out
    assert store.keys() == ["aaaa"]


def test_a_trial_in_training_is_left(call: Call, store: Store) -> None:
    with store.trial("aaaa").lock():
        said = call("rm", "first", "--yes", "--store", store.root)

    assert "in training: aaaa" in said.out
    assert store.trial("aaaa").finished


def test_nothing_is_removed_unasked(call: Call, refused: Check, store: Store) -> None:
    refused(call("rm", "first", "--store", store.root), "must be confirmed", "--yes")
    refused(call("rm", "frist", "--yes", "--store", store.root), "did you mean first?")
    assert store.keys() == ["aaaa", "bbbb"]


@pytest.mark.parametrize(
    ("arguments", "command"), [(("run",), "run"), (("plan", "--sclae", "x"), "plan")]
)
def test_a_wrong_call_leads_to_the_help(
    call: Call, refused: Check, arguments: tuple[str, ...], command: str
) -> None:
    refused(call(*arguments), f"; try semisweep {command} --help")


def test_titles_are_read_as_text_and_are_those_of_the_studies() -> None:
    script = (
        "import sys; from semisweep.cli import main\n"
        "try: main(['studies'])\n"
        "finally: print([name for name in ('torch', 'ray', 'timm') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    *listed, heavy = done.stdout.splitlines()

    assert heavy == "[]"
    assert listed == [f"{name:24} {find_study(name).title}" for name in study_names()]
    assert study_title("semisweep_studies.quickstart:quickstart")


def test_a_study_shows_its_rows_and_columns(call: Call) -> None:
    said = call("studies", "gps_losses").out

    assert "rows     gps, fps, gps+fps, cps+fps, gps+cps, gps+cps+fps" in said
    assert "columns  Pascal VOC (mini, paper, photo), Cityscapes (paper)" in said


def test_a_dry_run_says_what_plan_says(call: Call, tiny_shapes: Path) -> None:
    data = f"shapes={tiny_shapes}"
    options = ("--data", data)
    planned = call("plan", "quickstart", *options)
    dry = call("run", "quickstart", "--dry-run", *options)

    assert dry.code == planned.code == 0, dry.error
    assert "to run        9" in dry.out
    assert dry.out.splitlines()[:5] == planned.out.splitlines()[:5]
    assert not Path("semisweep-store").exists()


def test_a_hint_repeats_the_store(store: Store) -> None:
    made = table(cell({"0/0": "cccc"}), name="third", scale="mini")
    store.trial("cccc").fail(
        {"key": "cccc", "error": "Traceback\nValueError: no", "attempts": 1, "trial": {}}
    )
    store.write_study("third", "mini", made)
    request = Request(roots=Roots(Path()), store=str(store.root))

    (line,) = Reading(["third"], request, store).failures()

    assert f"semisweep logs cccc --store {store.root} has the traceback" in line
