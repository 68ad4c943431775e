"""The best of a search on new seeds, without Ray: chosen once, trained once, told as they are."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from formula_search import SEARCH, Place, varied
from optuna.distributions import FloatDistribution

from semisweep import Halving, Objective, Store
from semisweep.checks.validation import check_study
from semisweep.cluster.job import WAIT, Job, Outcome
from semisweep.cluster.trial_execution import execute
from semisweep.core.errors import ConfigError, StoreError
from semisweep.data.shapes import make
from semisweep.report.sections import section
from semisweep.running.search_run import Suggestions
from semisweep.search.optuna_export import export_search
from semisweep.store import suggestion_log
from semisweep.store.resolved_search import Confirmation
from semisweep.store.snapshot import Snapshot
from semisweep.store.study_files import StoredStudy, StudyPlace
from semisweep.store.trial_records import TrialProgress
from semisweep.study.data_roots import Roots
from semisweep.study.plan import plan, trial_names
from semisweep.study.request import Request
from semisweep.study.resolve import Splits
from semisweep.tables.rendering import render
from semisweep.tracking.trial_record import places
from semisweep_methods.supervised import Supervised

AGAIN = varied(confirm=3, confirm_seeds=3)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("data") / "shapes", train=24, val=4, test=4, size=32)


def chance(key: str) -> float:
    """Return the luck of a trial, which its key says: +- 0.05."""
    return random.Random(key).uniform(-0.05, 0.05)


@pytest.fixture
def place(root: Path, tmp_path: Path) -> Place:
    return Place(root, tmp_path, AGAIN, luck=chance)


def by_score(store: Store, place: Place) -> list[int]:
    """Return the numbers of the suggestions, the best as found first."""
    scores = {e.number: store.trial(e.key).result() for e in place.source.entries}
    return sorted(scores, key=lambda n: -(scores[n] or {})["last.val.miou"])


def test_the_best_are_trained_again_on_seeds_and_draws_that_the_search_has_not_used(
    place: Place,
) -> None:
    assert place.source.total == 12 + 9
    assert place.run() == 12 + 9
    (own,) = place.source.resolved.confirmations

    assert list(own.chosen) == by_score(place.store, place)[:3]
    assert own.after == 12
    for number, trials in own.chosen.items():
        assert list(trials) == ["1/1", "2/2", "3/3"]
        first = place.source.trials[place.source.entries[number].key]
        for replicate, key in trials.items():
            trial = place.source.trials[key]
            assert f"{trial.data.draw}/{trial.seed}" == replicate
            assert dataclasses.replace(trial, data=first.data, seed=first.seed) == first
    assert len(place.store.finished()) == 21
    assert Place(place.request.roots.of("shapes"), place.store.root, AGAIN).source.total == 0


@pytest.mark.parametrize("moment", ["a trial ended", "a trial was begun"])
def test_one_that_is_killed_after_any_trial_goes_on_as_if_it_had_not_been(
    root: Path, tmp_path: Path, moment: str
) -> None:
    whole = Place(root, tmp_path / "whole", AGAIN, luck=chance)
    whole.run()
    for _ in range(21):
        killed = Place(root, tmp_path / "killed", AGAIN, luck=chance)
        assert killed.run(1) == 1
        if moment == "a trial was begun":
            killed.next()  # and is lost
    last = Place(root, tmp_path / "killed", AGAIN, luck=chance)

    assert last.run() == 0
    assert last.source.resolved == whole.source.resolved
    assert last.store.finished() == whole.store.finished()


def test_what_was_chosen_stands_whatever_becomes_of_the_file_of_the_search(
    root: Path, place: Place
) -> None:
    """Killed between the log and the search's file, and with other scores when it is run again."""
    place.run(12)
    before = dataclasses.replace(place.source.resolved)
    place.next()
    chosen = place.source.resolved.confirmations
    place.store.write_study("weights", "mini", before)
    again = Place(root, place.store.root, AGAIN, luck=lambda key: -chance(key))
    again.run()

    assert again.source.resolved.confirmations == chosen
    stored = place.store.read_search("weights", "mini")
    assert stored is not None
    assert stored.confirmations == chosen


