"""A store from a stranger: it can be loaded and tabulated, and nothing in it is obeyed."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import resolved
from resolved import cell

import semisweep
from semisweep import Store
from semisweep.core.errors import StoreError


class Bomb:
    """What a pickle would run: it makes a file."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.place,))


@pytest.fixture
def fuse(tmp_path: Path) -> Path:
    """Return a file that must not come to be."""
    return tmp_path / "exploded"


def table(call: Callable[..., Any], store: Path) -> Any:
    return call("table", "quickstart", "--scale", "paper", "--store", store)


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """Return a store with one finished trial that tests may damage."""
    store = Store.open(tmp_path / "strange", create=True)
    store.trial("aaaa").complete({"last.test.miou": 0.5, "seed": 0})
    return store.root


def write_study(store: Path, name: str, trials: dict[str, str]) -> None:
    """Write a table of one cell whose names are all `name`."""
    own = cell(trials, name, name, published=71.6)
    study = resolved.table(own, name="quickstart", title=name, scale="paper")
    Store.open(store).write_study("quickstart", "paper", study)


@pytest.mark.parametrize("key", ["../../secret/trials/cccc", "/etc", "..", "a/b", "", "a\n"])
def test_a_key_that_leads_out_of_the_store_is_refused(
    stranger: Path, call: Callable[..., Any], refused: Callable[..., None], tmp_path: Path, key: str
) -> None:
    secret = Store.open(tmp_path / "secret", create=True).trial("cccc")
    secret.complete({"last.test.miou": 0.25, "seed": 0})
    write_study(stranger, "ours", {"0/0": key})

    refused(table(call, stranger), "a key must be letters, digits, _ and -")


def test_html_bars_and_control_characters_in_names_are_text(
    stranger: Path, call: Callable[..., Any]
) -> None:
    name = "<script>alert(1)</script> | \x1b[2J\nsecond line"
    write_study(stranger, name, {"0/0": "aaaa"})

    said = table(call, stranger)
    assert said.code == 0, said.error
    assert "<script" not in said.out
    assert "\x1b" not in said.out
    (row,) = [line for line in said.out.splitlines() if line.startswith("| &lt;script>")]
    assert row.replace("\\|", "").count("|") == 5


def read_all(root: Path) -> None:
    store = Store.open(root)
    store.read_study("quickstart", "paper")
    store.failures()


@pytest.mark.parametrize(
    "text",
    ["[" * 200_000, '{"a":' * 200_000, "1" * 5_000_000, "NaN", '"x"', "\x00\xff"],
    ids=["lists", "objects", "a number", "NaN", "a text", "bytes"],
)
def test_json_that_is_none_or_too_deep_is_refused_in_a_line(stranger: Path, text: str) -> None:
    for name in ("semisweep.json", "studies/quickstart@paper.json", "trials/bbbb/failure.json"):
        path = stranger / name
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_bytes() if path.exists() else None
        path.write_text(text, encoding="latin-1")
        with pytest.raises(StoreError, match=r"must (be JSON|hold a JSON object|have format)"):
            read_all(stranger)
        if before is None:
            path.unlink()
        else:
            path.write_bytes(before)


def test_a_deep_line_of_a_history_is_refused_in_a_line(stranger: Path) -> None:
    (stranger / "trials" / "aaaa" / "history.jsonl").write_text('{"a":' * 100_000 + "\n")

    with pytest.raises(StoreError, match="a line of a history must be JSON"):
        Store.open(stranger).trial("aaaa").evaluations()


def test_a_large_text_is_data(stranger: Path) -> None:
    text = "x" * 20_000_000
    Store.open(stranger).trial("bbbb").fail({"key": "bbbb", "error": text, "trial": {}})

    frame = semisweep.load(stranger)
    assert isinstance(frame, pd.DataFrame)
    assert sorted(frame["key"]) == ["aaaa", "bbbb"]


def test_pickled_arrays_are_refused(stranger: Path, fuse: Path) -> None:
    folder = stranger / "trials" / "aaaa"
    np.savez(folder / "confusion-last-test.npz", confusion=np.array([Bomb(fuse)], dtype=object))
    (folder / "confusion-best-test.npz").write_bytes(pickle.dumps(Bomb(fuse)))

    for name in ("last-test", "best-test"):
        with pytest.raises(StoreError, match="an array must be there and whole"):
            Store.open(stranger).trial("aaaa").read_confusion(name)
    assert not fuse.exists()


def test_pickled_weights_and_checkpoints_are_refused(fuse: Path) -> None:
    import torch

    from semisweep.training.trainer import from_bytes, to_bytes

    for data in (to_bytes({"method": Bomb(fuse)}), pickle.dumps(Bomb(fuse), protocol=2)):
        with pytest.raises((pickle.UnpicklingError, RuntimeError)):
            from_bytes(data)
    assert from_bytes(to_bytes({"a": torch.ones(2)}))["a"].sum() == 2
    assert not fuse.exists()


def test_a_pickle_in_place_of_a_result_is_a_damaged_file(stranger: Path, fuse: Path) -> None:
    (stranger / "trials" / "aaaa" / "result.parquet").write_bytes(pickle.dumps(Bomb(fuse)))

    with pytest.raises(StoreError):
        Store.open(stranger).trial("aaaa").result()
    assert not fuse.exists()


def test_nothing_of_ours_reads_pickles() -> None:
    """Ray pickles what it sends between processes of a cluster; files are another matter."""
    source = Path(semisweep.__file__).parent
    for path in source.rglob("*.py"):
        text = path.read_text()
        assert "pickle.load" not in text, path
        assert "allow_pickle=True" not in text, path
        assert "read_pickle" not in text, path
        for call in text.split("torch.load(")[1:]:
            assert "weights_only=True" in call.partition("\n")[0], path
