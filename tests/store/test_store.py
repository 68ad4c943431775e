"""The store: opening, refusing file systems, whole files, studies."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from resolved import cell, table

from semisweep import Store
from semisweep.core.errors import StoreError
from semisweep.store.files import replacing
from semisweep.store.trial_folder import TrialFolder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


@pytest.fixture
def trial(store: Store) -> TrialFolder:
    return store.trial("0123abcd")


def everything(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_made_store_can_be_opened_again(tmp_path: Path) -> None:
    made = Store.open(tmp_path / "a" / "b", create=True)

    assert Store.open(str(tmp_path / "a" / "b")) == made
    assert Store.open(f"file://{tmp_path}/a/b") == made
    assert Store.open(tmp_path / "a" / "b", create=True) == made
    assert os.listdir(made.root) == ["semisweep.json"]


def test_a_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert Store.open("here", create=True).root == tmp_path / "here"


def test_a_missing_store_is_not_made_by_reading(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no store at .*absent; run a study first"):
        Store.open(tmp_path / "absent")

    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("found", [3, None, "1"])
def test_another_format_is_refused_and_nothing_is_touched(tmp_path: Path, found: object) -> None:
    (tmp_path / "semisweep.json").write_text(json.dumps({"format": found}))
    before = everything(tmp_path)

    for create in (False, True):
        with pytest.raises(StoreError, match=r"format 1.*got format=.*use the semisweep that made"):
            Store.open(tmp_path, create=create)

    assert everything(tmp_path) == before


def test_trials_without_a_format_are_refused(tmp_path: Path) -> None:
    (tmp_path / "trials" / "abc").mkdir(parents=True)

    with pytest.raises(StoreError, match="with trials but without it"):
        Store.open(tmp_path, create=True)


def test_a_damaged_format_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "semisweep.json").write_text("{")

    with pytest.raises(StoreError, match=r"must be JSON, got path=.*semisweep\.json"):
        Store.open(tmp_path)


@pytest.mark.parametrize("url", ["gs://bucket/store", "az://bucket", Path("gs://bucket/store")])
def test_other_object_storage_is_refused(url: str | Path) -> None:
    with pytest.raises(StoreError, match="object storage is not supported"):
        Store.open(url, create=True)


@pytest.mark.parametrize("below", ["", "below/store"])
def test_a_file_where_the_store_should_be_is_refused(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("mine")

    with pytest.raises(StoreError, match="a file stands where a folder should"):
        Store.open(tmp_path / "file" / below, create=True)

    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("key", ["", "../outside", "a/b", ".", "a b"])
def test_a_key_cannot_leave_the_store(store: Store, key: str) -> None:
    with pytest.raises(StoreError, match="key="):
        store.trial(key)


# File systems that refuse


def test_a_read_only_store_is_refused_for_running_and_can_be_read(
    store: Store, trial: TrialFolder, mounted: Callable[..., Path]
) -> None:
    trial.complete({"seed": 1})
    place = mounted("--bind", str(store.root))
    if subprocess.run(["mount", "-o", "remount,ro,bind", str(place)]).returncode:
        pytest.skip("remounting read-only is not allowed here")

    with pytest.raises(StoreError, match=r"must be writable, got path=.*Read-only file system"):
        Store.open(place, create=True)
    with pytest.raises(StoreError, match="Read-only file system"):
        Store.open(place).trial("new").start_attempt()
    assert Store.open(place).finished() == {"0123abcd"}
    assert Store.open(place).trial("0123abcd").result() == {"key": "0123abcd", "seed": 1}


def test_a_full_disk_leaves_the_old_files_and_one_line(mounted: Callable[..., Path]) -> None:
    store = Store.open(mounted("-t", "tmpfs", "-o", "size=256k", "tmpfs") / "store", create=True)
    trial = store.trial("full")
    trial.append_history([{"step": 1}])
    trial.write_checkpoint(1, b"a" * 50_000)
    trial.fail({"error": "first"})
    before = everything(store.root)

    writes: list[Callable[[], Any]] = [
        lambda: trial.write_checkpoint(2, b"b" * 500_000),
        lambda: trial.write_weights("last", 2, b"b" * 500_000),
        lambda: trial.append_history([{"step": 2}, {"step": 3, "text": "b" * 500_000}]),
        lambda: trial.fail({"error": "b" * 500_000}),
        lambda: trial.complete({"text": "b" * 500_000}),
    ]
    for write in writes:
        with pytest.raises(StoreError, match=r"got path=.*No space left on device; free") as error:
            write()
        assert "\n" not in str(error.value)

    assert everything(store.root) == before
    assert trial.read_checkpoint() == (1, b"a" * 50_000)
    assert not trial.finished


def test_a_file_system_without_hard_links_is_refused_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)

    with pytest.raises(StoreError, match=r"Operation not permitted; .*hard links"):
        Store.open(tmp_path / "store", create=True)


# Files


def test_replacing_keeps_the_old_file_when_the_body_fails(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def write() -> None:
        with replacing(path) as file:
            file.write(b"new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()

    assert everything(tmp_path) == {str(path): b"old"}


def test_a_new_file_is_seen_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"

    with replacing(path) as file:
        file.write(b"half")
        file.flush()
        assert not path.exists()

    assert path.read_bytes() == b"half"


# Studies


def test_studies_are_kept_by_name_and_scale(store: Store) -> None:
    first = table(cell(["k1"], "b", published=67.4), cell(["k2"], "a"))
    store.write_study("components", "mini", table())
    path = store.write_study("components", "mini", first)
    store.write_study("my_package.my_studies:table@1/x", "paper", table())

    assert path == store.root / "studies" / "components@mini.json"
    assert store.read_study("components", "mini") == first
    assert store.read_study("components", "paper") is None
    assert store.studies() == [
        ("components", "mini"),
        ("my_package.my_studies:table@1/x", "paper"),
    ]


def test_an_empty_store_has_nothing(store: Store) -> None:
    assert (store.keys(), store.finished(), store.failures(), store.studies()) == (
        [],
        set(),
        {},
        [],
    )