def test_another_choice_of_the_same_number_is_refused(place: Place) -> None:
    place.run()
    (own,) = place.source.resolved.confirmations
    suggestion_log.append_confirmation(place.store.root, place.source.resolved, own)
    other = Confirmation(number=0, after=12, chosen={0: {"1/1": "another"}})

    with pytest.raises(StoreError, match="got another confirmation number=0"):
        suggestion_log.append_confirmation(place.store.root, place.source.resolved, other)


def test_a_search_that_has_finished_more_is_confirmed_again_beside_the_first_time(
    root: Path, place: Place
) -> None:
    place.run()
    first = place.source.resolved.confirmations
    more = Place(root, place.store.root, AGAIN, luck=chance, trials=30)
    assert more.source.total == 18 + 9
    more.run()
    known = more.source.resolved.confirmations

    assert known[:1] == first
    assert (known[1].number, known[1].after) == (1, 30)
    assert list(known[1].chosen) == by_score(more.store, more)[:3]
    told = render(["weights"], more.request)
    names = ", ".join(f"#{number}" for number in first[0].chosen)
    assert f"Confirmed before, after 12 finished trials: {names}." in told


def test_a_finished_search_of_an_earlier_version_only_gets_its_confirmation(
    root: Path, tmp_path: Path
) -> None:
    old = Place(root, tmp_path, SEARCH, luck=chance)
    old.run()
    file = json.loads((tmp_path / "studies" / "weights@mini.json").read_bytes())
    new = Place(root, tmp_path, AGAIN, luck=chance)

    assert "confirmations" not in file
    assert "Not confirmed: the best score is as found, which is too high" in render(
        ["weights"], old.request
    )
    assert new.source.total == 9
    assert new.run() == 9
    assert new.source.entries == old.source.entries
    assert new.source.resolved.identity == old.source.resolved.identity


def test_more_seeds_are_trained_beside_those_that_were(root: Path, place: Place) -> None:
    place.run()
    more = Place(root, place.store.root, varied(confirm=3, confirm_seeds=5), luck=chance)

    assert more.run() == 3 * 2
    first, second = more.source.resolved.confirmations
    assert {n: list(own.items())[:3] for n, own in second.chosen.items()} == {
        n: list(own.items()) for n, own in first.chosen.items()
    }


@pytest.mark.parametrize("seed", range(3))
def test_several_at_a_time_choose_when_the_last_has_ended_and_repeat_themselves(
    root: Path, tmp_path: Path, seed: int
) -> None:
    alone = Place(root, tmp_path / "alone", AGAIN, lag=3, luck=chance)
    alone.run()
    place = Place(root, tmp_path / "together", AGAIN, lag=3, luck=chance)
    turns, running, waits, over = random.Random(seed), list[Any](), 0, False
    while running or not over:
        while len(running) < 3 and not over:
            entry = place.next()
            if entry is WAIT:
                waits += 1
                break
            over = entry is None
            running += [] if over else [entry]
        if running:
            place.finish(running.pop(turns.randrange(len(running))))

    assert waits > 0
    assert place.source.resolved == alone.source.resolved
    assert place.store.finished() == alone.store.finished()


def test_of_a_front_the_best_few_are_trained_again(root: Path, tmp_path: Path) -> None:
    also = [Objective(metric="parameters", direction="minimize")]
    search = varied(also=also, confirm=2, confirm_seeds=2)
    place = Place(root, tmp_path, search, luck=chance)
    place.run()
    resolved = place.source.resolved
    (own,) = resolved.confirmations
    order = by_score(place.store, place)

    assert resolved.front is not None
    assert list(own.chosen) == [n for n in order if n in resolved.front][:2]
    assert "Best of the search on the front: #" in render(["weights"], place.request)


