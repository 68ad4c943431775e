"""Pseudo-labels of finished trials: measured once where a table asks for them, and shown there."""

from __future__ import annotations

from pathlib import Path

import pytest
import resolved
import torch
from resolved import cell

from semisweep import DataConfig, OptimizerConfig, Store, TrainingConfig, Trial
from semisweep.cluster.job import Job
from semisweep.cluster.trial_execution import execute
from semisweep.data.registry import open_dataset
from semisweep.data.shapes import CLASSES, make
from semisweep.data.splits import make_split
from semisweep.evaluation.pseudo_label_results import label_row, measure
from semisweep.store.resolved_study import ResolvedStudy
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request
from semisweep.tables.rendering import make_table
from semisweep.training.method_fixtures import tiny_network
from semisweep.training.trial import trial_key
from semisweep_methods.unimatch import UniMatchConfig

TRIAL = Trial(
    method="semisweep_methods.unimatch:UniMatch",
    config=UniMatchConfig(network=tiny_network(), threshold=0.2),
    data=DataConfig(name="shapes", labelled=8),
    training=TrainingConfig(
        steps=2,
        labelled_batch=4,
        unlabelled_batch=4,
        crop_pixels=32,
        evaluations=1,
        optimizer=OptimizerConfig(learning_rate=0.02),
    ),
    seed=0,
)


def table_of(key: str, source: str) -> ResolvedStudy:
    metrics = {"mean": f"labels.{source}.miou", "share": f"labels.{source}.coverage"}
    cells = [cell([key], "one", name, metric=metric) for name, metric in metrics.items()]
    return resolved.table(*cells, name="labels", metric="miou")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, str, Roots]:
    folder = tmp_path_factory.mktemp("labels")
    root = make(folder / "shapes", train=16, val=2, test=2, size=32)
    store = Store.open(folder / "store", create=True)
    key = trial_key(TRIAL, make_split(open_dataset("shapes", root), TRIAL.data))
    torch.set_num_threads(1)
    job = Job(key=key, trial=TRIAL.encoded(), store=str(store.root), data_root=str(root))
    assert execute(job, lambda _: None).status == "finished"
    return store, key, Roots(folder)


def test_what_a_table_asks_for_is_measured_once(place: tuple[Store, str, Roots]) -> None:
    store, key, roots = place
    said: list[str] = []
    source = "weak"
    table = table_of(key, source)
    request = Request(roots=roots, store=str(store.root))
    before = make_table(table, request)

    assert before.cells["one", "mean"].keys == ()
    assert measure(table, store, roots, said.append) == 1
    assert measure(table, store, roots, said.append) == 0
    assert said == []
    row = label_row(store.trial(key))
    (found,) = {name.split(".")[1] for name in row}
    assert len([name for name in row if ".iou." in name]) == len(CLASSES)
    shown = make_table(table_of(key, found), request).cells
    assert shown["one", "share"].mean == 100 * row[f"labels.{found}.coverage"]
    assert 0 < shown["one", "share"].mean <= 100


def test_trials_whose_weights_are_gone_are_told(
    place: tuple[Store, str, Roots], tmp_path: Path
) -> None:
    _, key, roots = place
    store = Store.open(tmp_path / "store", create=True)
    store.trial(key).complete({"miou": 0.5})
    said: list[str] = []

    assert measure(table_of(key, "weak"), store, roots, said.append) == 0
    assert len(said) == 1
    assert "weights must have been kept" in said[0]
