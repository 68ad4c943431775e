"""Data sets on many machines: where they lie, and that they are the same."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest
from folder_files import turn_mask, write_folder_data

from semisweep.cluster.job import Job
from semisweep.cluster.machine_data import (
    NODE_DATA,
    check_same,
    machine_name,
    machine_root,
)
from semisweep.core.errors import DataError
from semisweep.data.registry import open_dataset
from semisweep.data.splits import make_split
from semisweep.study.data_roots import Roots
from semisweep.study.resolve import Splits, make_trial
from semisweep.training.trial import Trial
from semisweep_methods.supervised import Supervised
from semisweep_studies.presets import MINI

FIELDS = {"data.name": "mine", "data.family": "random", "data.labelled": 4}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Return the roots of two data sets of equal names that differ in one mask."""
    roots = [write_folder_data(tmp_path / name / "mine") for name in ("one", "two")]
    turn_mask(roots[1] / "train/masks/train000.png")
    return roots[0], roots[1]


def test_a_machine_may_keep_its_data_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert machine_root("voc", "/driver/voc") == Path("/driver/voc")
    monkeypatch.setenv(NODE_DATA, str(tmp_path))
    assert machine_root("voc", "/driver/voc") == tmp_path / "voc"


def job_of(trial: Trial, folder: Path) -> Job:
    """Return a job as it is planned on the images in a folder."""
    splits = Splits(Roots(folder.parent))
    found = splits.fingerprint(trial)
    key = splits.key(trial)
    return Job(key=key, trial={}, store="", data_root=str(folder), seen=found.seen, test=found.test)


def test_the_same_images_pass_and_others_are_refused_by_the_machines_name(
    folders: tuple[Path, Path],
) -> None:
    one, two = (open_dataset("mine", folder) for folder in folders)
    trial = make_trial(MINI, Supervised, FIELDS, {})
    job = job_of(trial, folders[0])

    check_same(trial, one, make_split(one, trial.data), job)
    split = make_split(two, trial.data)
    check_same(trial, two, split, replace(job, seen=""))  # nothing to compare with
    with pytest.raises(DataError, match="must be those the sweep was planned with") as refusal:
        check_same(trial, two, split, job)
    assert f"machine={socket.gethostname()}" in str(refusal.value)
    assert str(folders[1]) in str(refusal.value)


def test_a_machine_without_ray_has_its_own_name() -> None:
    assert machine_name() == socket.gethostname()