def test_failed_trials_are_never_among_the_best_and_few_are_confirmed_all(
    root: Path, tmp_path: Path
) -> None:
    place = Place(root, tmp_path, varied(trials=3, confirm=3, confirm_seeds=2))
    failed = place.next()
    place.store.trial(failed.key).fail({"key": failed.key, "error": "diverged", "attempts": 1})
    place.source.done(Outcome(failed.key, "failed", "diverged"))

    assert place.run() == 2 + 2 * 2
    assert sorted(place.source.resolved.confirmations[0].chosen) == [1, 2]


def test_one_whose_new_trial_has_failed_is_not_called_best(root: Path, place: Place) -> None:
    place.run(12)
    entry = place.next()
    place.source.done(Outcome(entry.key, "failed", "diverged"))
    place.run()
    told = render(["weights"], place.request)
    best = next(iter(place.source.resolved.confirmations[0].chosen))

    assert entry.number == best
    assert "Best of the search: #" in told
    assert f"Best of the search: #{best} " not in told
    assert "(2 of 3)" in told
    assert Place(root, place.store.root, AGAIN).source.total == 0
    retried = Place(root, place.store.root, AGAIN, retry_failed=True, luck=chance)
    assert retried.run() == 1
    assert "(2 of 3)" not in render(["weights"], place.request)


def test_what_is_not_chosen_yet_is_told_as_such(root: Path, place: Place) -> None:
    place.run(13)
    told = render(["weights"], place.request)

    assert "Being confirmed: 1 of 9 new trials of #" in told
    assert "none is called best before all have" in told


def test_the_table_shows_the_new_trials_alone(place: Place) -> None:
    place.run()
    told = render(["weights"], place.request)
    heads = [cell.strip() for cell in told.splitlines()[2].split("|")[1:-1]]
    first = [cell.strip() for cell in told.splitlines()[4].split("|")[1:-1]]
    (own,) = place.source.resolved.confirmations
    means = {
        number: sum((place.store.trial(key).result() or {})["last.val.miou"] for key in keys) / 3
        for number, keys in ((n, list(trials.values())) for n, trials in own.chosen.items())
    }
    best = max(means, key=lambda number: means[number])

    assert heads[-3:] == ["last.val.miou again", "last.val.miou as found", "key"]
    assert first[0] == f"#{best}"
    assert first[-3].startswith(f"{100 * means[best]:.2f} ± ")
    assert f"- Best of the search: #{best} ({first[-2]} as found; again {first[-3][:-4]}" in told
    assert "over 3 new seeds and draws)" in told
    assert "Scores as found are too high" in told


def test_plans_names_and_garbage_collection_know_the_new_trials(place: Place) -> None:
    place.run(15)
    resolved = place.store.read_search("weights", "mini")
    assert resolved is not None
    found = plan([resolved], place.store)
    wanted = {key for _, key in place.store.study_files.recorded_keys()}
    names = trial_names(resolved)

    assert (found.wanted, len(found.finished), len(found.missing)) == (21, 15, 6)
    assert set(resolved.keys) == wanted
    key = resolved.confirmations[0].keys[0]
    assert names[key] == f"#{next(iter(resolved.confirmations[0].chosen))} again, 1/1"


def test_trials_that_confirm_are_never_stopped_early(root: Path, tmp_path: Path) -> None:
    halved = varied(confirm=1, confirm_seeds=2, halving=Halving(rungs=(0.5,)))
    place = Place(root, tmp_path, halved)
    jobs = []
    while (job := place.source.next()) is not None:
        jobs.append(job)
        entries = {entry.key: entry for entry in place.source.entries}
        place.finish(entries.get(job.key) or place.again(job.key))

    assert all(job.halving is not None for job in jobs[:12])
    assert [job.halving for job in jobs[12:]] == [None, None]


@pytest.mark.parametrize(
    ("data", "replicates"),
    [
        ({"labelled": None}, ["0/1", "0/2"]),  # every image: there is nothing to draw
        ({"family": "random", "draw": 4}, ["5/1", "6/2"]),
    ],
)
def test_draws_are_others_where_labelled_images_are_drawn(
    root: Path, tmp_path: Path, data: dict[str, Any], replicates: Sequence[str]
) -> None:
    preset = SEARCH.presets["mini"]
    own = dataclasses.replace(preset, data=dataclasses.replace(preset.data, **data))
    search = varied(presets={"mini": own}, trials=2, confirm=1, confirm_seeds=2)
    place = Place(root, tmp_path, search)
    place.run()
    (found,) = place.source.resolved.confirmations

    assert [list(trials) for trials in found.chosen.values()] == [replicates]


