"""Links in a store lead nowhere: what is outside is neither shown nor deleted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from two_tables import two_tables

from semisweep import Store

Call = Callable[..., Any]
Check = Callable[..., None]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return two_tables(Store.open(tmp_path / "store", create=True))


def outside(tmp_path: Path) -> Path:
    """Return a folder that looks like a trial's, with weights that no study wants."""
    folder = tmp_path / "outside"
    (folder / "states").mkdir(parents=True)
    (folder / "states" / "weights-last-00000001-abcd.safetensors").write_bytes(b"precious")
    (folder / "log-0001.txt").write_text("secret")
    return folder


def test_gc_deletes_nothing_behind_a_linked_trial(call: Call, store: Store, tmp_path: Path) -> None:
    own = outside(tmp_path)
    (Path(store.root) / "trials" / "cccc").symlink_to(own)
    before = sorted(own.rglob("*"))

    for command in (("gc",), ("rm", "cccc", "--yes"), ("compact",)):
        call(*command, "--store", store.root)

    assert sorted(own.rglob("*")) == before
    assert set(store.keys()) == {"aaaa", "bbbb"}


def test_logs_show_nothing_that_a_link_leads_to(
    call: Call, refused: Check, store: Store, tmp_path: Path
) -> None:
    own = outside(tmp_path)
    (Path(store.root) / "trials" / "aaaa" / "log-0001.txt").symlink_to(own / "log-0001.txt")

    said = call("logs", "aaaa", "--store", store.root)

    assert "secret" not in said.out + said.error
    assert said.code == 2


@pytest.mark.parametrize("name", ["trials", "studies", "results", "searches", "faults"])
def test_a_store_whose_folders_are_links_is_refused(
    call: Call, refused: Check, store: Store, tmp_path: Path, name: str
) -> None:
    inner = Path(store.root) / name
    elsewhere = tmp_path / "elsewhere"
    if inner.is_dir():
        shutil.move(inner, elsewhere)
    elsewhere.mkdir(exist_ok=True)
    inner.symlink_to(elsewhere)

    refused(call("status", "--store", store.root), "must not have links", f"path={inner}")


def test_a_store_may_be_reached_by_a_link(call: Call, store: Store, tmp_path: Path) -> None:
    (tmp_path / "short").symlink_to(store.root)

    assert "first mini" in call("list", "--store", tmp_path / "short").out


@pytest.mark.parametrize("file", ["result.parquet", "trial.json", "history.jsonl", "failure.json"])
def test_a_file_of_a_trial_that_is_a_link_is_damaged(
    call: Call, store: Store, tmp_path: Path, file: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_text('{"format": 1, "secret": "told"}')
    path = Path(store.root) / "trials" / "aaaa" / file
    path.unlink(missing_ok=True)
    path.symlink_to(secret)

    for command in (("show", "aaaa"), ("diff", "aaaa", "bbbb"), ("table", "first"), ("status",)):
        said = call(*command, "--store", store.root)
        assert "told" not in said.out + said.error
        assert "Traceback" not in said.error
