"""Rows at their best, without Ray: searched at once, chosen once, trained once."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import pytest
from tuned_study import RATE, STUDY, TUNE, Tuned, trials_of, with_tune

from semisweep import Column
from semisweep.cluster.job import WAIT, Job, Outcome
from semisweep.core.errors import ConfigError
from semisweep.running.preparation import resolved_at
from semisweep.search.earlier_trials import template_of
from semisweep.search.tuning_choice import searches_of
from semisweep.store.garbage_collection import examine
from semisweep.store.resolved_search import ResolvedSearch
from semisweep.store.resolved_study import ResolvedStudy
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request
from semisweep.study.tuned_rows import OF_ITS_OWN
from semisweep.tables.rendering import Reading, render

BOTH = [("full", "few"), ("low", "few")]


@pytest.fixture
def place(tiny_shapes: Path, tmp_path: Path) -> Tuned:
    return Tuned(tiny_shapes, tmp_path)


def everything(place: Tuned) -> dict[str, Any]:
    """Return every study and every finished trial of a store."""
    found = {str(own.place): own.study.encoded() for own in place.store.study_files.all()}
    return json.loads(json.dumps({**found, "trials": sorted(place.store.finished())}))


def test_each_row_is_searched_and_its_replicates_are_its_best(place: Tuned) -> None:
    found = place.run()
    assert len(place.ran) == len(set(place.ran)) == 2 * 4
    assert len(place.store.finished()) == 2 * 4 + 3 * 3

    for row, column in BOTH:
        search = place.store.read_search(f"tuned~{row}~{column}", "mini")
        assert search is not None
        scores = [(place.store.trial(e.key).result() or {})["last.val.miou"] for e in search.trials]
        best = search.trials[scores.index(max(scores))]
        cell = found.table.at[row, column]
        assert cell.tuning is not None
        assert (cell.tuning.number, cell.tuning.params) == (best.number, best.params)
        assert (cell.tuning.score, cell.tuning.seconds) == (max(scores), 4 * 60.0)
        rates = {own.training.optimizer.learning_rate for own in trials_of(found, row)}
        assert rates == {best.params[RATE]}
    rates = {own.training.optimizer.learning_rate for own in trials_of(found, "labels")}
    assert rates == {STUDY.presets["mini"].training.optimizer.learning_rate}


def test_searches_have_a_draw_and_a_seed_that_no_replicate_has(place: Tuned) -> None:
    source = place.source()
    jobs = []
    while job := source.next():
        jobs.append(job)
        place.finish(source, job)
    found = place.prepare()

    assert {(job.trial["data"]["draw"], job.trial["seed"]) for job in jobs} == {(OF_ITS_OWN,) * 2}
    used = {(own.data.draw, own.seed) for own in found.trials.values()}
    assert used == {(0, 0), (1, 0), (2, 0)}
    assert not {job.key for job in jobs} & set(found.trials)


@pytest.mark.parametrize("data", [{"data.labelled": None}, {"data.family": "ours"}])
def test_what_is_not_drawn_has_no_other_draw_but_another_seed(
    tiny_shapes: Path, tmp_path: Path, data: dict[str, Any]
) -> None:
    request = Request(roots=Roots(tiny_shapes.parent, {"shapes": tiny_shapes}))
    column = Column(name="other", set={"mini": data})
    found = searches_of(dataclasses.replace(STUDY, columns=[column]), request)

    for search in found.values():
        trial = template_of(search, request)
        assert (trial.data.draw, trial.seed) == (0, OF_ITS_OWN)


@pytest.mark.parametrize("lag", [0, 2])
def test_one_that_is_killed_after_any_trial_goes_on_as_if_it_had_not_been(
    tiny_shapes: Path, tmp_path: Path, lag: int
) -> None:
    whole = Tuned(tiny_shapes, tmp_path / "whole")
    whole.search(lag=lag)
    whole.run()
    killed = Tuned(tiny_shapes, tmp_path / "killed")
    for _ in range(8):
        source = killed.source(lag)
        job = source.next()
        assert isinstance(job, Job)
        killed.finish(source, job)
        source.next()  # is begun, and lost
    killed.run()

    assert len(killed.ran) == 8
    text = json.dumps(everything(killed)).replace("killed", "whole")
    assert json.loads(text) == everything(whole)


def test_several_at_a_time_repeat_themselves_where_they_must(
    tiny_shapes: Path, tmp_path: Path
) -> None:
    found = []
    for seed in range(3):
        place, turns = Tuned(tiny_shapes, tmp_path / f"{seed}"), random.Random(seed)
        source, running, over = place.source(lag=3), list[Job](), False
        while running or not over:
            while len(running) < 3 and not over:
                job = source.next()
                if job is WAIT:
                    break
                over = job is None
                running += [job] if isinstance(job, Job) else []
            if running:
                place.finish(source, running.pop(turns.randrange(len(running))))
        place.run()
        found.append(everything(place))

    assert found[0] == found[1] == found[2]


def test_searches_take_turns_and_a_trial_of_two_is_trained_once(
    tiny_shapes: Path, tmp_path: Path
) -> None:
    """Two rows that are equal but for their names suggest the same first trial."""
    full = STUDY.rows[0]
    twins = dataclasses.replace(
        STUDY, rows=[full, dataclasses.replace(full, name="twin"), STUDY.rows[1]]
    )
    place = Tuned(tiny_shapes, tmp_path, twins)
    source = place.source()
    first, second = source.next(), source.next()
    assert isinstance(first, Job)
    assert isinstance(second, Job)
    thresholds = [job.trial["config"]["threshold"] for job in (first, second)]
    assert len({first.key, second.key}) == 2
    for job in (first, second):
        place.finish(source, job)
    while job := source.next():
        assert job.key not in place.ran
        place.finish(source, job)

    found = place.tunings()
    assert thresholds[0] == 0.95
    assert found["full", "few"].ended == found["twin", "few"].ended == 4


def test_a_trial_that_two_searches_have_asked_for_ends_for_both(
    tiny_shapes: Path, tmp_path: Path
) -> None:
    """Of one point there is one trial, whoever asks for it, also while it is in training."""
    one = TUNE.space["mini"][RATE].__class__(0.01, 0.01)
    row = dataclasses.replace(
        STUDY.rows[0], tune=dataclasses.replace(TUNE, space={"mini": {RATE: one}}, trials=1)
    )
    study = dataclasses.replace(STUDY, rows=[row, dataclasses.replace(row, name="twin")])
    place = Tuned(tiny_shapes, tmp_path, study)
    source = place.source()
    job = source.next()
    assert isinstance(job, Job)
    assert source.next() is WAIT
    place.finish(source, job)

    assert source.next() is None
    assert [own.ended for own in place.tunings().values()] == [1, 1]


def test_a_cell_waits_until_its_search_has_all_trials(place: Tuned) -> None:
    place.search(5)
    table = place.prepare().table
    ended = {cell.place: cell.tuning.ended for cell in table.cells if cell.tuning}

    assert sum(ended.values()) == 5
    assert all(not table.at[own].trials for own, count in ended.items() if count < 4)
    assert len(table.at["labels", "few"].trials) == 3
    told = render(["tuned"], place.request)
    assert "Waiting for the search of " in told
    assert "2 of 4 trials, `semisweep run tuned" in told or "1 of 4 trials, `" in told
    assert Reading(["tuned"], place.request).failures() == []
    done = place.run()
    assert all(len(cell.trials) == 3 for cell in done.table.cells)
    assert "Waiting" not in render(["tuned"], place.request)


def test_a_search_that_failed_whole_is_told_and_tried_again(
    tiny_shapes: Path, tmp_path: Path
) -> None:
    place = Tuned(tiny_shapes, tmp_path)
    source = place.source()
    while job := source.next():
        if job.trial["config"]["threshold"] == 0.95:
            source.done(Outcome(job.key, "failed", "diverged"))
        else:
            place.finish(source, job)
    found = place.run()

    assert not found.table.at["full", "few"].trials
    assert len(found.table.at["low", "few"].trials) == 3
    told = render(["tuned"], place.request)
    assert (
        "Waiting for the search of full (all 4 trials failed, --retry-failed tries again)." in told
    )
    (line,) = Reading(["tuned"], place.request).failures()
    assert line == "full, few: all 4 trials of its search 'tuned~full~few' failed"
    again = Tuned(tiny_shapes, tmp_path, retry_failed=True)
    assert len(again.run().table.at["full", "few"].trials) == 3
    assert len(again.ran) == 4


def test_a_failed_trial_is_part_of_the_budget(place: Tuned) -> None:
    source = place.source()
    first = source.next()
    assert isinstance(first, Job)
    source.done(Outcome(first.key, "failed", "diverged"))
    place.run()
    found = place.tunings()["full", "few"]

    assert (found.ended, found.failed) == (4, 1)
    assert found.number != 0
    assert found.params is not None


def test_a_top_up_adds_draws_of_what_was_chosen(tiny_shapes: Path, tmp_path: Path) -> None:
    place = Tuned(tiny_shapes, tmp_path)
    before = place.run().table
    more = Tuned(tiny_shapes, tmp_path, top_up=True)
    after = more.run().table

    assert more.ran == []
    for own in BOTH:
        assert after.at[own].tuning == before.at[own].tuning
        assert after.at[own].trials.items() >= before.at[own].trials.items()
    assert any(len(cell.trials) > 3 for cell in after.cells)


def test_more_trials_are_another_choice_which_stays(tiny_shapes: Path, tmp_path: Path) -> None:
    Tuned(tiny_shapes, tmp_path).run()
    more = Tuned(tiny_shapes, tmp_path, trials=7)
    found = more.run().table
    again = Tuned(tiny_shapes, tmp_path)

    assert len(more.ran) == 2 * 3
    assert again.run().table == found
    assert again.ran == []
    assert {cell.tuning.trials for cell in found.cells if cell.tuning} == {7}


def test_a_longer_search_that_is_not_at_its_end_has_not_chosen_yet(
    tiny_shapes: Path, tmp_path: Path
) -> None:
    """Trials beyond the budget say nothing of a row: one of them could have more than another."""
    more = Tuned(tiny_shapes, tmp_path, trials=7)
    more.search(11)
    place = Tuned(tiny_shapes, tmp_path)
    found = place.tunings()

    assert more.ran
    assert {own.trials for own in found.values()} == {4}
    assert {own.ended for own in found.values()} == {4}
    assert all(own.number is not None and own.number < 4 for own in found.values())


def test_each_column_has_its_own_search(tiny_shapes: Path, tmp_path: Path) -> None:
    columns = [
        Column(name=f"{count} labelled", set={"mini": {"data.labelled": count}})
        for count in (8, 12)
    ]
    place = Tuned(tiny_shapes, tmp_path, dataclasses.replace(STUDY, columns=columns))
    table = place.run().table

    assert len(place.ran) == 2 * 2 * 4
    assert len({cell.tuning.search for cell in table.cells if cell.tuning}) == 4
    told = render(["tuned"], place.request, further=True)
    assert told.count("- Tuned: full, ") == 2


def test_changes_reach_searches_and_replicates_alike(tiny_shapes: Path, tmp_path: Path) -> None:
    place = Tuned(tiny_shapes, tmp_path, changes={"training.steps": 3})
    source = place.source()
    job = source.next()

    assert isinstance(job, Job)
    assert job.trial["training"]["steps"] == 3
    place.run()
    assert {own.training.steps for own in trials_of(place.prepare(), "full")} == {3}
    assert Tuned(tiny_shapes, tmp_path).tunings()["full", "few"].ended == 0


def test_what_is_tuned_must_not_be_changed_from_outside(tiny_shapes: Path, tmp_path: Path) -> None:
    place = Tuned(tiny_shapes, tmp_path, changes={RATE: 0.01})
    with pytest.raises(ConfigError, match="must not be one that the study itself varies"):
        place.source()


def test_a_smoke_run_makes_two_trials_of_two_steps_elsewhere(
    tiny_shapes: Path, tmp_path: Path
) -> None:
    long = dataclasses.replace(STUDY.presets["mini"].training, steps=50)
    preset = dataclasses.replace(STUDY.presets["mini"], training=long)
    study = dataclasses.replace(STUDY, presets={"mini": preset})
    place = Tuned(tiny_shapes, tmp_path, study, smoke=True)
    source = place.source()
    jobs = []
    while job := source.next():
        jobs.append(job)
        place.finish(source, job)

    assert len(jobs) == 2 * 2
    assert {
        (job.trial["training"]["steps"], job.trial["training"]["evaluations"]) for job in jobs
    } == {(2, 1)}
    place.run()
    assert {scale for _, scale in place.store.studies()} == {"mini-smoke"}
    assert Tuned(tiny_shapes, tmp_path, study).tunings()["full", "few"].ended == 0


def test_the_store_keeps_searches_beside_their_table_and_needs_their_trials(place: Tuned) -> None:
    place.run()
    kinds = {str(own.place): type(own.study) for own in place.store.study_files.all()}
    for key in place.ran:
        place.store.trial(key).write_weights("last", 2, b"last")

    assert kinds == {
        "tuned@mini": ResolvedStudy,
        "tuned~full~few@mini": ResolvedSearch,
        "tuned~low~few@mini": ResolvedSearch,
    }
    kept = {item.key for item in examine(place.store) if item.kept}
    assert set(place.ran) <= kept


def test_without_tuning_a_tuned_study_has_no_replicates_yet(place: Tuned) -> None:
    found = resolved_at(place.study, place.request, place.splits, {}, {})
    counts = {cell.row: len(cell.trials) for cell in found.table.cells}

    assert counts == {"full": 0, "low": 0, "labels": 3}
    untuned = resolved_at(with_tune(None), place.request, place.splits, {}, {})
    assert [len(cell.trials) for cell in untuned.table.cells] == [3, 3, 3]
