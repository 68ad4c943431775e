"""Searches without Ray: what is suggested depends on the store alone, not on who asks when."""

from __future__ import annotations

import dataclasses
import json
import math
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from formula_search import SEARCH, SPACE, Place, varied
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from semisweep import (
    Bundle,
    Halving,
    Objective,
    Store,
    When,
)
from semisweep.checks.validation import check_study
from semisweep.cluster.job import WAIT, Outcome
from semisweep.core.errors import ConfigError
from semisweep.data.shapes import make
from semisweep.running.search_run import turn
from semisweep.store.resolved_search import Suggestion
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request
from semisweep.study.resolve import Splits
from semisweep.tables.rendering import render


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("data") / "shapes", train=24, val=4, test=4, size=32)


@pytest.fixture(scope="module")
def undisturbed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Sequence[Suggestion]:
    """Return what a search suggests that nothing interrupts."""
    place = Place(root, tmp_path_factory.mktemp("undisturbed"))
    assert place.run() == 12
    return place.source.entries


def test_suggestions_lie_in_the_space_and_differ(undisturbed: Sequence[Suggestion]) -> None:
    assert [entry.number for entry in undisturbed] == list(range(12))
    for name in SPACE:
        values = [entry.params[name] for entry in undisturbed]
        assert len(set(values)) > 6
        assert all(SPACE[name]._contains(SPACE[name].to_internal_repr(v)) for v in values)


def test_each_suggestion_records_the_trials_it_saw(undisturbed: Sequence[Suggestion]) -> None:
    assert [entry.saw for entry in undisturbed] == [tuple(range(n)) for n in range(12)]


@pytest.mark.parametrize("moment", ["a trial ended", "a trial was begun"])
def test_a_search_stopped_after_any_trial_goes_on_as_if_it_had_not_been(
    root: Path, tmp_path: Path, undisturbed: Sequence[Suggestion], moment: str
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
    root: Path, tmp_path: Path, undisturbed: Sequence[Suggestion]
) -> None:
    """With other scores the random start is the same, and what follows is not."""
    place = Place(root, tmp_path)
    while (entry := place.next()) is not None:
        row = {"last.val.miou": -entry.params["config.threshold"], "run.seconds": 1.0}
        place.store.trial(entry.key).complete(row)
    found = [entry.params for entry in place.source.entries]
    expected = [entry.params for entry in undisturbed]

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
    assert later.saw == (0, 1)
    keys = {entry.key for entry in (*running, later) if entry is not None}
    assert len(keys) == 4


def test_the_same_values_are_not_run_twice(root: Path, tmp_path: Path) -> None:
    space = {"mini": {"config.agents": IntDistribution(8, 9)}}
    search = dataclasses.replace(SEARCH, space=space, trials=6)
    place = Place(root, tmp_path, search)
    ran = 0
    while (entry := place.next()) is not None:
        place.store.trial(entry.key).complete({"last.val.miou": 0.5, "run.seconds": 1.0})
        ran += 1

    assert ran == 2
    assert len(place.source.entries) == 6


def test_a_failed_trial_is_kept_as_one_and_run_again_only_when_asked_for(
    root: Path, tmp_path: Path
) -> None:
    place = Place(root, tmp_path)
    entry = place.next()
    assert entry is not None
    place.source.done(Outcome(entry.key, "failed", "the worker group has ended"))

    failure = place.store.trial(entry.key).failure()
    assert failure is not None
    assert failure.error == "the worker group has ended"
    assert failure.trial["config"]["agents"] == entry.params["config.agents"]
    again = Place(root, tmp_path)
    assert again.source.total == 11
    assert again.next() != entry
    retried = Place(root, tmp_path, retry_failed=True)
    assert retried.next() == entry


AGENTS = {
    "config.consistency": CategoricalDistribution(("kl", "rank")),
    "config.threshold": FloatDistribution(0.5, 0.9, step=0.2),
    "config.ranked": When("config.consistency", "rank", IntDistribution(2, 4)),
    "config.agents": When("config.ranked", (3, 4), CategoricalDistribution((8, 16))),
}


