"""Histories cut back to a step: one rule for every way of keeping them, at every step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from semisweep import Store
from semisweep.store import files, history_file, history_segments
from semisweep.store.trial_folder import TrialFolder

APPENDED = ((2,), (4, 6), (8,), (10, 12, 14))  # the steps of the rows of each call
STEPS = tuple(step for call in APPENDED for step in call)
CUTS = tuple(range(16))  # before the first row, at each row, between rows, beyond the last


@pytest.fixture(params=["local", "leases", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    if request.param == "s3":
        return Store.open(request.getfixturevalue("s3").new(), create=True)
    if request.param == "leases":
        monkeypatch.setenv("SEMISWEEP_LEASES", "1")
    return Store.open(tmp_path / "store", create=True)


def row(step: int) -> Mapping[str, object]:
    """Return a row whose numbers tell its step; every second has one that is not finite."""
    return {"step": step, "epoch": step // 4, "loss": math.nan if step % 4 else step / 7}


def rows(steps: Sequence[int]) -> list[str]:
    """Return what a history of these steps must hold; as text, in which NaN equals NaN."""
    return [repr(dict(row(step))) for step in steps]


def found(trial: TrialFolder) -> list[str]:
    return [repr(dict(own.values)) for own in trial.evaluations()]


def filled(trial: TrialFolder) -> None:
    for call in APPENDED:
        trial.append_history([row(step) for step in call])
        trial.write_weights("best", call[-1], b"best %d" % call[-1])
        trial.write_checkpoint(call[-1], b"state %d" % call[-1])


def up_to(cut: int) -> list[int]:
    return [step for step in STEPS if step <= cut]


@pytest.mark.parametrize("cut", CUTS)
def test_segments_are_cut_like_a_file(tmp_path: Path, cut: int) -> None:
    whole, folder = tmp_path / "history.jsonl", tmp_path / "segments"
    for call in APPENDED:
        history_file.append(whole, [row(step) for step in call])
        history_segments.append(folder, [row(step) for step in call])
    history_file.cut(whole, cut)
    history_segments.cut(folder, cut)
    read = [history_file.read(whole), history_segments.read(folder)]

    assert [[repr(dict(own.values)) for own in some] for some in read] == [rows(up_to(cut))] * 2
    for again in (15, 16):
        history_file.append(whole, [row(again)])
        history_segments.append(folder, [row(again)])
    assert [own.step for own in history_file.read(whole)] == [*up_to(cut), 15, 16]
    assert [own.step for own in history_segments.read(folder)] == [*up_to(cut), 15, 16]


@pytest.mark.parametrize("how", ["cut_history", "rewind"])
def test_whoever_trains_drops_the_rows_beyond_a_step_and_goes_on(store: Store, how: str) -> None:
    for cut in CUTS:
        trial = store.trial(f"{how}{cut}")
        with trial.lock():
            filled(trial)
            getattr(trial, how)(cut)

            assert found(trial) == rows(up_to(cut)), cut
            trial.append_history([row(20)])
            assert found(trial) == rows([*up_to(cut), 20]), cut
            assert trial.complete({})
        assert found(store.trial(trial.key)) == rows([*up_to(cut), 20]), cut


def test_whoever_takes_over_has_the_rows_up_to_the_step_that_it_goes_on_from(
    store: Store,
) -> None:
    """Another attempt rewinds before it writes; what it took over outlives it too."""
    for cut in CUTS:
        first, second, third = (store.trial(f"over{cut}") for _ in range(3))
        with first.lock():
            filled(first)
        with second.lock():
            second.rewind(cut)

            assert found(second) == rows(up_to(cut)), cut
            state = second.read_checkpoint()  # of which the last two are kept
            assert (state[0] if state else 0) == max(
                (step for step in (8, 14) if step <= cut), default=0
            )
            second.append_history([row(20)])
        with third.lock():
            third.rewind(20)
            third.append_history([row(21)])
            assert found(third) == rows([*up_to(cut), 20, 21]), cut


def test_nothing_is_written_by_a_cut_that_drops_nothing(store: Store) -> None:
    trial = store.trial("whole")
    with trial.lock():
        filled(trial)
        before = files.below(trial.path)
        trial.cut_history(14)

        assert files.below(trial.path) == before
