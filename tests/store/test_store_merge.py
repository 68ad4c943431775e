"""What is packed and merged is there again, once, whatever ends it, wherever the stores lie."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_trials import TOTAL, told, train
from resolved import cell, search, table
from two_tables import two_tables

from semisweep import Store
from semisweep.core.errors import StoreError
from semisweep.store import checkpoint_file, files, suggestion_log, trial_content
from semisweep.store.checkpoint_file import CheckpointFile
from semisweep.store.resolved_tuning import Tuning
from semisweep.store.store_archive import Packed, pack
from semisweep.store.store_merge import Merged, merge

KEYS = [f"{number}" * 20 for number in range(6)]


@pytest.fixture(autouse=True)
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMISWEEP_LEASE_SECONDS", "1")


@pytest.fixture
def there(any_place: str) -> Store:
    """Return a new store of each kind."""
    return Store.open(any_place, create=True)


@pytest.fixture
def here(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "here", create=True)


def carried(source: Store, target: Store, folder: Path, **options: Any) -> tuple[Packed, Merged]:
    """Pack a store and merge the archive into another one."""
    packed = pack(source, folder / "some.tar.gz", **options)
    return packed, merge(folder / "some.tar.gz", str(target.root))


def fill(store: Store) -> None:
    """Make trials in every state."""
    two_tables(store)
    train(store, KEYS[0])
    train(store, KEYS[1], until=4)
    train(store, KEYS[2], until=2)
    store.trial(KEYS[2]).fail({"key": KEYS[2], "error": "it broke", "attempts": 1, "trial": {}})


def test_a_store_comes_back_from_an_archive(here: Store, there: Store, tmp_path: Path) -> None:
    """From a disk to each kind of store, and from that to a disk."""
    fill(here)
    back = Store.open(tmp_path / "back", create=True)

    packed, merged = carried(here, there, tmp_path, weights=True)
    carried(there, back, tmp_path, weights=True)

    assert packed.trials == {"finished": 3, "unfinished": 1, "failed": 1}
    assert not packed.left_out
    assert merged.counts["finished"] == 3
    assert merged.left_out == merged.notes == []
    for store in (there, back):
        assert told(store) == told(here)
        assert store.study_files.all() == here.study_files.all()
        folder = store.trial(KEYS[0])
        assert folder.read_weights("best") == b"best 5"
        assert folder.read_weights("last") == b"last"
        assert folder.read_confusion("last-test").trace() == 3
        assert store.trial(KEYS[1]).attempts == 1


def test_weights_stay_at_home_unless_asked_for(here: Store, there: Store, tmp_path: Path) -> None:
    fill(here)

    packed, _ = carried(here, there, tmp_path, checkpoints=False)

    assert packed.weight_bytes == len(b"best 5") + len(b"last")
    assert packed.checkpoint_bytes == 0
    assert there.trial(KEYS[0]).finished
    with pytest.raises(StoreError, match="weights must have been kept"):
        there.trial(KEYS[0]).read_weights("last")
    assert not there.trial(KEYS[1]).has_checkpoint
    assert len(there.trial(KEYS[1]).evaluations()) == 4

    _, later = carried(here, there, tmp_path, weights=True)
    assert later.counts["more"] == 1
    assert there.trial(KEYS[0]).read_weights("last") == b"last"
    assert there.trial(KEYS[1]).read_checkpoint() == (4, b"4")


def test_a_trial_goes_on_where_the_other_store_was(
    here: Store, there: Store, tmp_path: Path
) -> None:
    """Half here, the rest there: no step is trained twice."""
    steps = sum(
        train(here, key, until=until) for key, until in zip(KEYS, (1, 2, 4, 6), strict=False)
    )
    carried(here, there, tmp_path)
    steps += sum(train(there, key) for key in KEYS[:5])
    _, merged = carried(there, here, tmp_path)

    assert merged.counts["finished"] == 4
    assert merged.counts["known"] == 1
    assert steps == 5 * TOTAL
    assert sum(train(here, key) for key in KEYS[:5]) == 0
    alone = Store.open(tmp_path / "alone", create=True)
    for key in KEYS[:5]:
        train(alone, key)
    results = [
        {key: {**(store.trial(key).result() or {}), "run.attempts": 0} for key in KEYS[:5]}
        for store in (here, alone)
    ]
    assert results[0] == results[1]


def test_the_further_checkpoint_is_taken(here: Store, there: Store, tmp_path: Path) -> None:
    for key, (own, other) in zip(KEYS, [(1, 4), (4, 1), (3, 3)], strict=False):
        train(here, key, until=own)
        train(there, key, until=other)
    with there.trial(KEYS[1]).try_lock():  # and was killed before its next checkpoint
        there.trial(KEYS[1]).append_history([{"step": 2, "val.miou": 0.0}])

    _, merged = carried(here, there, tmp_path)

    assert [there.trial(key).read_checkpoint() for key in KEYS[:3]] == [
        (4, b"4"),
        (4, b"4"),
        (3, b"3"),
    ]
    assert merged.counts["further"] == 1
    assert [train(there, key) for key in KEYS[:3]] == [2, 2, 3]


def test_of_two_trainings_the_history_is_of_the_one_that_goes_on(here: Store, there: Store) -> None:
    train(here, KEYS[0], until=4)
    train(there, KEYS[0], until=2)
    with there.trial(KEYS[0]).try_lock():
        there.trial(KEYS[0]).rewind(2)
        there.trial(KEYS[0]).cut_history(-1)
        there.trial(KEYS[0]).append_history([{"step": step, "val.miou": 0.9} for step in (1, 2)])

    assert merge(here.root, str(there.root)).counts["further"] == 1

    assert there.trial(KEYS[0]).evaluations() == here.trial(KEYS[0]).evaluations()
    assert train(there, KEYS[0]) == 2


def test_a_failure_is_forgotten_where_the_trial_has_gone_further(here: Store, there: Store) -> None:
    train(here, KEYS[0], until=4)
    train(there, KEYS[0], until=2)
    there.trial(KEYS[0]).fail({"key": KEYS[0], "error": "it broke", "attempts": 1, "trial": {}})

    merge(here.root, str(there.root))
    back = merge(str(there.root), here.root)

    assert there.trial(KEYS[0]).failure() is None
    assert here.trial(KEYS[0]).failure() is None
    assert not back.is_new


def test_a_checkpoint_here_that_is_damaged_is_none(here: Store, tmp_path: Path) -> None:
    there = Store.open(tmp_path / "there", create=True)
    train(here, KEYS[0], until=4)
    train(there, KEYS[0], until=5)
    for file in checkpoint_file.find(there.trial(KEYS[0]).states, "checkpoint"):
        assert isinstance(file.path, Path)
        file.path.write_bytes(b"torn")

    assert merge(here.root, there.root).counts["further"] == 1
    assert there.trial(KEYS[0]).read_checkpoint() == (4, b"4")


def test_merging_twice_changes_nothing(here: Store, there: Store, tmp_path: Path) -> None:
    fill(here)
    carried(here, there, tmp_path)
    names = files.below(there.root)

    again = merge(tmp_path / "some.tar.gz", str(there.root))
    dry = merge(tmp_path / "some.tar.gz", str(there.root), dry_run=True)

    def kept(found: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        return {name: stamp for name, stamp in found.items() if "lease" not in name}

    assert not again.is_new
    assert again.counts == dry.counts
    assert kept(files.below(there.root)) == kept(names)


def test_a_dry_run_writes_nothing(here: Store, there: Store, tmp_path: Path) -> None:
    fill(here)
    pack(here, tmp_path / "some.tar")
    before = files.below(there.root)

    merged = merge(tmp_path / "some.tar", str(there.root), dry_run=True)
    new = merge(tmp_path / "some.tar", tmp_path / "nowhere", dry_run=True)

    assert files.below(there.root) == before
    assert merged.counts == new.counts
    assert merged.counts["finished"] == 3
    assert not (tmp_path / "nowhere").exists()


def test_a_result_here_stays_and_what_differs_is_said(here: Store, there: Store) -> None:
    train(here, KEYS[0], score=0.5)
    train(there, KEYS[0], score=0.25)

    merged = merge(str(here.root), str(there.root))

    (note,) = merged.notes
    assert f"trial {KEYS[0]}" in note
    assert "last.test.miou=0.25 here and 0.5 there" in note
    result = there.trial(KEYS[0]).result()
    assert result is not None
    assert result["last.test.miou"] == 0.25
    assert not merged.is_new


def test_a_trial_that_is_trained_here_is_left_alone(here: Store, there: Store) -> None:
    train(here, KEYS[0])
    train(there, KEYS[0], until=2)
    with there.trial(KEYS[0]).try_lock() as held:
        assert held
        merged = merge(str(here.root), str(there.root))
        assert not there.trial(KEYS[0]).finished

    assert merged.counts["busy"] == 1
    assert not merged.is_whole
    assert "in training here" in merged.notes[0]
    assert merge(str(here.root), str(there.root)).counts["finished"] == 1


HELD = """
import os, signal, sys
from semisweep import Store

