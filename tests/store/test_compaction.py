"""Compacted parts: the same answers as from the trials' own files, whatever happens to either."""

from __future__ import annotations

import hashlib
import logging
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pandas.testing import assert_frame_equal
from pyarrow.parquet import ParquetWriter

from semisweep import Store, export, history, load
from semisweep.core.errors import StoreError
from semisweep.store import compaction
from semisweep.store.arrow_table import Stamp, make_sheet, merge
from semisweep.store.compacted_parts import HISTORY, RESULTS, open_parts, write_part
from semisweep.store.compaction import compact, compact_after_sweep
from semisweep.store.query import results

GOLDEN = Path(__file__).parent.parent / "golden"
VALUES = (
    *(1, -3, 2**63 - 1, 2**70, 0.5, math.inf, -0.0, math.nan, True, False, None),
    *("text", "", "\u00e4\n", [1, [2.5, None]]),
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a part hold four trials or twenty rows, so that few trials make many parts."""
    monkeypatch.setattr(compaction, "PART_TRIALS", 4)
    monkeypatch.setattr(compaction, "PART_ROWS", 20)
    monkeypatch.setattr(compaction, "SMALL_PARTS", 3)


def some_row(numbers: random.Random, columns: int = 6) -> dict[str, Any]:
    """Return a row whose columns hold one thing here and another there."""
    names = numbers.sample("abcdefghij", columns)
    return {name: numbers.choice(VALUES) for name in names} | {"mean": numbers.random()}


def fill(store: Store, start: int, end: int, seed: int = 0) -> None:
    """Add trials: two in three finished, the others failed, running or described only."""
    for index in range(start, end):
        numbers = random.Random(f"{seed} {index}")
        folder = store.trial(f"{numbers.getrandbits(64):016x}")
        rows = [{"step": step, **some_row(numbers, 2)} for step in range(numbers.randrange(6))]
        if rows:
            folder.append_history(rows)
        if index % 3:
            row = some_row(numbers)
            row = {name: None if value == 2**70 else value for name, value in row.items()}
            folder.complete({"seed": index, **row, "run.seconds": numbers.random()})
        elif index % 2:
            folder.fail({"error": "it\nbroke", "attempts": 1, "trial": {"a": {"b": [1]}}})


class Answers:
    """Everything that can be asked of a store, to be compared with what it said before."""

    def __init__(self, store: Store) -> None:
        self.load, self.history = load(store), history(store)
        self.export, self.results = export(store), results(store, store.keys())

    def check(self, other: Answers) -> None:
        assert_frame_equal(self.load, other.load)
        assert_frame_equal(self.history, other.history)
        assert self.export == other.export
        assert repr(self.results) == repr(other.results)


def truth(store: Store) -> Answers:
    """Return the answers from the trials' own files alone."""
    aside = [store.root / name for name in ("results", "history")]
    for folder in aside:
        if folder.exists():
            folder.rename(folder.with_suffix(".aside"))
    try:
        return Answers(store)
    finally:
        for folder in aside:
            if folder.with_suffix(".aside").exists():
                folder.with_suffix(".aside").rename(folder)


def parts(store: Store) -> list[Path]:
    return sorted((store.root / "results").glob("*")) + sorted((store.root / "history").glob("*"))


def part_files(store: Store) -> list[Path]:
    return [path for path in parts(store) if path.name.startswith("part-")]


def blind(store: Store) -> Iterator[Path]:
    """Make the trials' own files unreadable, their sizes and times being what they were."""
    for path in store.root.glob("trials/*/*"):
        if path.name in ("result.parquet", "failure.json", "history.jsonl"):
            found = path.stat()
            path.write_bytes(b"\xff" * found.st_size)
            os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
            yield path


def test_parts_give_the_same_answers_as_the_trials(store: Store, small_parts: None) -> None:
    for start in range(0, 40, 5):
        fill(store, start, start + 5)
        compact(store)
        fill(store, start + 100, start + 101)  # newer than any part

        Answers(store).check(truth(store))
    assert len(part_files(store)) > 10


def test_of_compacted_trials_only_parts_are_read(store: Store) -> None:
    for index in range(6):
        store.trial(f"key{index}").append_history([{"step": 1, "loss": index / 7}])
        store.trial(f"key{index}").complete({"seed": index})
    before = Answers(store)
    compact(store)
    assert len(list(blind(store))) == 12

    Answers(store).check(before)


def test_a_part_of_all_kinds_of_values_gives_back_the_rows_it_was_made_of(store: Store) -> None:
    numbers = random.Random(3)
    rows = {f"key{index:02}": [some_row(numbers)] for index in range(60)}
    stamp = Stamp("result.parquet", 1, 2)
    sheets = [make_sheet([(key, stamp, own)]) for key, own in rows.items()]

    for sheet in (make_sheet([(key, stamp, own) for key, own in rows.items()]), merge(sheets)):
        path = write_part(store, RESULTS, sheet)
        (part,), damaged = open_parts(store, RESULTS)
        read = part.read(rows, None, {})
        found = {entry.key: own for entry, own in read.rows()}
        assert not damaged
        assert repr(found) == repr(rows)
        path.unlink()


def test_compacting_again_changes_nothing(store: Store, small_parts: None) -> None:
    fill(store, 0, 20)
    first = compact(store)
    before = {path: path.stat().st_mtime_ns for path in parts(store)}

    again = compact(store)

    assert {path: path.stat().st_mtime_ns for path in parts(store)} == before
    assert [(done.written, done.removed) for done in again] == [(0, 0), (0, 0)]
    assert [done.trials for done in again] == [done.trials for done in first]
    assert first[0].trials == len(load(store))


def test_a_store_without_results_is_left_as_it_is(store: Store) -> None:
    store.trial("running").append_history([{"step": 1}])

    assert compact(store) == []
    assert not parts(store)


def test_many_small_parts_become_few(store: Store) -> None:
    for index in range(25):
        store.trial(f"key{index}").complete({"seed": index})
        compact(store)
        assert len(list((store.root / "results").glob("part-*"))) <= compaction.SMALL_PARTS

    assert sorted(load(store)["seed"]) == list(range(25))


# Trials that change


def test_a_trial_that_is_run_again_is_never_shown_as_it_was(store: Store) -> None:
    """The new files are of the same size as the old ones."""
    for key in ("one", "two"):
        store.trial(key).append_history([{"step": 1, "loss": 0.25}])
        store.trial(key).complete({"seed": 1})
    compact(store)

    shutil.rmtree(store.trial("one").path)
    assert list(load(store)["key"]) == list(history(store)["key"]) == ["two"]
    store.trial("one").append_history([{"step": 1, "loss": 0.75}])
    assert list(load(store)["key"]) == ["two"]
    assert list(history(store)["loss"]) == [0.75, 0.25]
    store.trial("one").complete({"seed": 2})
    assert list(load(store)["seed"]) == [2, 1]

    compact(store)
    assert len(list(blind(store))) == 4
    assert list(load(store)["seed"]) == [2, 1]
    assert list(history(store)["loss"]) == [0.75, 0.25]


def test_a_failed_trial_that_is_retried_is_one_row(store: Store) -> None:
    trial = store.trial("one")
    trial.append_history([{"step": 1}])
    trial.fail({"error": "first"})
    compact(store)
    assert list(load(store)["error"]) == ["first"]

    trial.append_history([{"step": 2}])
    trial.fail({"error": "other"})
    assert list(load(store)["error"]) == ["other"]
    assert list(history(store)["step"]) == [1, 2]
    trial.complete({"seed": 0})
    assert list(load(store)["status"]) == ["finished"]
    trial.forget_failure()
    assert list(load(store)["status"]) == ["finished"]
    assert list(results(store, ["one"])) == ["one"]

    compact(store)
    Answers(store).check(truth(store))
    assert len(part_files(store)) == 2


def test_trials_in_two_parts_are_one_row(store: Store, tmp_path: Path) -> None:
    """As a compaction leaves them that is killed before it removes what it replaced."""
    fill(store, 0, 12)
    compact(store)
    for path in part_files(store):
        shutil.copy(path, tmp_path)
        shutil.copy(path, tmp_path / f"{path.parent.name}-{path.name}")
    fill(store, 12, 20)
    for kind in ("results", "history"):
        shutil.rmtree(store.root / kind)
    compact(store)
    for path in tmp_path.glob("*-part-*"):
        kind, _, name = path.name.partition("-")
        shutil.copy(path, store.root / kind / name)
    assert len(part_files(store)) == 4

    Answers(store).check(truth(store))
    compact(store)
    assert len(part_files(store)) == 2
    Answers(store).check(truth(store))


# Damage


@pytest.mark.parametrize("kind", ["results", "history"])
def test_a_damaged_part_costs_time_and_no_answer(
    store: Store, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Bits flipped all over the part, and several lengths of a torn one, the empty one included."""
    fill(store, 0, 12)
    compact(store)
    before = truth(store)
    (path,) = (store.root / kind).glob("part-*")
    whole = path.read_bytes()
    numbers = random.Random(0)
    places = [*range(len(whole) - 12, len(whole)), *numbers.sample(range(len(whole)), 20)]
    flipped = [
        whole[:place] + bytes([whole[place] ^ 1 << numbers.randrange(8)]) + whole[place + 1 :]
        for place in places
    ]
    torn = [whole[: len(whole) * fifth // 5] for fifth in range(5)]
    for damaged in (*flipped, *torn):
        path.write_bytes(damaged)
        caplog.clear()

        Answers(store).check(before)

        assert caplog.messages
        assert all(str(path) in message for message in caplog.messages)
        assert "semisweep compact makes it anew" in caplog.messages[0]
    compact(store)
    caplog.clear()
    Answers(store).check(before)
    assert not caplog.messages
    assert path.read_bytes() == whole


def test_a_part_that_was_made_so_costs_no_answer_either(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """Its checksum is right, its pages or its index are not: nobody but a stranger writes that."""
    fill(store, 0, 12)
    compact(store)
    before = truth(store)
    (path,) = (store.root / "results").glob("part-*")
    whole = path.read_bytes()
    path.unlink()
    pages = bytes(len(whole) // 5)
    sink = pa.BufferOutputStream()
    with ParquetWriter(sink, pa.schema([("key", pa.string())])) as writer:
        writer.add_key_value_metadata({"semisweep": "[" * 100_000})
    nested = sink.getvalue().to_pybytes()
    for made in (whole[:4] + pages + whole[4 + len(pages) :], nested):
        other = path.with_name(f"part-{hashlib.sha256(made).hexdigest()[:16]}.parquet")
        other.write_bytes(made)
        caplog.clear()

        Answers(store).check(before)

        assert "a compacted part must be as it was written" in caplog.messages[0]
        other.unlink()


def test_a_damaged_result_is_left_out_of_compaction_and_named(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store.trial("good").complete({"seed": 1})
    store.trial("bad").complete({"seed": 2})
    (store.trial("bad").path / "result.parquet").write_bytes(b"damaged")

    done = compact(store)[0]

    assert done.trials == 1
    assert [text.partition(":")[0] for text in done.unreadable] == ["bad"]
    assert list(load(store, keys=["good"])["seed"]) == [1]
    assert list(load(store)["key"]) == ["good"]
    assert "left out: bad: " in caplog.text
    with pytest.raises(StoreError, match=r"bad/result\.parquet"):
        results(store, store.keys())


def test_a_part_of_a_later_version_is_neither_read_nor_removed(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store.trial("one").complete({"seed": 1})
    with monkeypatch.context() as patch:
        patch.setattr("semisweep.store.compacted_parts.FORMAT", 2)
        compact(store)
    (later,) = part_files(store)

    compact(store)

    assert later in part_files(store)
    assert len(part_files(store)) == 2
    assert list(load(store)["seed"]) == [1]
    assert not caplog.messages


def test_a_sweep_ends_well_where_compaction_cannot_write(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store.trial("one").complete({"seed": 1})
    (store.root / "results").write_text("mine")

    with pytest.raises(StoreError, match="a file stands where a folder should"):
        compact(store)
    with caplog.at_level(logging.WARNING):
        compact_after_sweep(store)

    assert "loses nothing" in caplog.messages[0]
    assert list(load(store)["seed"]) == [1]


def test_a_full_disk_leaves_the_parts_that_were_there(tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=280k", "tmpfs", str(place)]
    try:
        if subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("mounting is not allowed here")
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    try:
        store = Store.open(place / "store", create=True)
        store.trial("one").complete({"seed": 1})
        compact(store)
        before = part_files(store)
        text = random.Random(0).randbytes(90_000).hex()
        store.trial("two").complete({"seed": 2, "text": text})
        with pytest.raises(StoreError, match="No space left on device; free some space"):
            compact(store)

        assert part_files(store) == before
        assert list(load(store, columns=["seed"])["seed"]) == [1, 2]
    finally:
        subprocess.run(["umount", str(place)], check=True)


# Processes


COMPACTOR = """
import sys
from semisweep.store import compaction
from semisweep import Store

compaction.PART_TRIALS, compaction.PART_ROWS, compaction.SMALL_PARTS = 4, 20, 3
import pandas, pyarrow.parquet, semisweep.core.config
"""
AT_ANY_MOMENT = """
print("ready", flush=True)
compaction.compact(Store.open(sys.argv[1]))
"""
BEFORE_EACH_ACT = """
import os, shutil, signal

left = 0


def end_before(event, arguments):
    global left
    if event in ("os.rename", "os.remove") and "part-" in str(arguments[0]):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


sys.addaudithook(end_before)
for act in range(1, 50):
    copy = f"{sys.argv[1]}-{act}"
    shutil.copytree(sys.argv[1], copy)  # with times, so that parts still hold
    child = os.fork()
    if not child:
        left = act
        compaction.compact(Store.open(copy))
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != -signal.SIGKILL:
        break
print(act)
"""


def test_a_compaction_killed_before_any_of_its_acts_loses_nothing(
    store: Store, small_parts: None
) -> None:
    """Before the first file gets its name, before the second, and on to the last removal."""
    fill(store, 0, 9)
    compact(store)
    fill(store, 9, 13)
    shutil.rmtree(store.trial(load(store)["key"][0]).path)  # so that parts are to be replaced
    before = truth(store)
    command = [sys.executable, "-c", COMPACTOR + BEFORE_EACH_ACT, str(store.root)]
    acts = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    for act in range(1, acts + 1):
        copy = Store(store.root.with_name(f"store-{act}"))
        if act < acts:
            assert compact_is_due(copy), act
        Answers(copy).check(before)
        compact(copy)
        Answers(copy).check(before)
        assert not compact_is_due(copy)
        assert not list(copy.root.glob("*/*.tmp"))
    assert acts > 6


def compact_is_due(store: Store) -> bool:
    """Return whether compacting would change anything, without changing the store."""
    copy = store.root.with_name("due")
    shutil.copytree(store.root, copy)
    done = compact(Store(copy))
    shutil.rmtree(copy)
    return any(kind.written or kind.removed for kind in done)


def test_a_compaction_killed_at_any_moment_loses_nothing(store: Store, small_parts: None) -> None:
    moments = random.Random(1)
    killed = 0
    for attempt in range(3):
        fill(store, 20 * attempt, 20 * attempt + 20)
        before = truth(store)
        command = [sys.executable, "-c", COMPACTOR + AT_ANY_MOMENT, str(store.root)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(moments.uniform(0, 0.25))
            process.kill()
        killed += process.returncode == -signal.SIGKILL

        Answers(store).check(before)
    compact(store)

    assert killed
    assert not [path for path in parts(store) if path.name.endswith(".tmp")]
    assert not open_parts(store, RESULTS, thorough=True)[1]
    assert not open_parts(store, HISTORY, thorough=True)[1]
    Answers(store).check(before)


def test_only_one_process_compacts_at_a_time(store: Store) -> None:
    store.trial("one").complete({"seed": 1})
    with store.lock(RESULTS.name, wait=True) as first:
        assert first
        assert compact(store, wait=False) == []
        assert not part_files(store)

    assert [done.trials for done in compact(store, wait=False)] == [1, 0]


# Stores of earlier versions


@pytest.mark.parametrize("compacted", [False, True])
def test_a_store_of_the_first_version_is_read(tmp_path: Path, compacted: bool) -> None:
    """The folder and its export were written by the code of the first version."""
    shutil.copytree(GOLDEN / "store_v1", tmp_path / "store")
    store = Store.open(tmp_path / "store")
    if compacted:
        assert [done.trials for done in compact(store)] == [3, 2]

    frame, evaluations = load(store), history(store)

    assert export(store) == (GOLDEN / "store_v1.csv").read_bytes()
    assert list(frame["status"]) == ["finished", "finished", "failed"]
    assert frame["error"][2] == "a loss must be finite, got rank=nan"
    assert list(frame["config.warm"]) == [2, 0.5, 2]
    assert list(frame["run.seconds"])[:2] == [1.5, 1.5]
    assert list(frame.columns[:6]) == [
        *("key", "status", "method", "config.network.backbone"),
        *("config.network.channels", "config.threshold"),
    ]
    assert list(evaluations["step"]) == [5, 10, 5, 10, 5]
    assert list(evaluations["val.miou"])[2:4] == [0.578125, 0.65625]
    assert list(evaluations["consistency"].isna()) == [True, True, True, False, True]
    assert store.study_keys("quickstart", "mini") == [*frame["key"][[0, 2]], store.keys()[3]]
