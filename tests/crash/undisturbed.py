"""What a sweep is to be equal to: its trials one after the other, in this process, without Ray."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from semisweep.catalogue import find_study
from semisweep.execute import execute
from semisweep.launch import job_for
from semisweep.request import Request, Roots
from semisweep.store import Store
from semisweep.study import Splits, Study, resolve
from semisweep.trial import Trial


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