with Store.open(sys.argv[1]).trial(sys.argv[2]).try_lock() as held:
    assert held
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("dry_run", [True, False])
def test_the_lease_of_a_killed_process_is_waited_for(
    here: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dry_run: bool
) -> None:
    monkeypatch.setenv("SEMISWEEP_LEASES", "1")
    there = Store.open(tmp_path / "there", create=True)
    train(here, KEYS[0])
    train(there, KEYS[0], until=2)
    command = [sys.executable, "-c", HELD, str(there.root), KEYS[0]]
    assert subprocess.run(command).returncode == -signal.SIGKILL

    merged = merge(here.root, there.root, dry_run=dry_run)

    assert merged.is_whole
    assert merged.counts["finished"] == 1


def test_a_dry_run_needs_no_store(here: Store, any_place: str) -> None:
    fill(here)

    assert merge(here.root, any_place, dry_run=True).counts["finished"] == 3
    assert not Store.exists(any_place)


def test_a_lock_alone_is_no_trial(here: Store, there: Store) -> None:
    train(here, KEYS[0])
    with here.trial(KEYS[1]).try_lock():
        pass

    merged = merge(here.root, str(there.root))

    assert (merged.counts["finished"], merged.counts["known"]) == (1, 0)
    assert there.keys() == [KEYS[0]]


