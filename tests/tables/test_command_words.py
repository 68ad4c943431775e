"""Hints name commands that ask for the very same: its store, data, scale, changes and file."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from resolved import cell, table

from semisweep import Store
from semisweep.store.study_origin import note_origin
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request
from semisweep.tables.command_words import shorter, study_words
from semisweep.tables.rendering import Reading, keys_table


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    """A store and data in places that have to be quoted, with a table of a file."""
    root = tmp_path / "my store"
    store = Store.open(root, create=True)
    store.write_study("mine", "lab", table(cell(["aaaa"], "a"), name="mine", scale="lab"))
    note_origin(store.root, "mine", f"{tmp_path / 'studies' / 'own.py'}:mine")
    data = tmp_path / "my data"
    return Request(roots=Roots(data, {"own": data / "own"}), store=str(root), scale="lab")


def test_the_usual_study_of_the_usual_store_is_its_name() -> None:
    request = Request(roots=Roots(Path("semisweep-data")))
    assert study_words("quickstart", "mini", {}, request, None) == "quickstart"


def test_what_was_asked_is_asked_again(request_: Request, tmp_path: Path) -> None:
    words = shlex.split(study_words("mine", "lab", {"training.steps": 3}, request_, None))
    assert words == [
        *("mine", "--scale", "lab", "--store", request_.store),
        *("--data", f"own={tmp_path / 'my data' / 'own'}", "--set", "training.steps=3"),
    ]


def test_a_study_of_a_file_is_named_by_it(
    request_: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(request_.store)
    monkeypatch.chdir(tmp_path)
    assert study_words("mine", "lab", {}, request_, store).startswith("studies/own.py:mine --scale")
    assert study_words("./own.py:mine", "lab", {}, request_, store).startswith("./own.py:mine --")
    monkeypatch.chdir(tmp_path / "my store")
    assert shorter(f"{tmp_path}/own.py:mine") == f"{tmp_path}/own.py:mine"
    assert shorter("package.module:mine") == "package.module:mine"


def test_commands_of_notes_are_understood(
    request_: Request, tmp_path: Path, call: Callable[..., Any]
) -> None:
    file = tmp_path / "studies" / "own.py"
    file.parent.mkdir()
    file.write_text(
        "from semisweep import Row, Study\n"
        "from semisweep_methods.supervised import Supervised\n"
        "from semisweep_studies.presets import MINI\n"
        "mine = Study(name='mine', title='Mine', presets={'lab': MINI},"
        " rows=[Row(name='a', method=Supervised)])\n"
    )
    found = Reading(["mine"], request_).text(further=True)
    commands = re.findall(r"`semisweep (table [^`]+)`", found)
    assert len(commands) == 2
    assert f"`semisweep run studies/own.py:mine --scale lab --store '{request_.store}'" in found
    for command in commands:
        said = call(*shlex.split(command))
        assert said.code == 0, said.error
        assert "aaaa" in said.out or "Incomplete" in said.out


def test_a_trial_is_repeated_with_the_same_data(request_: Request) -> None:
    text = keys_table("mine", replace(request_))
    assert "own.py:mine a --column one --seed 0 --scale lab --store another-store --data" in text
