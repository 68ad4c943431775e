"""What a sweep is to be equal to: its trials one after the other, in this process, without Ray."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from semisweep import Store, Study, Trial
from semisweep.cluster.trial_execution import execute
from semisweep.running.job_sources import job_for
from semisweep.study.catalogue import find_study
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request
from semisweep.study.resolve import Splits, resolve


def train_undisturbed(name: str, folder: Path, data: Path) -> tuple[Store, Mapping[str, Trial]]:
    """Train the trials of a study on the images at `data`; return their store, and them by key."""
    store, study = Store.open(folder, create=True), find_study(name)
    assert isinstance(study, Study)
    splits = Splits(Roots(data.parent, {"shapes": data}))
    request = Request(roots=splits.roots, store=str(store.root))
    trials = resolve(study, "mini", splits).trials
    for key, trial in trials.items():
        job = job_for(key, trial, store, splits, request)
        assert execute(job, lambda said: None).status == "finished"
    return store, trials