def test_a_partial_training_here_leaves_no_weights_to_a_result_from_there(
    here: Store, there: Store, tmp_path: Path
) -> None:
    train(here, KEYS[0])
    train(there, KEYS[0], until=4)

    carried(here, there, tmp_path)

    with pytest.raises(StoreError, match="weights must have been kept"):
        there.trial(KEYS[0]).read_weights("best")
    assert [row.step for row in there.trial(KEYS[0]).evaluations()] == list(range(1, 7))


def test_one_damaged_trial_is_named_and_the_rest_is_merged(
    here: Store, there: Store, tmp_path: Path
) -> None:
    fill(here)
    assert isinstance(here.root, Path)
    (here.root / "trials" / KEYS[0] / "result.parquet").write_bytes(b"PAR1 and no more")
    (here.root / "trials" / "aaaa" / "history.jsonl").write_text('{"step": "x"}\n')
    (here.root / "studies" / "first@mini.json").write_text('{"format": 1, "cells": 3}')

    merged = merge(here.root, str(there.root))
    packed = pack(here, tmp_path / "some.tar")

    assert len(merged.left_out) == 3
    assert len(packed.left_out) == 2
    assert there.trial("bbbb").finished
    assert not there.trial(KEYS[0]).attempts
    assert [place.name for place in there.study_files.places()] == ["second"]


def test_a_study_takes_its_own_trials_along(here: Store, there: Store, tmp_path: Path) -> None:
    fill(here)

    packed, _ = carried(here, there, tmp_path, names=["second"])

    assert packed.trials == {"finished": 1}
    assert there.keys() == ["bbbb"]
    assert [place.name for place in there.study_files.places()] == ["second"]


def test_a_tuned_table_takes_its_searches_along(here: Store, there: Store, tmp_path: Path) -> None:
    for key in KEYS[:3]:
        train(here, key)
    found = search(KEYS[:2], name="example~ours~one")
    suggestion_log.begin(here.root, found)
    here.write_study(found.name, "mini", found)
    tuning = Tuning(
        search=found.name, trials=2, metric="last.val.miou", ended=2, number=0, params={}, score=0.5
    )
    here.write_study("example", "mini", table(cell((KEYS[2],), tuning=tuning)))

    packed, _ = carried(here, there, tmp_path, names=["example"])

    assert packed.trials == {"finished": 3}
    assert there.keys() == KEYS[:3]
    assert there.read_search(found.name, "mini") == here.read_search(found.name, "mini")
    assert list(suggestion_log.read_all(there.root)) == list(suggestion_log.read_all(here.root))


