"""The commands store pack and store merge: what they say, and how they end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_trials import train
from report_store import fill_search, fill_table
from two_tables import two_tables

from semisweep import Store

Call = Callable[..., Any]
TABLE, SEARCH = "rankmatch_weight", "rankmatch_search"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return a store with finished trials, and one that is half trained."""
    found = two_tables(Store.open(tmp_path / "store", create=True))
    train(found, "cccc")
    train(found, "dddd", until=3)
    assert isinstance(found.root, Path)
    return found.root


def test_what_is_packed_and_merged_is_said_in_lines(
    call: Call, store: Path, tmp_path: Path
) -> None:
    packed = call("store", "pack", "--store", store, "--output", "all.tar.xz")
    assert packed.code == 0, packed.error
    assert packed.out.splitlines()[0] == (
        "packed 2 studies, trials: 3 finished, 1 unfinished; checkpoints 0.0 MiB; without "
        "0.0 MiB of weights (--weights)"
    )
    assert packed.out.splitlines()[1] == "all.tar.xz: 0.0 MiB"

    dry = call("store", "merge", "all.tar.xz", "--store", "other", "--dry-run")
    assert dry.out == "all.tar.xz: would add 3 results, 1 unfinished trials, 2 studies\n"
    assert not (tmp_path / "other").exists()
    done = call("store", "merge", "all.tar.xz", "--store", "other")
    assert done.out == "all.tar.xz: added 3 results, 1 unfinished trials, 2 studies\n"
    again = call("store", "merge", "all.tar.xz", store, "--store", "other")
    assert again.out.splitlines() == [
        "all.tar.xz: nothing is new; 4 trials were known",
        f"{store}: added 1 trials with further files; 3 trials were known",  # its weights
    ]
    assert dry.code == done.code == again.code == 0
    assert dry.error == done.error == again.error == ""


def test_tables_of_a_store_that_was_carried_are_the_same(
    call: Call, tiny_shapes: Path, tmp_path: Path
) -> None:
    fill_table(tmp_path / "one", TABLE, tiny_shapes.parent)
    fill_search(tmp_path / "one", tiny_shapes.parent, trials=3, confirmed=True)
    call("store", "pack", TABLE, f"{SEARCH}@mini", "--store", "one", "--output", "some.tar")
    call("store", "merge", "some.tar", "--store", "two")

    for words in (["table", TABLE, "--keys"], ["table", SEARCH], ["status"], ["list"]):
        said = [call(*words, "--store", store) for store in ("one", "two")]
        assert said[0].code == said[1].code == 0
        assert said[0].out.replace("one", "two") == said[1].out.replace("one", "two")


def test_a_damaged_trial_makes_the_exit_code(call: Call, store: Path) -> None:
    (store / "trials" / "aaaa" / "trial.json").write_text('{"trial": "\\u001b[2J"}')

    packed = call("store", "pack", "--store", store, "--output", "some.tar")
    merged = call("store", "merge", store, "--store", "other")

    for said in (packed, merged):
        assert said.code == 1
        assert said.error.startswith("left out: trial aaaa: a description of a trial must have")
        assert said.error.count("\n") == 1
        assert "\x1b" not in said.error


def test_a_result_that_differs_is_a_note(call: Call, store: Path) -> None:
    train(Store.open("other", create=True), "cccc", score=0.75)

    said = call("store", "merge", store, "--store", "other")

    assert said.code == 0
    assert said.error.startswith("note: trial cccc: it is finished in both, last.test.miou=0.75 ")
    assert said.error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["pack", "--output", "a.zip"], ["an archive must end in .tar", "output=a.zip"]),
        (["pack", "third", "--output", "a.tar"], ["unknown study of this store 'third'", "first"]),
        (["pack"], ["Missing option '--output'"]),
        (["merge"], ["Missing argument"]),
        (["merge", "a.tar"], ["an archive or a store must be there to be merged", "a.tar"]),
        (["merge", "."], ["a store must exist"]),
        (["merge", "STORE"], ["must be merged into another one"]),
    ],
    ids=lambda value: " ".join(value[:3]) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_refused_in_a_line(
    call: Call, refused: Callable[..., None], store: Path, words: list[str], parts: list[str]
) -> None:
    own = [str(store) if word == "STORE" else word for word in words]

    refused(call("store", *own, "--store", store), *parts)
