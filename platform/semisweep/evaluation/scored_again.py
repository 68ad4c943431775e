"""A trial whose test images alone have changed: the weights of the earlier one, scored again."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from semisweep.core.errors import StoreError
from semisweep.evaluation.kept_weights import rebuilt
from semisweep.store import checkpoint_file
from semisweep.store.trial_folder import TrialFolder
from semisweep.store.trial_records import Result

if TYPE_CHECKING:
    import numpy as np

    from semisweep.data.base import DataSet
    from semisweep.training.trial import Trial

TEST, SELECTION = "test", "val"
NAMES = ("last", "best")
SOURCE = "run.scored_from"  # of a result: the trial that was trained

logger = logging.getLogger(__name__)


class Kept(NamedTuple):
    """What a finished trial has kept: its result, and by name step and bytes of its weights."""

    result: Result
    weights: Mapping[str, tuple[int, bytes]]


def kept_of(source: TrialFolder, needed: Collection[str]) -> Kept | None:
    """Return what can be scored of a trial; None where the weights that are needed are gone."""
    result = source.result()
    weights = {}
    for name in NAMES:
        found = checkpoint_file.find(source.states, f"weights-{name}")
        data = found[0].read() if found else None
        if data is not None:
            weights[name] = found[0].step, data
    if result is None or not weights or not set(needed) <= weights.keys():
        logger.info("the weights of %s are gone: it is trained again", source.key)
        return None
    return Kept(result, weights)


def scored(
    kept: Kept, trial: Trial, dataset: DataSet, device: str
) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    """Return the result with the numbers of the test images that are there now.

    And confusion matrices by name, such as "best-test". Every worker of a group takes part. Numbers
    of weights that are gone are left out.
    """
    from semisweep.training.metric import evaluate, summary

    row = {
        name: value
        for name, value in kept.result.items()
        if name != "key" and not name.startswith(tuple(f"{own}.{TEST}." for own in NAMES))
    }
    row[SOURCE] = kept.result.key
    confusions: dict[str, np.ndarray] = {}
    for name, (step, data) in kept.weights.items():
        source = f"trial={kept.result.key}, step={step}"
        method = rebuilt(trial, len(dataset.classes), data, source, device)
        own = evaluate(method, dataset, TEST, trial.training.evaluation, device)
        confusions[f"{name}-{TEST}"] = own
        row |= {
            f"{name}.{TEST}.{metric}": value
            for metric, value in summary(own, dataset.classes).items()
        }
    return row, confusions


def take_over(source: TrialFolder, target: TrialFolder, kept: Kept) -> None:
    """Keep history, weights and further confusion matrices of a trial as another one's."""
    target.rewind(0)
    target.append_history([evaluation.values for evaluation in source.evaluations()])
    for name, (step, data) in kept.weights.items():
        target.write_weights(name, step, data)
        with suppress(StoreError):  # freed
            kept_counts = source.read_confusion(f"{name}-{SELECTION}")
            target.write_confusion(f"{name}-{SELECTION}", kept_counts)
