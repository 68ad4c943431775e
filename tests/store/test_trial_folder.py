"""A trial's folder: attempts, lock, history, states, result, failure."""

from __future__ import annotations

import io
import logging
import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from semisweep import Store
from semisweep.core.errors import StoreError
from semisweep.store import checkpoint_file, files
from semisweep.store.trial_folder import TrialFolder
from semisweep.store.trial_records import Failure


@pytest.fixture
def store(any_place: str) -> Store:
    return Store.open(any_place, create=True)


@pytest.fixture
def trial(store: Store) -> TrialFolder:
    return store.trial("0123abcd")


@pytest.fixture
def on_disk(tmp_path: Path) -> TrialFolder:
    return Store.open(tmp_path / "disk", create=True).trial("0123abcd")


def names(trial: TrialFolder, part: str = "") -> list[str]:
    """Return the last names of all files, but of those that only say who trains."""
    found = (name.rpartition("/")[2] for name in files.below(trial.path))
    rights = ("lease-", "start.json", "lock")
    return sorted(name for name in found if part in name and not name.startswith(rights))


def damage(path: Path) -> None:
    """Change one byte in the middle, as a bad disk would."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def everything(root: files.Location) -> dict[str, tuple[int, int]]:
    return files.below(root)


def test_the_first_description_of_a_key_stays(trial: TrialFolder) -> None:
    """Two configurations may share a key, such as an arm that is switched off and its base."""
    trial.describe({"trial": {"method": "a", "rates": (0.1, 0.2)}})
    trial.describe({"trial": {"method": "b"}})

    assert trial.description().trial == {"method": "a", "rates": [0.1, 0.2]}


def test_a_trial_that_was_never_described_says_so(trial: TrialFolder) -> None:
    with pytest.raises(StoreError, match=r"no file .*trial\.json"):
        trial.description()


def test_looking_at_a_trial_makes_nothing(store: Store, trial: TrialFolder) -> None:
    looks = (trial.attempts, trial.finished, trial.result(), trial.failure(), trial.evaluations())

    assert looks == (0, False, None, None, [])
    assert trial.read_checkpoint() is None
    assert not trial.path.exists()


def test_attempts_are_numbered(trial: TrialFolder) -> None:
    assert [trial.start_attempt() for _ in range(3)] == [1, 2, 3]
    assert trial.attempts == 3


def test_attempts_that_start_at_the_same_time_get_different_numbers(trial: TrialFolder) -> None:
    found: list[int] = []
    each = 20 if type(trial) is TrialFolder else 4
    threads = [
        threading.Thread(target=lambda: found.extend(trial.start_attempt() for _ in range(each)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(found) == list(range(1, 4 * each + 1))


def test_an_attempt_clears_what_killed_ones_left_half_written(on_disk: TrialFolder) -> None:
    on_disk.start_attempt()
    (on_disk.path / "checkpoint-00000003-0123456789abcdef.pt.00.tmp").write_bytes(b"half")

    on_disk.start_attempt()

    assert names(on_disk) == ["attempt-0001", "attempt-0002"]


def test_the_lock_lets_one_in_at_a_time(store: Store, trial: TrialFolder) -> None:
    entered = threading.Event()

    def enter() -> None:
        with store.trial(trial.key).lock():
            entered.set()

    with trial.lock():
        thread = threading.Thread(target=enter)
        thread.start()
        assert not entered.wait(0.1)
    assert entered.wait(5)
    thread.join()


def test_trying_the_lock_never_waits_and_says_whether_it_is_held(trial: TrialFolder) -> None:
    with trial.lock(), trial.try_lock() as held:
        assert held is False
    with trial.try_lock() as held:
        assert held is True
        with trial.try_lock() as again:
            assert again is False
    with trial.try_lock() as held:
        assert held is True


# History


def test_history_is_read_as_it_was_appended(trial: TrialFolder) -> None:
    trial.append_history([{"step": 1, "miou": 0.1 + 0.2, "note": "a\nb\u2028"}])
    trial.append_history([{"step": np.int64(2), "miou": np.float32(0.5)}, {"step": 3}])

    assert [row.values for row in trial.evaluations()] == [
        {"step": 1, "miou": 0.1 + 0.2, "note": "a\nb\u2028"},
        {"step": 2, "miou": 0.5},
        {"step": 3},
    ]


def test_numbers_that_are_not_finite_are_standard_json_and_read_as_nan(trial: TrialFolder) -> None:
    trial.append_history([{"step": 1, "a": math.nan, "b": math.inf, "c": np.float32("nan")}])

    (name,) = names(trial, "history")
    assert b"null" in (trial.states / name).read_bytes()
    row = trial.evaluations()[0].values
    assert all(math.isnan(row[name]) for name in "abc")


def test_a_torn_last_line_is_no_row_and_the_next_one_does_not_join_it(on_disk: TrialFolder) -> None:
    on_disk.append_history([{"step": 1}])
    with open(on_disk.path / "history.jsonl", "ab") as file:
        file.write(b'{"step": 2, "mi')

    assert [row.values for row in on_disk.evaluations()] == [{"step": 1}]
    on_disk.append_history([{"step": 3}])
    assert [row.values for row in on_disk.evaluations()] == [{"step": 1}, {"step": 3}]


def test_cutting_the_history_drops_later_rows_and_a_torn_one(on_disk: TrialFolder) -> None:
    on_disk.cut_history(0)
    on_disk.append_history([{"step": step} for step in range(1, 6)])
    with open(on_disk.path / "history.jsonl", "ab") as file:
        file.write(b'{"st')

    on_disk.cut_history(3)

    assert (
        on_disk.path / "history.jsonl"
    ).read_bytes() == b'{"step": 1}\n{"step": 2}\n{"step": 3}\n'
    on_disk.cut_history(0)
    assert on_disk.evaluations() == []


def test_a_damaged_line_of_history_is_named(on_disk: TrialFolder) -> None:
    on_disk.append_history([{"step": 1}])
    with open(on_disk.path / "history.jsonl", "ab") as file:
        file.write(b"\x00\x00\n")

    with pytest.raises(StoreError, match=r"must be JSON, got path=.*history\.jsonl"):
        on_disk.evaluations()


# Checkpoints, weights, arrays


def test_the_two_newest_checkpoints_are_kept(trial: TrialFolder) -> None:
    for step in (5, 10, 100):
        trial.write_checkpoint(step, b"state %d" % step)

    assert trial.read_checkpoint() == (100, b"state 100")
    assert [name[:19] for name in names(trial)] == ["checkpoint-00000010", "checkpoint-00000100"]


@pytest.mark.parametrize("harm", [damage, lambda path: path.write_bytes(b"")])
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(
    trial: TrialFolder, caplog: pytest.LogCaptureFixture, harm: Callable[[Path], None]
) -> None:
    trial.write_checkpoint(1, b"one")
    trial.write_checkpoint(2, b"two")
    harm(trial.states / names(trial)[1])

    with caplog.at_level(logging.WARNING):
        assert trial.read_checkpoint() == (1, b"one")

    assert "checkpoint-00000002" in caplog.text


def test_no_intact_checkpoint_is_no_checkpoint(trial: TrialFolder) -> None:
    trial.write_checkpoint(1, b"one")
    damage(trial.states / names(trial)[0])

    assert trial.read_checkpoint() is None


def test_after_falling_back_the_damaged_one_is_not_counted_as_kept(trial: TrialFolder) -> None:
    for step in (1, 3):
        trial.write_checkpoint(step, b"first attempt %d" % step)
    damage(trial.states / names(trial)[1])

    trial.write_checkpoint(2, b"second attempt")

    assert trial.read_checkpoint() == (2, b"second attempt")
    assert [name[:19] for name in names(trial)] == ["checkpoint-00000001", "checkpoint-00000002"]


def test_weights_are_read_by_name_and_step(trial: TrialFolder) -> None:
    trial.write_weights("best", 10, b"best 10")
    trial.write_weights("best-ema", 30, b"ema")
    trial.write_weights("best", 20, b"best 20")

    assert trial.read_weights("best") == b"best 20"
    assert trial.read_weights("best", 10) == b"best 10"
    assert trial.read_weights("best-ema") == b"ema"
    for name, step in (("last", None), ("best", 15)):
        with pytest.raises(StoreError, match=f"got none of name={name}"):
            trial.read_weights(name, step)


def test_damaged_weights_are_refused_rather_than_replaced_by_older_ones(trial: TrialFolder) -> None:
    trial.write_weights("best", 10, b"best 10")
    trial.write_weights("best", 20, b"best 20")
    damage(trial.states / names(trial)[1])

    with pytest.raises(StoreError, match="must match their checksum"):
        trial.read_weights("best")


def test_the_weights_that_a_checkpoint_knows_of_outlive_better_ones(trial: TrialFolder) -> None:
    """Killed after better weights and before the next checkpoint: the old best is needed again."""
    trial.write_weights("best", 10, b"best 10")
    trial.write_checkpoint(15, b"best is 10")
    trial.append_history([{"step": 10}, {"step": 20}])
    trial.write_weights("best", 20, b"best 20")

    trial.rewind(15)

    assert trial.read_weights("best") == b"best 10"
    assert [row.values for row in trial.evaluations()] == [{"step": 10}]
    assert trial.read_checkpoint() == (15, b"best is 10")


def steps_of(trial: TrialFolder, name: str) -> list[int]:
    return sorted(file.step for file in checkpoint_file.find(trial.states, f"weights-{name}"))


def test_weights_stay_until_no_checkpoint_needs_them(trial: TrialFolder) -> None:
    """Of each checkpoint that is kept the last ones before it, and those written after it."""
    for step in (1, 2, 3):
        trial.write_weights("best", step, b"best %d" % step)
    assert steps_of(trial, "best") == [1, 2, 3]
    trial.write_checkpoint(3, b"best is 3")
    assert steps_of(trial, "best") == [3]
    for step in (5, 7):
        trial.write_weights("best", step, b"best %d" % step)
    trial.write_checkpoint(8, b"best is 7")
    assert steps_of(trial, "best") == [3, 7]
    trial.write_weights("best", 9, b"best 9")
    trial.write_checkpoint(10, b"best is 9")

    assert steps_of(trial, "best") == [7, 9]


def test_better_weights_do_not_replace_those_of_a_checkpoint_that_is_being_written(
    trial: TrialFolder,
) -> None:
    trial.write_checkpoint(1, b"no best yet")
    trial.write_weights("best", 2, b"best 2")

    def slowly(file: BinaryIO) -> None:
        file.write(b"best ")
        for step in (4, 5, 6):
            trial.write_weights("best", step, b"best %d" % step)
        file.write(b"is 2")

    trial.write_checkpoint(3, slowly)

    assert steps_of(trial, "best") == [2, 4, 5, 6]
    assert trial.read_checkpoint() == (3, b"best is 2")
    trial.rewind(3)
    assert trial.read_weights("best") == b"best 2"


def test_weights_have_a_second_name_without_a_second_content(trial: TrialFolder) -> None:
    trial.write_weights("last", 7, b"of an attempt that was given up")
    trial.write_weights("best", 6, b"best")
    trial.share_weights("last", "best", 6)
    paths = [found.path for found in checkpoint_file.find(trial.states)]

    assert trial.read_weights("last") == trial.read_weights("best", 6) == b"best"
    assert steps_of(trial, "last") == [6]
    assert len(paths) == 2
    if isinstance(paths[0], Path):
        assert paths[0].stat().st_ino == Path(str(paths[1])).stat().st_ino
    with pytest.raises(StoreError, match="got stem=weights-best, step=7"):
        trial.share_weights("last", "best", 7)
    trial.complete({"seed": 1})
    trial.keep_weights(["last"])
    assert trial.read_weights("last") == b"best"
    assert steps_of(trial, "best") == []


def test_weights_of_an_unfinished_trial_are_never_dropped(trial: TrialFolder) -> None:
    trial.write_weights("best", 1, b"best")
    trial.keep_weights(["last"])

    assert trial.read_weights("best") == b"best"


def test_a_content_that_fails_leaves_nothing(trial: TrialFolder) -> None:
    trial.write_checkpoint(1, b"one")

    def failing(file: BinaryIO) -> None:
        file.write(b"half")
        raise StoreError("no more")

    with pytest.raises(StoreError, match="no more"):
        trial.write_checkpoint(2, failing)
    assert trial.read_checkpoint() == (1, b"one")
    assert [name[:19] for name in names(trial, "checkpoint")] == ["checkpoint-00000001"]


def test_weights_do_not_pile_up(trial: TrialFolder) -> None:
    for step in range(10):
        trial.write_weights("best", step, b"best %d" % step)
    trial.write_checkpoint(9, b"best is 9")
    assert len(names(trial, "weights-")) == 1

    trial.write_weights("best", 8, b"of an attempt that was given up")
    trial.write_weights("best", 9, b"best 9")
    trial.write_weights("last", 12, b"last")
    trial.complete({})

    assert [name[:21] for name in names(trial, "weights-")] == [
        "weights-best-00000009",
        "weights-last-00000012",
    ]


def test_confusion_matrices_come_back(trial: TrialFolder) -> None:
    confusion = np.random.default_rng(0).integers(0, 1000, (5, 4, 4), dtype=np.int32)

    trial.write_confusion("last-val", confusion)

    assert np.array_equal(trial.read_confusion("last-val"), confusion)
    assert trial.read_confusion("last-val").dtype == np.int32


def test_missing_or_damaged_confusion_matrices_are_named(trial: TrialFolder) -> None:
    with pytest.raises(StoreError, match=r"confusion-last\.npz"):
        trial.read_confusion("last")
    trial.write_confusion("last", np.zeros(1, dtype=int))
    (trial.states / "confusion-last.npz").write_bytes(b"no archive")
    with pytest.raises(StoreError, match=r"confusion-last\.npz"):
        trial.read_confusion("last")


def test_nothing_pickled_is_ever_read(trial: TrialFolder) -> None:
    array = io.BytesIO()
    np.savez(array, confusion=np.array([{"a": 1}], dtype=object))
    trial.write_confusion("last", np.zeros(1, dtype=int))
    (trial.states / "confusion-last.npz").write_bytes(array.getvalue())

    with pytest.raises(StoreError, match="pickle"):
        trial.read_confusion("last")


# Completion and failure


def test_a_result_comes_back_as_it_was_completed(trial: TrialFolder) -> None:
    row: dict[str, object] = {
        "method": "a:B",
        "config.scale": [0.5, 2.0],
        "config.sizes": {},
        "config.labelled": None,
        "config.flag": True,
        "seed": 2**63 - 1,
        "last.test.miou": 0.1 + 0.2,
        "last.test.iou.rare": math.nan,
        "parameters": np.int64(7),
    }

    assert trial.complete(row)

    result = dict(trial.result() or {})
    assert math.isnan(result.pop("last.test.iou.rare"))
    assert result == {
        "key": "0123abcd",
        "method": "a:B",
        "config.scale": "[0.5, 2.0]",
        "config.sizes": "{}",
        "config.labelled": None,
        "config.flag": True,
        "seed": 2**63 - 1,
        "last.test.miou": 0.1 + 0.2,
        "parameters": 7,
    }
    assert trial.result(["seed", "absent"]) == {"seed": 2**63 - 1}
    assert trial.result(["absent"]) == {}


def test_a_second_completion_changes_nothing(store: Store, trial: TrialFolder) -> None:
    assert trial.complete({"seed": 1})
    before = everything(store.root)

    assert not trial.complete({"seed": 2})

    assert everything(store.root) == before


def test_completion_removes_checkpoints_and_leftovers_and_keeps_the_rest(
    trial: TrialFolder,
) -> None:
    trial.describe({})
    trial.start_attempt()
    trial.append_history([{"step": 1}])
    trial.write_checkpoint(1, b"state")
    trial.write_weights("last", 1, b"weights")
    if isinstance(trial.path, Path):
        (trial.path / "result.parquet.0.tmp").write_bytes(b"half")

    trial.complete({})

    assert [name.partition("-0000000")[0] for name in names(trial)] == [
        "attempt-0001",
        "history.jsonl",
        "result.parquet",
        "trial.json",
        "weights-last",
    ]


def test_a_damaged_result_is_named_with_the_remedy(trial: TrialFolder) -> None:
    trial.complete({"seed": 1})
    (trial.path / "result.parquet").write_bytes(b"PAR1")

    with pytest.raises(StoreError, match=r"result\.parquet.*remove that file"):
        trial.result()


def test_a_failure_is_kept_until_it_is_forgotten(store: Store, trial: TrialFolder) -> None:
    trial.fail({"error": "first", "attempts": 1})
    trial.fail({"error": "second", "attempts": 2})

    assert trial.failure() == Failure("second", 2, {})
    assert store.failures() == {trial.key: Failure("second", 2, {})}
    trial.forget_failure()
    trial.forget_failure()
    assert store.failures() == {}


def test_a_finished_trial_is_not_a_failure(store: Store, trial: TrialFolder) -> None:
    trial.fail({"error": "first"})
    store.trial("other").fail({"error": "other"})

    trial.complete({})

    assert store.keys() == ["0123abcd", "other"]
    assert store.finished() == {"0123abcd"}
    assert list(store.failures()) == ["other"]
