"""Trials that a search stops at rungs: real small trainings in this process, without Ray."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import FloatDistribution
from resolved import cell, table

import semisweep
from semisweep import (
    DataConfig,
    Halving,
    OptimizerConfig,
    Preset,
    Search,
    Store,
    TrainingConfig,
    export,
)
from semisweep.cluster.job import Job, Outcome
from semisweep.cluster.trial_execution import execute
from semisweep.data.shapes import make
from semisweep.running.job_sources import job_for
from semisweep.running.search_run import Suggestions
from semisweep.search.halving import falls_behind, rung_steps, value_at
from semisweep.search.sampling import as_study
from semisweep.search.trial_outcome import outcomes
from semisweep.store import stopped_trial
from semisweep.store.resolved_search import ResolvedSearch, RungDecision
from semisweep.store.trial_records import TrialProgress
from semisweep.study.data_roots import Roots
from semisweep.study.plan import plan
from semisweep.study.request import Request
from semisweep.tables.rendering import render
from semisweep.training.method_fixtures import tiny_network
from semisweep_methods.supervised import Supervised

RATE = "training.optimizer.learning_rate"
SEARCH = Search(
    name="rates",
    title="A search that stops",
    presets={
        "mini": Preset(
            data=DataConfig(name="shapes", labelled=8),
            training=TrainingConfig(
                steps=6,
                labelled_batch=4,
                crop_pixels=32,
                evaluations=6,
                optimizer=OptimizerConfig(learning_rate=0.01),
            ),
            config={"network": tiny_network()},
            metric="last.val.miou",
            metric_note="mIoU",
        )
    },
    method=Supervised,
    space={"mini": {RATE: FloatDistribution(1e-4, 0.5, log=True)}},
    trials=9,
    halving=Halving(rungs=(1 / 3, 2 / 3), reduction=2, peers=2),
    confirm=0,
)


class Died(BaseException):
    """Stands for the end of a process in mid-training: nothing catches it."""


class Place:
    """A search in a store, whose trials are trained here, one at a time."""

    def __init__(self, root: Path, folder: Path, lag: int = 0, **more: Any) -> None:
        self.store = Store.open(folder, create=True)
        self.request = Request(roots=Roots(root, {"shapes": root}), store=str(folder), **more)
        self.source = Suggestions(SEARCH, self.request, self.store, lag)
        self.reported: list[tuple[str, int]] = []

    def run(self, trials: int = 100, die_at: int | None = None) -> list[Outcome]:
        """Train so many trials or all; the last one dies when it has reached a step."""
        found = []
        for count in range(trials):
            job = self.source.next()
            if not job:
                break
            last = count == trials - 1
            found.append(self.train(job, die_at if last else None))
            self.source.done(found[-1])
        return found

    def train(self, job: Job, die_at: int | None = None) -> Outcome:
        def report(told: TrialProgress) -> None:
            if told.evaluation:
                self.reported.append((job.key, told.step))
            elif told.step == die_at:  # its checkpoint is there
                raise Died

        return execute(job, report)

    def search(self) -> ResolvedSearch:
        """Return the search as the store has it."""
        found = self.store.read_search("rates", "mini")
        assert found is not None
        return found


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("data") / "shapes", train=24, val=4, test=4, size=32)


@pytest.fixture(scope="module")
def whole(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(root, tmp_path_factory.mktemp("whole"))
    place.run()
    return place


def stopped_of(place: Place) -> dict[str, RungDecision]:
    """Return the decision that stopped a trial, by key."""
    return {
        entry.key: row for entry in place.search().trials for row in entry.rungs or () if row.stop
    }


def test_some_trials_are_stopped_and_marked_with_their_budget(whole: Place) -> None:
    stopped = stopped_of(whole)

    assert 2 <= len(stopped) <= 7
    assert {row.step for row in stopped.values()} <= {2, 4}
    assert set(whole.store.finished()) == {e.key for e in whole.source.entries} - set(stopped)
    for key, decision in stopped.items():
        folder = whole.store.trial(key)
        row = stopped_trial.stopped(folder) or {}
        assert not folder.finished
        assert (row["budget.steps"], row["budget.total_steps"]) == (decision.step, 6)
        assert row["stopped.rung"] == decision.rung
        assert row["stopped.reason"].startswith(f"val.miou {decision.value:.4f} was not among")
        assert row["last.val.miou"] == decision.value == folder.evaluations()[-1].values["val.miou"]
        assert row[RATE] > 0
        found = folder.read_checkpoint()
        assert found is not None
        assert found[0] == decision.step


def test_a_decision_is_taken_against_what_it_says_it_was(whole: Place) -> None:
    """And against all that had been as far, stopped trials included."""
    seen: dict[int, dict[str, float]] = {2: {}, 4: {}}
    entries = whole.search().trials
    assert sum(len(entry.rungs or ()) for entry in entries) > 12
    for entry in entries:
        rungs = entry.rungs or ()
        assert [row.step for row in rungs] == [2, 4][: len(rungs)]
        for row in rungs:
            assert row.against == seen[row.step]
            ranked = sorted([*row.against.values(), row.value], reverse=True)
            behind = row.value < ranked[max(1, len(ranked) // 2) - 1]
            assert row.stop == (behind and len(row.against) >= 2)
            seen[row.step][entry.key] = row.value


@pytest.mark.parametrize("lag", [0, 1])
def test_a_search_killed_at_any_rung_stops_and_suggests_the_same(
    root: Path, tmp_path: Path, whole: Place, lag: int
) -> None:
    for trial in range(9):
        for step in (2, 4) if trial % 2 else (0, 5):
            place = Place(root, tmp_path, lag)
            try:
                place.run(1, die_at=step)
            except Died:
                continue
    last = Place(root, tmp_path, lag)
    last.run()

    assert last.search().trials == whole.search().trials
    assert export(last.store) == export(whole.store)
    assert last.store.stopped().keys() == whole.store.stopped().keys()


def test_a_decision_that_was_not_acted_upon_is_acted_upon_later(
    root: Path, tmp_path: Path, whole: Place
) -> None:
    """The process dies after its checkpoint of the rung, before the trial is marked as stopped."""
    key, decision = next(iter(stopped_of(whole).items()))
    number = next(e.number for e in whole.search().trials if e.key == key)
    place = Place(root, tmp_path)
    place.run(number)
    with pytest.raises(Died):
        place.run(1, die_at=decision.step)
    assert stopped_trial.stopped(place.store.trial(key)) is None
    again = Place(root, tmp_path)
    (outcome,) = again.run(1)

    assert outcome == Outcome(key, "stopped")
    assert [step for own, step in again.reported if own == key] == []
    assert stopped_trial.stopped(again.store.trial(key)) is not None


def test_stopped_trials_are_loaded_when_asked_for_and_marked(whole: Place) -> None:
    plain = semisweep.load(whole.store.root)
    everything = semisweep.load(whole.store.root, stopped=True)
    only = semisweep.load(whole.store.root, stopped=True, where={"status": "stopped"})
    stopped = set(stopped_of(whole))

    assert set(plain["status"]) == {"finished"}
    assert "budget.steps" not in plain
    assert len(everything) == 9
    assert set(only["key"]) == stopped
    assert set(everything[everything["status"] == "stopped"]["key"]) == stopped
    assert (only["budget.steps"] < only["budget.total_steps"]).all()
    some = semisweep.load(whole.store.root, stopped=True, columns=["budget.steps", "seed"])
    assert list(some) == ["key", "status", "budget.steps", "seed"]
    assert some["budget.steps"].notna().sum() == len(stopped)


def test_the_sampler_is_told_of_stopped_trials_what_they_reached(whole: Place) -> None:
    study = as_study(whole.search(), outcomes(whole.store, whole.search()))
    stopped = stopped_of(whole)

    for trial in study.get_trials():
        key = trial.user_attrs["key"]
        assert trial.state.name == ("PRUNED" if key in stopped else "COMPLETE")
        if key in stopped:
            assert trial.intermediate_values[stopped[key].step] == stopped[key].value


def test_a_suggestion_records_that_it_knew_of_stopped_trials_too(whole: Place) -> None:
    stopped = stopped_of(whole)

    assert any(own.key in stopped for own in whole.search().trials[:-1])
    for entry in whole.search().trials:  # one at a time: all before it have ended
        assert entry.saw == tuple(range(entry.number))


def test_the_report_tells_of_rungs_and_of_what_was_stopped(whole: Place) -> None:
    shown = render(["rates"], whole.request)

    assert "- Rungs at 0.333, 0.667 of the steps: the best 1/2 by val.miou go on" in shown
    for key, decision in stopped_of(whole).items():
        line = next(line for line in shown.splitlines() if key in line)
        assert f"at step {decision.step}, stopped" in line
        assert f"stopped at step {decision.step} (rung {decision.rung:.3g})" in shown
    assert f"{len(stopped_of(whole))} stopped at a rung" in shown


def test_a_stopped_trial_is_continued_to_the_end_under_its_key(
    root: Path, tmp_path: Path, whole: Place
) -> None:
    first = Place(root, tmp_path)
    first.run()
    stopped = stopped_of(first)
    assert Place(root, tmp_path).source.total == 0
    again = Place(root, tmp_path, continue_stopped=True)
    assert again.source.total == len(stopped)
    done = again.run()

    assert {outcome.key for outcome in done} == set(stopped)
    assert {outcome.status for outcome in done} == {"finished"}
    for key, decision in stopped.items():
        folder = again.store.trial(key)
        steps = [step for own, step in again.reported if own == key]
        assert steps == list(range(decision.step + 1, 7))
        assert [row.step for row in folder.evaluations()] == [1, 2, 3, 4, 5, 6]
        assert stopped_trial.stopped(folder) is None
        assert stopped_trial.stopped_path(folder) is not None
    assert len(semisweep.load(first.store.root, stopped=True)) == 9
    assert set(semisweep.load(first.store.root, stopped=True)["status"]) == {"finished"}
    assert Place(root, tmp_path, continue_stopped=True).source.total == 0


def test_a_table_that_wants_a_stopped_trial_trains_it_to_the_end(
    root: Path, tmp_path: Path, whole: Place
) -> None:
    place = Place(root, tmp_path)
    place.run(7)
    key = next(iter(stopped_of(place)))
    whole_table = table(cell([key]))
    search = place.search()
    assert plan([whole_table], place.store).missing == (key,)
    assert key in plan([search], place.store).stopped
    assert plan([search, whole_table], place.store).missing == (key,)

    job = job_for(key, place.source.trials[key], place.store, place.source.splits, place.request)
    fresh = Store.open(tmp_path / "fresh", create=True)
    assert place.train(job) == Outcome(key, "finished")
    assert place.train(dataclasses.replace(job, store=str(fresh.root))) == Outcome(key, "finished")

    continued, straight = (store.trial(key).result() or {} for store in (place.store, fresh))
    same = [name for name in straight if not name.startswith("run.")]
    assert len(same) > 60
    assert repr([continued[name] for name in same]) == repr([straight[name] for name in same])


def test_another_search_judges_at_rungs_that_a_trial_has_passed(root: Path, tmp_path: Path) -> None:
    """A job without rungs died at step 3; the search's first rung, at 2, is judged before more."""
    place = Place(root, tmp_path)
    place.run(3)
    job = place.source.next()
    assert job
    with pytest.raises(Died):
        place.train(dataclasses.replace(job, halving=None), die_at=3)
    place.reported.clear()
    value = place.store.trial(job.key).evaluations()[1].values["val.miou"]
    others = [(entry.rungs or ())[0].value for entry in place.search().trials[:3]]
    assert value not in others
    losing = "minimize" if value > min(others) else "maximize"
    assert job.halving is not None
    strict = dataclasses.replace(job.halving, direction=losing, peers=1, reduction=4)

    assert place.train(dataclasses.replace(job, halving=strict)) == Outcome(job.key, "stopped")
    assert place.reported == []
    (decision,) = stopped_trial.read_rungs(place.store.trial(job.key))
    assert (decision.step, sorted(decision.against.values())) == (2, sorted(others))
    row = stopped_trial.stopped(place.store.trial(job.key)) or {}
    assert (row["budget.steps"], row["stopped.rung"]) == (3, 1 / 3)