@pytest.mark.parametrize(("confirm", "seeds"), [(-1, 3), (3, 0)])
def test_a_confirmation_on_no_seed_is_refused(
    root: Path, tmp_path: Path, confirm: int, seeds: int
) -> None:
    request = Request(roots=Roots(root, {"shapes": root}), store=str(tmp_path / "absent"))

    with pytest.raises(ConfigError, match=f"confirm={confirm}, confirm_seeds={seeds}"):
        check_study(varied(confirm=confirm, confirm_seeds=seeds), request, Splits(request.roots))


class Died(BaseException):
    """Stands for the end of a process in mid-training: nothing catches it."""


def trained(root: Path, folder: Path, die_at_job: int | None = None) -> Store:
    """Train a search and its confirmation here; the process dies within a job of that number."""
    store = Store.open(folder, create=True)
    search = varied(
        method=Supervised,
        space={"mini": {"training.optimizer.learning_rate": FloatDistribution(1e-3, 0.1)}},
        trials=2,
        confirm=1,
        confirm_seeds=2,
    )
    request = Request(roots=Roots(root, {"shapes": root}), store=str(folder))
    source, count = Suggestions(search, request, store), 0

    def report(told: TrialProgress) -> None:
        if count == die_at_job and told.step:
            raise Died

    while (job := source.next()) is not None:
        assert isinstance(job, Job)
        source.done(execute(job, report))
        count += 1
    return store


def test_new_trials_that_are_killed_in_mid_training_end_with_the_same_numbers(
    root: Path, tmp_path: Path
) -> None:
    whole = trained(root, tmp_path / "whole")
    with pytest.raises(Died):
        trained(root, tmp_path / "killed", die_at_job=3)
    killed = trained(root, tmp_path / "killed")
    search = killed.read_search("weights", "mini")

    assert search == whole.read_search("weights", "mini")
    assert search is not None
    assert len(search.keys) == 4
    for key in search.keys:
        one, other = ((own.trial(key).result() or {}) for own in (whole, killed))
        assert one["last.val.miou"] == other["last.val.miou"]
    seeds = [(killed.trial(key).result() or {})["seed"] for key in search.keys]
    assert seeds == [0, 0, 1, 2]


def test_exports_know_the_new_trials(place: Place, tmp_path: Path) -> None:
    place.run()
    resolved = place.store.read_search("weights", "mini")
    assert resolved is not None
    export_search(place.store, "weights", "mini", tmp_path / "out.db")
    study = optuna.load_study(study_name="weights@mini", storage=f"sqlite:///{tmp_path}/out.db")
    chosen = resolved.confirmations[0].chosen
    shown = places(StoredStudy(StudyPlace("weights", "mini"), resolved))

    for number, trials in chosen.items():
        rows = {replicate: place.store.trial(key).result() for replicate, key in trials.items()}
        scores = {replicate: (row or {})["last.val.miou"] for replicate, row in rows.items()}
        assert study.user_attrs[f"again #{number}"] == scores
        folder = shown[trials["1/1"]].folder
        assert str(folder) == f"trial {number:04d} again/replicate 1-1"
    assert len(study.trials) == 12


def test_the_page_shows_the_new_trials(place: Place) -> None:
    place.run()
    resolved = place.store.read_search("weights", "mini")
    assert resolved is not None
    made = section(resolved, Snapshot(place.store, resolved.keys), place.request.store)
    (own,) = resolved.confirmations

    assert made.head[-3:] == ["last.val.miou again", "last.val.miou as found", "key"]
    assert made.summary.endswith("(3), trained again")
    assert {row[0][0] for row in made.body[:3]} == {f"#{number}" for number in own.chosen}
    assert any(note.startswith("Best of the search: #") for note in made.notes)
    assert (made.finished, made.wanted) == (21, 21)