SEARCHES = {
    "tpe": SEARCH,
    "random": varied(sampler="random"),
    "grid": varied(sampler="grid", space={"mini": AGENTS}, trials=None),
    "conditional": varied(space={"mini": AGENTS}, trials=14),
    "two objectives": varied(also=[Objective(metric="parameters", direction="minimize")]),
    "a bundle": varied(
        space={"mini": {"size": Bundle({n: {"config.agents": n} for n in (4, 8)}), **SPACE}}
    ),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_whatever_the_sampler_a_stopped_search_goes_on_as_if_it_had_not_been(
    root: Path, tmp_path: Path, name: str
) -> None:
    whole = Place(root, tmp_path / "whole", SEARCHES[name])
    whole.run()
    for _ in range(whole.source.limit):
        place = Place(root, tmp_path / "stopped", SEARCHES[name])
        place.run(1)
        place.next()  # and is lost
    last = Place(root, tmp_path / "stopped", SEARCHES[name])
    last.run()

    assert json.dumps(last.source.resolved.encoded()) == json.dumps(whole.source.resolved.encoded())
    assert len(whole.source.entries) == whole.source.limit >= 12
    assert last.store.read_study("weights", "mini") == last.source.resolved


def test_no_sampler_suggests_what_another_does(root: Path, tmp_path: Path) -> None:
    found = {}
    for name, search in SEARCHES.items():
        place = Place(root, tmp_path / name, search)
        place.run(8)
        found[name] = json.dumps([dict(entry.params) for entry in place.source.entries])

    assert len(set(found.values())) == len(SEARCHES)


def test_a_grid_has_each_point_once_and_none_that_no_condition_allows(
    root: Path, tmp_path: Path
) -> None:
    place = Place(root, tmp_path, SEARCHES["grid"])
    place.run()
    points = [entry.params for entry in place.source.entries]

    expected: Sequence[Suggestion] = []
    for threshold in (0.5, 0.7, 0.9):
        expected.append({"config.consistency": "kl", "config.threshold": threshold})
        start = {"config.consistency": "rank", "config.threshold": threshold}
        expected.append({**start, "config.ranked": 2})
        expected += [
            {**start, "config.ranked": ranked, "config.agents": agents}
            for ranked in (3, 4)
            for agents in (8, 16)
        ]
    texts = sorted(map(json.dumps, points))
    assert texts == sorted(map(json.dumps, expected))
    assert len(place.store.finished()) == len(set(texts)) == 18
    assert Place(root, tmp_path, SEARCHES["grid"]).source.total == 0


def test_a_name_under_a_condition_is_suggested_where_it_holds_and_nowhere_else(
    root: Path, tmp_path: Path
) -> None:
    place = Place(root, tmp_path, SEARCHES["conditional"])
    place.run()
    found = [entry.params for entry in place.source.entries]

    assert {values["config.consistency"] for values in found} == {"kl", "rank"}
    for values in found:
        assert ("config.ranked" in values) == (values["config.consistency"] == "rank")
        assert ("config.agents" in values) == (values.get("config.ranked", 2) > 2)


def test_a_bundle_sets_several_fields_of_a_trial(root: Path, tmp_path: Path) -> None:
    options = {
        "small": {"config.agents": 4, "config.network.channels": 8},
        "large": {"config.agents": 64},
    }
    place = Place(root, tmp_path, varied(space={"mini": {"size": Bundle(options)}}))
    small, large = (place.source.trial({"size": size}) for size in ("small", "large"))

    assert (small.config.agents, small.config.network.channels) == (4, 8)
    assert (large.config.agents, large.config.network.channels) == (64, 16)


def parallel(place: Place, slots: int, seed: int) -> int:
    """Run a search on so many slots, of which a random one is the next to end; return the waits."""
    chance = random.Random(seed)
    running: list[Mapping[str, Any]] = []
    waits, over = 0, False
    while running or not over:
        while len(running) < slots and not over:
            entry = place.next()
            if entry is WAIT:
                waits += 1
                break
            over = entry is None
            running += [] if entry is None else [entry]
        if running:
            place.finish(running.pop(chance.randrange(len(running))))
    return waits


@pytest.mark.parametrize("name", ["tpe", "conditional", "two objectives"])
def test_a_deterministic_search_repeats_itself_however_long_its_trials_take(
    root: Path, tmp_path: Path, name: str
) -> None:
    tables, waits = [], 0
    for seed in range(4):
        place = Place(root, tmp_path / f"{seed}", SEARCHES[name], lag=3)
        waits += parallel(place, 3, seed)
        tables.append(json.dumps(place.source.resolved.encoded()))

    assert len(set(tables)) == 1
    assert waits > 0
    for entry in place.source.entries:
        assert entry.saw == tuple(range(max(0, entry.number - 2)))


def test_without_it_what_is_suggested_depends_on_what_has_ended(root: Path, tmp_path: Path) -> None:
    found = set()
    for seed in range(4):
        place = Place(root, tmp_path / f"{seed}")
        assert parallel(place, 3, seed) == 0
        found.add(json.dumps(place.source.resolved.encoded()))

    assert len(found) > 1


def test_a_deterministic_search_is_resumed_by_its_own_lag(root: Path, tmp_path: Path) -> None:
    """Two of three running trials are lost, and then there is but one slot."""
    whole = Place(root, tmp_path / "whole", lag=3)
    parallel(whole, 3, seed=0)
    place = Place(root, tmp_path / "stopped", lag=3)
    running = [place.next() for _ in range(3)]
    assert running[1]
    place.finish(running[1])
    again = Place(root, tmp_path / "stopped", lag=1)
    again.run()

    assert again.source.lag == 3
    assert json.dumps(again.source.resolved.encoded()) == json.dumps(
        whole.source.resolved.encoded()
    )


def test_the_pareto_front_is_what_nothing_beats_and_is_stored(root: Path, tmp_path: Path) -> None:
    place = Place(root, tmp_path, SEARCHES["two objectives"])
    place.run()
    stored = place.store.read_search("weights", "mini")
    assert stored is not None
    assert stored.front is not None
    scores = {}
    for entry in stored.trials:
        row = place.store.trial(entry.key).result() or {}
        scores[entry.number] = (row["last.val.miou"], -row["parameters"])

    def beaten(own: tuple[float, float]) -> bool:
        others = (other for other in scores.values() if other != own)
        return any(other[0] >= own[0] and other[1] >= own[1] for other in others)

    assert list(stored.front) == [n for n, own in scores.items() if not beaten(own)]
    assert 1 <= len(stored.front) < 12
    shown = render(["weights"], place.request)
    told = ", ".join(f"#{number}" for number in stored.front)
    assert f"Pareto front (last.val.miou high, parameters low): {told}." in shown


def test_a_report_tells_what_mattered(root: Path, tmp_path: Path) -> None:
    space = {"mini": {name: SPACE[name] for name in ("config.threshold", "config.agents")}}
    place = Place(root, tmp_path, varied(space=space, trials=40, sampler="random"))
    place.run(4)
    early = render(["weights"], place.request)
    place.run()
    shown = render(["weights"], place.request)
    told = next(line for line in shown.splitlines() if line.startswith("- Importance"))

    assert "- Importance: needs 10 finished trials, there are 4." in early
    assert re.match(r"- Importance: config\.\w+ \d\d % \(p = 0\.00", told)
    assert ", of 2 parameters (40 trials); share of the variance that each explains alone" in told


def test_a_search_may_be_given_another_number_of_trials(root: Path, tmp_path: Path) -> None:
    assert Place(root, tmp_path, trials=3).run() == 3
    assert Place(root, tmp_path, trials=5).run() == 2
    assert Place(root, tmp_path, SEARCH).run() == 7


def test_a_search_with_changes_is_shown_where_they_are_asked_for(
    root: Path, tmp_path: Path
) -> None:
    place = Place(root, tmp_path, trials=3, changes={"training.steps": 5})
    assert place.run() == 3

    assert "3 of 3 suggested trials finished" in render(["weights"], place.request)


def test_a_table_written_before_there_were_samplers_is_gone_on_with(
    root: Path, tmp_path: Path, undisturbed: Sequence[Suggestion]
) -> None:
    place = Place(root, tmp_path)
    place.run(4)
    path = place.store.root / "studies" / "weights@mini.json"
    stored = json.loads(path.read_bytes())
    for name in ("sampler", "also", "halving", "identity"):
        del stored[name]
    path.write_text(json.dumps(stored))
    again = Place(root, tmp_path)
    again.run()

    assert again.source.entries == undisturbed


def test_a_result_without_an_objective_is_refused(root: Path, tmp_path: Path) -> None:
    place = Place(root, tmp_path, varied(metric="last.val.miuo"))
    entry = place.next()
    assert entry is not None

    with pytest.raises(
        ConfigError, match=r"metric='last\.val\.miuo'.*did you mean last\.val\.miou"
    ):
        place.finish(entry)


def test_a_score_that_is_no_number_is_no_score(root: Path, tmp_path: Path) -> None:
    place = Place(root, tmp_path)
    entry = place.next()
    assert entry is not None
    place.store.trial(entry.key).complete({"last.val.miou": math.nan, "run.seconds": 1.0})
    place.source.done(Outcome(entry.key, "finished"))
    later = place.next()

    assert later is not None
    assert later.saw == ()
    assert "failed" in render(["weights"], place.request)


@pytest.mark.parametrize(
    ("changes", "more", "told"),
    [
        ({"sampler": "tpee"}, {}, "unknown sampler 'tpee'; did you mean tpe"),
        ({"sampler": "grid"}, {}, "choices or a step for everything that it varies, got config.th"),
        ({"trials": None}, {}, "a search must have a number of trials, got trials=None"),
        ({"direction": "max"}, {}, "unknown direction 'max'"),
        (
            {"space": {"mini": {"config.thresold": SPACE["config.threshold"]}}},
            {},
            "config.thresold",
        ),
        ({"space": {"mini": {"config.threshold": FloatDistribution(0.5, 1.5)}}}, {}, "=1.5"),
        ({"space": {"mini": {}}}, {}, "a search must vary something"),
        (
            {
                "halving": Halving(rungs=(0.5,)),
                "also": [Objective(metric="parameters", direction="minimize")],
            },
            {},
            "trials can be stopped by one objective only",
        ),
        (
            {"halving": Halving(rungs=(0.5,))},
            {"changes": {"training.evaluations": 1}},
            "an evaluation before the end, got rungs=(0.5,), training.evaluations=1",
        ),
        ({}, {"race": True}, "a race is one of a table's rows, got study='weights'"),
    ],
)
def test_a_search_that_cannot_be_run_is_refused_before_it_begins(
    root: Path, tmp_path: Path, changes: dict[str, Any], more: dict[str, Any], told: str
) -> None:
    roots = Roots(root, {"shapes": root})
    request = Request(roots=roots, store=str(tmp_path / "absent"), **more)
    with pytest.raises(ConfigError) as caught:
        check_study(varied(**changes), request, Splits(request.roots))

    assert told in str(caught.value)
    assert not (tmp_path / "absent").exists()


HOLDER = """
import sys, time
from semisweep.running.search_run import turn
from semisweep import Store

with turn(Store.open(sys.argv[1]), "weights", "mini", lambda: None):
    print("has it", flush=True)
    time.sleep(600)
"""


def test_a_search_has_one_process_at_a_time_and_the_next_goes_on_when_that_is_dead(
    tmp_path: Path,
) -> None:
    store = Store.open(tmp_path, create=True)
    told: list[str] = []
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "has it\n"
        waiting = threading.Thread(target=take_turn, args=(store, told))
        waiting.start()
        while not told:
            time.sleep(0.01)
        with turn(store, "weights", "paper", lambda: told.append("waits")):
            told.append("another search need not wait")
        holder.kill()
        waiting.join(60)

    assert told == ["waits", "another search need not wait", "has it"]


def take_turn(store: Store, told: list[str]) -> None:
    with turn(store, "weights", "mini", lambda: told.append("waits")) as confirm:
        confirm()
        told.append("has it")
