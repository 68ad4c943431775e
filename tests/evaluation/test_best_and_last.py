"""A trial that is best in the middle: what is called best is of that step, what last of the end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from falling_method import BEST_STEP, falling_trial, seen_class
from folder_files import turn_mask, write_folder_data
from PIL import Image

from semisweep import DataConfig, Store, Trial
from semisweep.cluster.job import Job
from semisweep.cluster.trial_execution import execute
from semisweep.data.registry import open_dataset
from semisweep.data.splits import make_split
from semisweep.evaluation.prediction import predict_images
from semisweep.evaluation.rescoring import evaluate_trials
from semisweep.evaluation.scored_again import kept_of, scored
from semisweep.store import checkpoint_file
from semisweep.store.trial_folder import TrialFolder
from semisweep.store.trial_records import Result
from semisweep.study.data_roots import Roots
from semisweep.training.metric import summary
from semisweep.training.protocols import Protocol
from semisweep.training.trainer import from_bytes
from semisweep.training.trial import trial_key

TRIAL = falling_trial(DataConfig(name="own", labelled=4))
STEPS = {"best": BEST_STEP, "last": 3}
KEPT = {"both": {"best", "last"}, "all": {"best", "last"}, "best": {"best"}, "last": {"last"}}
WEIGHTS_AND_PARTS = [(name, part) for name in STEPS for part in ("val", "test")]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a data set of two classes, of which the first covers most of each image."""
    return write_folder_data(tmp_path / "own")


def finished(root: Path, folder: Path, keep: str = "both", trial: Trial = TRIAL) -> TrialFolder:
    """Train the falling trial in a store of its own and return its folder."""
    store = Store.open(folder, create=True)
    key = trial_key(trial, make_split(open_dataset("own", root), trial.data))
    job = Job(key=key, trial=trial.encoded(), store=str(store.root), data_root=str(root), keep=keep)
    outcome = execute(job, lambda told: None)
    assert outcome.status == "finished", outcome.error
    return store.trial(key)


def row_of(folder: TrialFolder) -> Result:
    row = folder.result()
    assert row is not None
    return row


def weights(folder: TrialFolder) -> dict[str, int]:
    """Return the step of the weights that were kept, by name."""
    found = checkpoint_file.find(folder.states)
    return {file.stem.removeprefix("weights-"): file.step for file in found}


@pytest.mark.parametrize("keep", KEPT)
def test_metrics_weights_and_confusion_matrices_are_of_the_step_that_their_name_says(
    root: Path, tmp_path: Path, keep: str
) -> None:
    """Whichever weights stay."""
    folder = finished(root, tmp_path / "store", keep)
    row, classes = row_of(folder), open_dataset("own", root).classes
    history = {own.step: own.values["val.miou"] for own in folder.evaluations()}

    assert row["best.step"] == BEST_STEP
    assert weights(folder) == {name: STEPS[name] for name in KEPT[keep]}
    for name in KEPT[keep]:
        assert from_bytes(folder.read_weights(name))["steps"] == STEPS[name]
    assert history[1] == history[3] < history[2]
    for name, part in WEIGHTS_AND_PARTS:
        counts = folder.read_confusion(f"{name}-{part}")
        (seen,) = counts.sum(axis=(0, 1)).nonzero()[0]
        assert seen == seen_class(STEPS[name], len(classes)), (name, part)
        for metric, value in summary(counts, classes).items():
            assert row[f"{name}.{part}.{metric}"] == pytest.approx(value, nan_ok=True)
    for name, step in STEPS.items():
        assert row[f"{name}.val.miou"] == history[step]


def test_of_equal_scores_the_first_is_the_best(root: Path, tmp_path: Path) -> None:
    """The falling method sees the same after two steps and after four."""
    folder = finished(root, tmp_path / "store", trial=falling_trial(TRIAL.data, steps=4))
    history = {own.step: own.values["val.miou"] for own in folder.evaluations()}

    assert history[BEST_STEP] == history[4]
    assert row_of(folder)["best.step"] == BEST_STEP
    assert weights(folder) == {"best": BEST_STEP, "last": 4}


def test_later_evaluations_and_masks_are_of_the_weights_that_are_asked_for(
    root: Path, tmp_path: Path
) -> None:
    folder, roots = finished(root, tmp_path / "store"), Roots(tmp_path, {"own": root})
    store, row = Store.open(tmp_path / "store"), row_of(folder)
    said: list[Mapping[str, Any]] = []
    evaluate_trials(store, [folder.key], [Protocol()], roots, lambda own, is_new: said.append(own))
    image = next((root / "test" / "images").iterdir())

    assert {(own["weights"], own["part"]) for own in said} == set(WEIGHTS_AND_PARTS)
    for own in said:
        assert own["step"] == STEPS[own["weights"]]
        assert own["miou"] == row[f"{own['weights']}.{own['part']}.miou"]
    for name, step in {**STEPS, None: BEST_STEP}.items():
        output = tmp_path / f"masks-{name}"
        ((mask, _),) = predict_images(store, folder.key, [image], output, roots, weights=name)
        assert (np.asarray(Image.open(mask)) == seen_class(step, 2)).all(), name


def test_weights_that_are_scored_again_keep_their_names(root: Path, tmp_path: Path) -> None:
    folder = finished(root, tmp_path / "store")
    kept = kept_of(folder, ["best", "last"])
    assert kept is not None
    row, confusions = scored(kept, TRIAL, open_dataset("own", root), "cpu")

    for name in STEPS:
        assert row[f"{name}.test.miou"] == row_of(folder)[f"{name}.test.miou"]
        assert np.array_equal(confusions[f"{name}-test"], folder.read_confusion(f"{name}-test"))


def test_test_images_choose_nothing(root: Path, tmp_path: Path) -> None:
    """With all labels of test images turned, only what was measured on these is another."""
    turned = write_folder_data(tmp_path / "turned")
    for mask in (turned / "test" / "masks").iterdir():
        turn_mask(mask)
    folders = [finished(own, tmp_path / f"store-{own.name}") for own in (root, turned)]
    rows = [row_of(folder) for folder in folders]

    assert folders[0].key == folders[1].key
    assert rows[0]["best.test.miou"] > 2 * rows[1]["best.test.miou"]  # it would be another's turn
    assert rows[1]["best.test.miou"] < rows[1]["last.test.miou"]
    assert rows[0]["best.step"] == rows[1]["best.step"] == BEST_STEP
    assert weights(folders[0]) == weights(folders[1])
    histories = [[own.values for own in folder.evaluations()] for folder in folders]
    assert histories[0] == histories[1]
    assert not any("test" in name for values in histories[0] for name in values)
    for name in STEPS:
        states = [from_bytes(folder.read_weights(name)) for folder in folders]
        assert all(torch.equal(states[0][own], states[1][own]) for own in states[0])
        for metric in ("miou", "pixel_accuracy"):
            assert rows[0][f"{name}.val.{metric}"] == rows[1][f"{name}.val.{metric}"]
