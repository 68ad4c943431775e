"""Data that change under equal names: what trains again, what is scored again, and what is kept."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from folder_files import turn_image, turn_mask, write_folder_data

from semisweep import (
    Column,
    DataConfig,
    OptimizerConfig,
    Preset,
    Row,
    Store,
    Study,
    TrainingConfig,
    Trial,
)
from semisweep.cluster.job import Outcome
from semisweep.cluster.trial_execution import execute
from semisweep.core.errors import ConfigError
from semisweep.running.cost_forecast import again_lines
from semisweep.running.job_sources import job_for
from semisweep.running.preparation import prepare
from semisweep.store.trial_folder import TrialFolder
from semisweep.store.trial_name import TrialName
from semisweep.store.trial_records import Result, TrialProgress
from semisweep.study.data_roots import Roots
from semisweep.study.plan import plan
from semisweep.study.request import Request
from semisweep.study.resolve import Splits, resolve
from semisweep.tables.markdown_csv import to_markdown
from semisweep.tables.rendering import make_table
from semisweep.training.method_fixtures import tiny_network
from semisweep_methods.fixmatch import FixMatch
from semisweep_methods.supervised import Supervised

PRESET = Preset(
    data=DataConfig(name="mine", family="random", labelled=4),
    training=TrainingConfig(
        steps=12,
        labelled_batch=2,
        unlabelled_batch=2,
        crop_pixels=32,
        evaluations=4,
        optimizer=OptimizerConfig(learning_rate=0.01),
    ),
    config={"network": tiny_network()},
    metric="last.test.miou",
    metric_note="mIoU",
)
STUDY = Study(
    name="changed",
    title="Changed data",
    presets={"mini": PRESET},
    base="sup",
    seeds=1,
    rows=[Row(name="sup", method=Supervised), Row(name="fix", method=FixMatch)],
    columns=[Column(name="all", set={"mini": {}})],
)
MANY = dataclasses.replace(STUDY, draws=10, seeds=10)
TRAINED = ("last.", "best.")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEMISWEEP_CACHE", str(tmp_path / "cache"))
    return write_folder_data(tmp_path / "mine")


@pytest.fixture
def request_(root: Path, tmp_path: Path) -> Request:
    Store.open(tmp_path / "store", create=True)
    return Request(roots=Roots(root.parent), store=str(tmp_path / "store"), check=False)


def splits_of(request: Request) -> Splits:
    """Return the splits as a command that starts now has them."""
    return Splits(request.roots, Store.open(request.store).keys())


def trials_of(study: Study, request: Request) -> dict[str, Trial]:
    """Return the trials of a study by name, on the data that are there now."""
    return resolve(study, "mini", splits_of(request)).trials


def missing(study: Study, request: Request) -> list[str]:
    """Return which trials a run would ask for now, and keep the study."""
    said: list[str] = []
    store = Store.open(request.store)
    return list(prepare(study, request, splits_of(request), store, said.append).missing)


def train(key: str, trial: Trial, request: Request, **changes: object) -> Outcome:
    store = Store.open(request.store)
    metrics = ["last.test.miou"]
    job = job_for(key, trial, store, splits_of(request), request, metrics=metrics)
    return execute(dataclasses.replace(job, **changes), lambda told: None)


def train_all(study: Study, request: Request) -> dict[str, Result]:
    """Train what has no result on the data that are there now; return all results by row."""
    trials, store = trials_of(study, request), Store.open(request.store)
    for key, trial in trials.items():
        train(key, trial, request)
    return {
        trial.method.rpartition(":")[2]: result(store.trial(key)) for key, trial in trials.items()
    }


def result(folder: TrialFolder) -> Result:
    row = folder.result()
    assert row is not None
    return row


def history(folder: TrialFolder) -> list[dict[str, object]]:
    return [dict(evaluation.values) for evaluation in folder.evaluations()]


def scores(row: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in row.items() if name.startswith(TRAINED)}


def undisturbed(root: Path, tmp_path: Path) -> dict[str, Result]:
    """Return results of a store that has never seen other data."""
    store = tmp_path / "undisturbed"
    Store.open(store, create=True)
    return train_all(STUDY, Request(roots=Roots(root.parent), store=str(store), check=False))


def test_of_two_hundred_trials_those_that_saw_changed_masks_are_asked_for_again(
    root: Path, request_: Request
) -> None:
    store = Store.open(request_.store)
    before = trials_of(MANY, request_)
    assert len(before) == 200
    for key in before:
        store.trial(key).complete({"last.test.miou": 0.5})
    assert missing(MANY, request_) == []

    changed = {f"train00{index}" for index in (1, 4, 7)}
    for image_id in changed:
        turn_mask(root / f"train/masks/{image_id}.png")

    splits, after = splits_of(request_), trials_of(MANY, request_)
    saw = {k for k, t in after.items() if changed & set(splits.of(t.data).labelled)}
    asked = set(missing(MANY, request_))
    assert asked == saw
    assert {TrialName.parse(key).key for key in asked} < {
        TrialName.parse(key).key for key in before
    }
    assert 100 < len(asked) < 200, "four of ten images are labelled, three have changed"
    assert after.keys() - asked == before.keys() & after.keys()
    assert all(store.trial(key).finished for key in before), "what was found before is kept"

    for image_id in changed:
        turn_mask(root / f"train/masks/{image_id}.png")
    assert missing(MANY, request_) == [], "the old masks are back, and so are their results"


def test_a_plan_says_what_must_run_again_and_why(root: Path, request_: Request) -> None:
    store = Store.open(request_.store)
    for key in trials_of(MANY, request_):
        store.trial(key).complete({"last.test.miou": 0.5})
    turn_mask(root / "val/masks/val000.png")
    said: list[str] = []
    prepare(MANY, request_, splits_of(request_), store, said.append)
    assert said == [
        "note: changed: 200 trials train again: their training or validation data have changed"
    ]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (turn_mask, "train/masks/{labelled}.png"),
        (turn_image, "train/images/{labelled}.png"),
        (turn_mask, "val/masks/val000.png"),
    ],
)
def test_changed_data_train_anew_as_if_there_had_been_no_others(
    root: Path, request_: Request, tmp_path: Path, change, path: str
) -> None:
    first = train_all(STUDY, request_)
    split = splits_of(request_).of(PRESET.data)
    change(root / path.format(labelled=split.labelled[0]))

    second, fresh = train_all(STUDY, request_), undisturbed(root, tmp_path)

    for method in ("Supervised", "FixMatch"):
        assert first[method].key != second[method].key
        assert scores(second[method]) == scores(fresh[method])
        losses = [
            history(Store.open(place).trial(row[method].key))
            for place, row in (
                (request_.store, second),
                (tmp_path / "undisturbed", fresh),
                (request_.store, first),
            )
        ]
        assert losses[0] == losses[1] != losses[2]
        assert second[method]["data.seen_digest"] != first[method]["data.seen_digest"]
    store = Store.open(request_.store)
    assert {row.key for row in (*first.values(), *second.values())} == store.finished()


def test_changed_test_data_score_the_kept_weights_again(
    root: Path, request_: Request, tmp_path: Path
) -> None:
    first = train_all(STUDY, request_)
    turn_mask(root / "test/masks/test001.png")
    assert len(missing(STUDY, request_)) == 2

    second, fresh = train_all(STUDY, request_), undisturbed(root, tmp_path)

    store = Store.open(request_.store)
    for method in ("Supervised", "FixMatch"):
        old, new = first[method], second[method]
        assert new["run.scored_from"] == old.key
        assert scores(new) == scores(fresh[method]) != scores(old)
        assert new["run.seconds"] == old["run.seconds"], "what training took"
        folders = store.trial(old.key), store.trial(new.key)
        assert history(folders[0]) == history(folders[1])
        for name in ("last", "best"):
            assert folders[0].read_weights(name) == folders[1].read_weights(name)
            fresh_folder = Store.open(tmp_path / "undisturbed").trial(fresh[method].key)
            for part in ("val", "test"):
                counts = [f.read_confusion(f"{name}-{part}") for f in (folders[1], fresh_folder)]
                assert np.array_equal(*counts)
    assert missing(STUDY, request_) == []


def test_a_scoring_that_was_cut_off_is_begun_again(root: Path, request_: Request) -> None:
    first = train_all(STUDY, request_)
    turn_mask(root / "test/masks/test001.png")
    store = Store.open(request_.store)
    for key in missing(STUDY, request_):
        store.trial(key).start_attempt()
        store.trial(key).append_history([{"step": 3, "val.miou": 0.1}])
        store.trial(key).write_weights("best", 3, b"half")
    second = train_all(STUDY, request_)
    for method in ("Supervised", "FixMatch"):
        assert second[method]["run.scored_from"] == first[method].key
        folders = [store.trial(row[method].key) for row in (first, second)]
        assert history(folders[0]) == history(folders[1])
        assert folders[0].read_weights("best") == folders[1].read_weights("best")


def test_where_the_weights_are_gone_changed_test_data_train_anew(
    root: Path, request_: Request, tmp_path: Path
) -> None:
    first = train_all(STUDY, request_)
    for row in first.values():
        folder = Store.open(request_.store).trial(row.key)
        for path in folder.large_files():
            path.unlink()
    turn_mask(root / "test/masks/test001.png")

    second, fresh = train_all(STUDY, request_), undisturbed(root, tmp_path)

    for method in ("Supervised", "FixMatch"):
        assert "run.scored_from" not in second[method]
        assert scores(second[method]) == scores(fresh[method])


def test_a_checkpoint_of_other_data_is_not_gone_on_from(
    root: Path, request_: Request, tmp_path: Path
) -> None:
    (key, trial), *_ = trials_of(STUDY, request_).items()
    store, steps = Store.open(request_.store), iter(range(9))
    job = job_for(key, trial, store, splits_of(request_), request_)
    outcome = execute(job, lambda told: None, interrupted=lambda: next(steps) > 1)
    assert outcome.status == "interrupted"
    turn_mask(root / f"train/masks/{splits_of(request_).of(trial.data).labelled[0]}.png")

    second, fresh = train_all(STUDY, request_), undisturbed(root, tmp_path)

    assert scores(second["Supervised"]) == scores(fresh["Supervised"])
    assert not store.trial(key).finished
    assert store.trial(key).read_checkpoint() is not None, "the old data may come back"


def test_data_that_change_between_plan_and_training_are_one_line(
    root: Path, request_: Request
) -> None:
    (key, trial), *_ = trials_of(STUDY, request_).items()
    store = Store.open(request_.store)
    job = job_for(key, trial, store, splits_of(request_), request_)
    turn_mask(root / "val/masks/val000.png")
    outcome = execute(job, lambda told: None)
    assert outcome.status == "failed"
    assert "must be those the sweep was planned with" in outcome.error
    assert "\n" not in outcome.error
    assert not store.trial(key).finished


def as_an_earlier_version(request: Request) -> list[str]:
    """Give the trials of a store the names that they had before data were part of them."""
    store, names = Store.open(request.store), []
    for text in sorted(store.finished() | set(store.keys())):
        plain = TrialName.parse(text).key
        store.trial(text).path.rename(store.trial(plain).path)
        names.append(plain)
    return names


def test_results_of_an_earlier_version_are_used_and_not_trained_again_unless_asked(
    root: Path, request_: Request
) -> None:
    train_all(STUDY, request_)
    plain = as_an_earlier_version(request_)
    assert missing(STUDY, request_) == []
    assert sorted(trials_of(STUDY, request_)) == sorted(plain)
    turn_mask(root / "val/masks/val000.png")
    assert missing(STUDY, request_) == [], "on which data they were trained is not known"
    splits = splits_of(request_)
    state = plan([resolve(STUDY, "mini", splits).table], Store.open(request_.store))
    (line,) = again_lines(splits, state)
    assert "2 of those finished are of unknown data" in line

    asked = missing(STUDY, dataclasses.replace(request_, retrain=("sup",)))

    assert [TrialName.parse(key).key for key in asked] == [
        key for key in plain if key in {TrialName.parse(name).key for name in asked}
    ]
    assert len(asked) == 1
    assert TrialName.parse(asked[0]).data
    supervised, *_ = trials_of(STUDY, request_).values()
    assert train(asked[0], supervised, request_).status == "finished"
    assert Store.open(request_.store).finished() == {*plain, *asked}, "both are kept"
    assert missing(STUDY, request_) == []
    assert asked[0] in trials_of(STUDY, request_)


def test_a_trial_of_an_earlier_version_goes_on_from_its_checkpoint(
    root: Path, request_: Request
) -> None:
    (key, trial), *_ = trials_of(STUDY, request_).items()
    store, steps = Store.open(request_.store), iter(range(9))
    job = job_for(key, trial, store, splits_of(request_), request_)
    execute(job, lambda told: None, interrupted=lambda: next(steps) > 1)
    (plain,) = as_an_earlier_version(request_)
    told: list[TrialProgress] = []
    own = job_for(plain, trial, store, splits_of(request_), request_)
    assert execute(own, told.append).status == "finished"
    assert told[0].step > 0
    assert not result(store.trial(plain)).text("data.seen_digest"), "it is not known"


def test_a_row_is_trained_anew_where_that_is_asked_for_and_both_are_kept(
    root: Path, request_: Request
) -> None:
    train_all(STUDY, request_)
    again = dataclasses.replace(request_, retrain=("fix",))
    (second,) = missing(STUDY, again)
    assert TrialName.parse(second).repetition == 2
    trials = {TrialName.parse(key).key: trial for key, trial in trials_of(STUDY, request_).items()}
    store = Store.open(request_.store)

    def train_now(key: str) -> None:
        train(key, trials[TrialName.parse(key).key], request_)

    store.trial(second).start_attempt()  # it is begun, and cut off
    assert missing(STUDY, request_) == [second], "a plain run goes on with it"
    assert missing(STUDY, again) == [second], "and asking again begins no third one"
    train_now(second)
    assert missing(STUDY, request_) == []
    rows = [result(store.trial(key)) for key in (second, second.removesuffix("-r2"))]
    assert scores(rows[0]) == scores(rows[1])
    (third,) = missing(STUDY, again)
    assert TrialName.parse(third).repetition == 3


def test_a_row_that_is_trained_anew_is_not_scored_again(root: Path, request_: Request) -> None:
    """Also where a trial with the same weights was tested on other images."""
    train_all(STUDY, request_)
    turn_mask(root / "test/masks/test001.png")
    train_all(STUDY, request_)
    again = dataclasses.replace(request_, retrain=("sup",))
    (key,) = missing(STUDY, again)
    supervised, *_ = trials_of(STUDY, request_).values()
    train(key, supervised, request_)
    assert "run.scored_from" not in result(Store.open(request_.store).trial(key))


def test_a_row_to_train_anew_must_be_there(request_: Request, root: Path) -> None:
    with pytest.raises(ConfigError, match="trained row of changed") as caught:
        missing(STUDY, dataclasses.replace(request_, retrain=("fixx",)))
    assert "fix" in str(caught.value)


def test_a_forecast_tells_the_reasons(root: Path, request_: Request) -> None:
    train_all(STUDY, request_)
    turn_mask(root / "test/masks/test001.png")
    splits, store = splits_of(request_), Store.open(request_.store)
    state = plan([resolve(STUDY, "mini", splits).table], store)
    assert list(again_lines(splits, state)) == [
        "       2 of them score again: their test data have changed"
    ]


def test_a_table_says_that_its_data_are_others_now(root: Path, request_: Request) -> None:
    missing(STUDY, request_)
    train_all(STUDY, request_)
    study = Store.open(request_.store).read_table("changed", "mini")
    assert study is not None

    def notes() -> list[str]:
        found = to_markdown(make_table(study, request_), further=True).splitlines()
        return [line for line in found if line.startswith("- Data changed")]

    assert notes() == []
    turn_mask(root / "test/masks/test001.png")
    (note,) = notes()
    assert "images or masks of `mine` are others now" in note
    train_all(STUDY, request_)
    assert notes() == [note], "the table is that of its last run"
    turn_mask(root / "test/masks/test001.png")
    assert notes() == []
    (root / "test/masks/test001.png").unlink()
    assert notes() == [note]
    shutil.rmtree(root)
    assert notes() == [], "they are not here"
