"""Jobs carry what was asked for, and what tables read of their trials."""

from __future__ import annotations

from pathlib import Path

import pytest
from resolved import cell, table

from semisweep import Store
from semisweep.running.job_sources import Reads, job_for, metrics_of, reads_of
from semisweep.study.catalogue import find_study
from semisweep.study.data_roots import Roots
from semisweep.study.declaration import Study
from semisweep.study.request import KEEP, Request, make_request
from semisweep.study.resolve import Splits, cell_trial


def test_metrics_say_which_weights_are_read() -> None:
    assert reads_of(["best.val.miou", "run.seconds"]) == Reads(("best",), labels=False)
    assert reads_of(["last.test.miou", "best.val.miou"]) == Reads(("last", "best"), labels=False)
    assert reads_of(["labels.mix.miou"]) == Reads(("last",), labels=True)
    assert reads_of(["parameters"]) == Reads((), labels=False)


def test_metrics_of_a_shared_trial_are_those_of_all_its_cells() -> None:
    made = table(
        cell(["a", "b"]), cell(["b"], row="other", metric="labels.mix.miou"), metric="best.val.miou"
    )

    assert metrics_of(made) == {"a": {"best.val.miou"}, "b": {"best.val.miou", "labels.mix.miou"}}


@pytest.mark.parametrize("keep", KEEP)
def test_a_job_has_what_is_kept(tmp_path: Path, tiny_shapes: Path, keep: str) -> None:
    request = make_request(tmp_path / "store", {"data": {"shapes": tiny_shapes}, "keep": keep})
    study = find_study("quickstart")
    assert isinstance(study, Study)
    trial = cell_trial(study, "mini", study.rows[0], study.columns[0], {})
    store = Store.open(tmp_path / "store", create=True)
    job = job_for("key", trial, store, Splits(request.roots), request, metrics=["labels.a.miou"])

    assert (job.keep, job.read_weights, job.reads_labels) == (keep, ("last",), True)
    assert Request(roots=Roots(tmp_path)).keep == "auto"
