"""The quality of pseudo-labels of finished trials, measured on their unlabelled images and kept.

<trial>/labels-<digest>[-<digest>].parquet   one row: labels.<source>.<what>[.<class>], as fractions

The digests are of the kept weights, and of the masks of the unlabelled images, which no trial sees.
They are no part of a trial's key or result.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from semisweep.core.errors import StoreError
from semisweep.store import files
from semisweep.store.resolved_study import ResolvedStudy
from semisweep.store.result_file import encode_row, read_row
from semisweep.store.store import Store
from semisweep.store.trial_folder import TrialFolder

if TYPE_CHECKING:
    from semisweep.study.data_roots import Roots


MEASURED = "labels."  # metrics of kept weights, which a result need not have yet
WEIGHTS = "last"
MASKS, MADE = "masks_digest", "run.finished_at"
_NAME = re.compile(r"labels-[0-9a-f]+(-[0-9a-f]+)?\.parquet")


def label_row(folder: TrialFolder) -> dict[str, object]:
    """Return what was measured last of a trial's pseudo-labels; nothing where nothing was."""
    row = max(_rows(folder), key=_made, default={})
    return {name: value for name, value in row.items() if name.startswith(MEASURED)}


def _rows(folder: TrialFolder) -> list[dict[str, object]]:
    names = sorted(entry.name for entry in files.scan(folder.path) if _NAME.fullmatch(entry.name))
    rows = (read_row(folder.path / name) for name in names)
    return [row for row in rows if row is not None]


def _made(row: Mapping[str, object]) -> float:
    made = row.get(MADE)
    return made if isinstance(made, float) else 0.0


def measured_keys(study: ResolvedStudy) -> list[str]:
    """Return the keys of a resolved study whose pseudo-labels a metric asks for."""
    return list(
        dict.fromkeys(
            key
            for cell in study.cells
            if (cell.metric or "").startswith(MEASURED)
            for key in cell.trials.values()
        )
    )


def measure(study: ResolvedStudy, store: Store, roots: Roots, say: Callable[[str], None]) -> int:
    """Measure the pseudo-labels that a table asks for and that were not; return how many trials.

    Trials without a result wait; those whose weights are gone are told and left out.
    """
    done = 0
    for key in measured_keys(study):
        folder = store.trial(key)
        if not folder.finished:
            continue
        try:
            done += _measure(folder, roots)
        except StoreError as error:
            say(f"warning: {study.name}: pseudo-labels not measured: {error}")
    return done


def _measure(folder: TrialFolder, roots: Roots) -> bool:
    """Measure the pseudo-labels of a trial and return True, unless that was done on these masks."""
    from semisweep.data.fingerprint import masks_digest
    from semisweep.data.splits import make_split
    from semisweep.evaluation.kept_weights import opened_trial, rebuild, weights_file
    from semisweep.evaluation.pseudo_label_quality import label_summary, measure_labels

    rows = _rows(folder)
    if any(MASKS not in row for row in rows):  # of an earlier version: on which masks is not known
        return False
    file = weights_file(folder, WEIGHTS)
    trial, dataset = opened_trial(folder, roots)
    unlabelled = make_split(dataset, trial.data).unlabelled
    masks = masks_digest(dataset, unlabelled)
    if any(row[MASKS] == masks for row in rows):
        return False
    method = rebuild(trial, len(dataset.classes), file, "cpu", whole=True)
    counts = measure_labels(method, dataset, unlabelled)
    row: dict[str, object] = {"key": folder.key, "weights": WEIGHTS, "step": file.step}
    row |= {MASKS: masks, MADE: time.time()}
    for name, own in counts.items():
        for what, value in label_summary(own, dataset.classes).items():
            row[f"{MEASURED}{name}.{what}"] = value
    with files.replacing(folder.path / f"labels-{file.digest}-{masks}.parquet") as written:
        written.write(encode_row(row))
    return True
