"""Searches without Ray: what is suggested depends on the store alone, not on who asks when."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from semisweep.data.shapes import make
from semisweep.rehearsal import tiny_network
from semisweep.request import Request, Roots
from semisweep.search import Suggestions
from semisweep.store import Store
from semisweep.study import Preset, Search
from semisweep.trial import DataConfig, TrainingConfig
from semisweep_methods.rankmatch import RankMatch

SPACE: Mapping[str, BaseDistribution] = {
    "config.threshold": FloatDistribution(0.5, 0.98),
    "config.rank_weight": FloatDistribution(0.02, 1.0, log=True),
    "config.agents": IntDistribution(4, 64, log=True),
}
SEARCH = Search(
    name="weights",
    title="A search",
    presets={
        "mini": Preset(
            data=DataConfig(name="shapes", labelled=8),
            training=TrainingConfig(steps=2, labelled_batch=4, unlabelled_batch=4, crop_pixels=32),
            config={"network": tiny_network()},
            metric="last.val.miou",
            metric_note="mIoU",
        )
    },
    method=RankMatch,
    space={"mini": SPACE},
    trials=12,
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("data") / "shapes", train=24, val=4, test=4, size=32)


class Place:
    """A search in a store; its trials are not trained, their scores are a formula."""

    def __init__(self, root: Path, folder: Path, search: Search = SEARCH, **more: Any) -> None:
        self.store = Store.open(folder, create=True)
        roots = Roots(root, {"shapes": root})
        self.request = Request(roots=roots, store=str(folder), **more)
        self.source = Suggestions(search, self.request, self.store)

    def next(self) -> dict[str, Any] | None:
        """Return the parameters and key of the next trial."""
        job = self.source.next()
        if job is None:
            return None
        (entry,) = [entry for entry in self.source.entries if entry["key"] == job["key"]]
        return entry

    def finish(self, entry: Mapping[str, Any]) -> None:
        """Complete a trial with a score that has a maximum inside the space."""
        values = entry["params"]
        score = 1 - (values["config.threshold"] - 0.8) ** 2
        score -= (math.log(values["config.rank_weight"] / 0.1) / 10) ** 2
        score -= (math.log(values["config.agents"] / 20) / 10) ** 2
        row = {"last.val.miou": score, "run.seconds": 1.0}
        self.store.trial(entry["key"]).complete(row)
        self.source.done(entry["key"], "finished", "")

    def run(self, trials: int = 10**6) -> int:
        """Run so many trials, one at a time, or all that are left; return how many it were."""
        for count in range(trials):
            entry = self.next()
            if entry is None:
                return count
            self.finish(entry)
        return trials


@pytest.fixture(scope="module")
def undisturbed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return what a search suggests that nothing interrupts."""
    place = Place(root, tmp_path_factory.mktemp("undisturbed"))
    assert place.run() == 12
    return place.source.entries


def test_suggestions_lie_in_the_space_and_differ(undisturbed: list[dict[str, Any]]) -> None:
    assert [entry["number"] for entry in undisturbed] == list(range(12))
    for name in SPACE:
        values = [entry["params"][name] for entry in undisturbed]
        assert len(set(values)) > 6
        assert all(SPACE[name]._contains(SPACE[name].to_internal_repr(v)) for v in values)


def test_each_suggestion_records_the_trials_it_saw(undisturbed: list[dict[str, Any]]) -> None:
    assert [entry["saw"] for entry in undisturbed] == [list(range(n)) for n in range(12)]


@pytest.mark.parametrize("moment", ["a trial ended", "a trial was begun"])
def test_a_search_stopped_after_any_trial_goes_on_as_if_it_had_not_been(
    root: Path, tmp_path: Path, undisturbed: list[dict[str, Any]], moment: str
) -> None:
    for _ in range(12):
        place = Place(root, tmp_path)
        place.run(1)
        if moment == "a trial was begun":
            place.next()  # and is lost: nobody finishes it
    last = Place(root, tmp_path)
    last.run()

    assert last.source.entries == undisturbed
    assert len(last.store.finished()) == 12


def test_scores_guide_the_suggestions(
    root: Path, tmp_path: Path, undisturbed: list[dict[str, Any]]
) -> None:
    """With other scores the random start is the same, and what follows is not."""
    place = Place(root, tmp_path)
    while (entry := place.next()) is not None:
        row = {"last.val.miou": -entry["params"]["config.threshold"], "run.seconds": 1.0}
        place.store.trial(entry["key"]).complete(row)
    found = [entry["params"] for entry in place.source.entries]
    expected = [entry["params"] for entry in undisturbed]

    assert found[:5] == expected[:5]
    assert all(a != b for a, b in zip(found[6:], expected[6:], strict=True))


def test_several_at_a_time_are_different_and_record_what_was_finished(
    root: Path, tmp_path: Path
) -> None:
    place = Place(root, tmp_path)
    running = [place.next() for _ in range(3)]
    for entry in running[:2]:
        assert entry is not None
        place.finish(entry)
    later = place.next()

    assert later is not None
    assert later["saw"] == [0, 1]
    keys = {entry["key"] for entry in (*running, later) if entry is not None}
    assert len(keys) == 4


def test_the_same_values_are_not_run_twice(root: Path, tmp_path: Path) -> None:
    space = {"mini": {"config.agents": IntDistribution(8, 9)}}
    search = dataclasses.replace(SEARCH, space=space, trials=6)
    place = Place(root, tmp_path, search)
    ran = 0
    while (entry := place.next()) is not None:
        place.store.trial(entry["key"]).complete({"last.val.miou": 0.5, "run.seconds": 1.0})
        ran += 1

    assert ran == 2
    assert len(place.source.entries) == 6


def test_a_failed_trial_is_kept_as_one_and_run_again_only_when_asked_for(
    root: Path, tmp_path: Path
) -> None:
    place = Place(root, tmp_path)
    entry = place.next()
    assert entry is not None
    place.source.done(entry["key"], "failed", "the worker group has ended")

    failure = place.store.trial(entry["key"]).failure()
    assert failure is not None
    assert failure["error"] == "the worker group has ended"
    assert failure["trial"]["config"]["agents"] == entry["params"]["config.agents"]
    again = Place(root, tmp_path)
    assert again.source.total == 11
    assert again.next() != entry
    retried = Place(root, tmp_path, retry_failed=True)
    assert retried.next() == entry


def test_a_changed_space_begins_anew(root: Path, tmp_path: Path) -> None:
    Place(root, tmp_path).run(2)
    space = {"mini": {**SPACE, "config.agents": IntDistribution(4, 8)}}
    changed = Place(root, tmp_path, dataclasses.replace(SEARCH, space=space))

    assert changed.source.entries == []
    assert changed.source.total == 12