def test_rows_of_losses_alone_are_no_evaluation_at_a_rung(tmp_path: Path) -> None:
    folder = Store.open(tmp_path / "store", create=True).trial("key")
    identity = {"training": {"total_steps": 10}}
    folder.describe({"format": 1, "key": "key", "trial": {}, "identity": identity})
    losses = [{"step": step, "student.loss": 0.5} for step in (5, 6)]
    folder.append_history([{"step": 4, "val.miou": 0.1}, *losses, {"step": 7, "val.miou": 0.2}])

    assert value_at(folder, 0.5, "val.miou") == 0.2
    assert value_at(folder, 0.8, "val.miou") is None


def test_rungs_are_at_the_first_evaluations_at_or_after_them_and_never_at_the_end() -> None:
    assert rung_steps((1 / 9, 1 / 3), [300, 600, 900, 1200, 1500], 1500) == {300: 1 / 9, 600: 1 / 3}
    assert rung_steps((0.1, 0.2, 0.5), [5, 10], 10) == {5: 0.5}
    assert rung_steps((0.6, 0.9), [5, 10], 10) == {}


@pytest.mark.parametrize(
    ("value", "others", "expected"),
    [
        (0.1, [], False),
        (0.1, [0.9], False),
        (0.1, [0.9, 0.8], True),
        (0.9, [0.9, 0.8], False),
        (0.85, [0.9, 0.8], True),
        (0.85, [0.9, 0.8, 0.7, 0.6, 0.5], False),
        (0.75, [0.9, 0.8, 0.7, 0.6, 0.5], True),
        (float("nan"), [0.9, 0.8], True),
        (float("nan"), [0.9], False),
    ],
)
def test_the_best_third_goes_on(value: float, others: list[float], expected: bool) -> None:
    found = falls_behind(value, others, reduction=3, peers=2, maximize=True)
    mirrored = falls_behind(-value, [-x for x in others], reduction=3, peers=2, maximize=False)

    assert found == mirrored == expected