def test_a_checkpoint_is_packed_with_the_weights_that_it_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever trains goes two checkpoints further when the first has been read."""
    store = Store.open(tmp_path / "store", create=True)
    train(store, KEYS[0], until=2)
    folder, whole, further = store.trial(KEYS[0]), trial_content._kept, [4, 3]

    def later(states: files.Location, step: int | None) -> list[CheckpointFile]:
        while further:
            folder.write_weights("best", 3, b"best 3")
            folder.write_checkpoint(further[-1], b"%d" % further.pop())
        return whole(states, step)

    monkeypatch.setattr(trial_content, "_kept", later)
    found = trial_content.read_trial(folder)

    assert found.step == 4
    assert [(file.stem, file.step) for file in found.weights] == [("weights-best", 3)]


def test_a_trial_is_packed_as_it_was_at_one_moment(tmp_path: Path) -> None:
    """Packed again and again while it is trained: each archive has a trial that goes on."""
    store = Store.open(tmp_path / "store", create=True)
    ended = threading.Event()

    def keep_training() -> None:
        for key in KEYS:
            for until in range(1, TOTAL + 1):
                train(store, key, until=until)
        ended.set()

    trainer = threading.Thread(target=keep_training)
    trainer.start()
    count = 0
    while not ended.is_set():
        count += 1
        copy = Store.open(tmp_path / f"copy{count}", create=True)
        packed, merged = carried(store, copy, tmp_path, weights=True)
        assert not merged.left_out
        assert not packed.left_out
        keys = copy.keys()
        for key in keys:
            train(copy, key)  # which asserts what it goes on from
    trainer.join()
    assert count > 1


KILLED_AT = """
import os, signal, sys
from semisweep.store.store_merge import merge

left = int(sys.argv[3])

def dying(original):
    def act(*arguments, **named):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **named)
    return act

for name in ("fsync", "replace", "link", "unlink"):
    setattr(os, name, dying(getattr(os, name)))
merge(sys.argv[1], sys.argv[2])
"""


def test_a_merge_that_is_killed_at_any_moment_is_completed_by_another(tmp_path: Path) -> None:
    """At moments over the whole of it, each just before a system call that changes the disk."""
    source = Store.open(tmp_path / "source", create=True)
    fill(source)
    moment, killed = 1, True
    while killed:
        target = Store.open(tmp_path / f"target{moment}", create=True)
        train(target, KEYS[0], until=3)
        train(target, KEYS[1], until=2)
        command = [sys.executable, "-c", KILLED_AT, source.root, target.root, str(moment)]
        killed = subprocess.run(command).returncode == -signal.SIGKILL
        found = target.trial(KEYS[0])
        for key in KEYS[:2]:  # what is there by now goes on, or is whole
            copy = tmp_path / f"copy{moment}{key[0]}"
            shutil.copytree(target.root, copy)
            assert train(Store.open(copy), key) <= TOTAL
        assert not merge(source.root, target.root).left_out
        assert found.finished
        assert {key: rows[0] for key, rows in told(target).items()} == {  # type: ignore[index]
            key: rows[0]
            for key, rows in told(source).items()  # type: ignore[index]
        }
        assert target.trial(KEYS[1]).read_checkpoint() == (4, b"4")
        assert found.read_weights("best") == b"best 5"
        assert not merge(source.root, target.root).is_new
        moment += 13
    assert moment > 80


def test_two_merges_at_once_do_the_same_once(here: Store, there: Store, tmp_path: Path) -> None:
    fill(here)
    pack(here, tmp_path / "some.tar", weights=True)
    found: list[Merged] = []
    threads = [
        threading.Thread(target=lambda: found.append(merge(tmp_path / "some.tar", str(there.root))))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(own.counts["finished"] for own in found) == [0, 3]
    assert told(there) == told(here)


def test_a_full_disk_is_said_and_more_room_completes_it(
    mounted: Callable[..., Path], tmp_path: Path
) -> None:
    source = Store.open(tmp_path / "source", create=True)
    fill(source)
    source.trial(KEYS[1]).write_checkpoint(5, os.urandom(2_000_000))
    disk = mounted("-t", "tmpfs", "-o", "size=1m", "tmpfs")

    with pytest.raises(StoreError, match="No space left on device; free some space"):
        merge(source.root, disk / "store")

    subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
    merge(source.root, disk / "store")
    assert Store.open(disk / "store").trial(KEYS[1]).read_checkpoint() is not None
    assert told(Store.open(disk / "store")) == told(source)


def test_a_store_is_not_merged_into_itself(here: Store) -> None:
    with pytest.raises(StoreError, match="must be merged into another one"):
        merge(here.root, here.root)
    with pytest.raises(StoreError, match="an archive or a store must be there"):
        merge("nothing.tar", here.root)
