"""Kept weights of finished trials scored under further protocols, each once.

<trial>/evaluation-<digest>.parquet   one row: weights, part and protocol, and what was measured

The digest is of what decides the numbers: content of the weights, images, protocol. A file is made
by one conditional create and never replaced; it is no part of the trial's key or of its result.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from semisweep.core.errors import DataError, StoreError, unknown
from semisweep.evaluation.kept_weights import kept_names, opened_trial, rebuild, weights_file
from semisweep.store import checkpoint_file, files
from semisweep.store.files import Location
from semisweep.store.query import wanted_keys
from semisweep.store.result_file import encode_row, read_row
from semisweep.store.store import Store
from semisweep.store.trial_folder import TrialFolder
from semisweep.store.trial_records import Result

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from semisweep.data.base import DataSet
    from semisweep.study.data_roots import Roots
    from semisweep.training.method import Method
    from semisweep.training.protocols import Protocol
    from semisweep.training.trial import Trial

NAMES = ("last", "best")
LEADING = ("key", "evaluation", "protocol", "weights", "part", "step", "miou", "pixel_accuracy")

_NAME = re.compile(r"evaluation-([0-9a-f]{20})\.parquet")

Say = Callable[[Result, bool], None]


@dataclass(frozen=True)
class Task:
    """An evaluation that is wanted: which weights of a trial, on which part, how."""

    folder: TrialFolder
    weights: str
    file: checkpoint_file.CheckpointFile
    part: str
    protocol: Protocol
    images_digest: str
    images: int

    def digest(self) -> str:
        """Return 20 hexadecimal digits that tell this evaluation from others of its trial."""
        from semisweep.core.config import digest, identity

        return digest(
            {
                "weights": [self.weights, self.file.step, self.file.digest],
                "part": self.part,
                "images": self.images_digest,
                "protocol": identity(self.protocol),
            }
        )

    @property
    def path(self) -> Location:
        """Where its row lies, once it is done."""
        return self.folder.path / f"evaluation-{self.digest()}.parquet"


def evaluate_trials(
    store: Store,
    keys: Sequence[str],
    protocols: Sequence[Protocol],
    roots: Roots,
    say: Say,
    *,
    weights: Sequence[str] | None = None,
    parts: Sequence[str] | None = None,
    device: str = "cpu",
) -> None:
    """Score kept weights of finished trials; what was scored before is read and not repeated.

    `weights` are by default those that were kept, `parts` all but the training images.
    `say` gets each row, and whether it is new.
    Before anything is scored, raises `StoreError` for a trial without a result or without weights,
    and `DataError` or `ConfigError` for a data set or part that is not there.
    """
    planned = []
    for key in keys:
        folder = store.trial(key)
        names = kept_names(folder, NAMES) if weights is None else weights
        found = {name: weights_file(folder, name) for name in names}
        trial, dataset = opened_trial(folder, roots)
        chosen = _parts(dataset, parts)
        _require_same_data(folder, trial, dataset, chosen)
        tasks = [
            _task(folder, name, file, dataset, part, protocol)
            for name, file in found.items()
            for protocol in protocols
            for part in chosen
        ]
        planned.append((trial, dataset, tasks))
    for trial, dataset, tasks in planned:
        _evaluate_trial(trial, dataset, tasks, say, device)


def evaluations(
    store: str | Path | Store, *, keys: Iterable[str] | None = None, study: str | None = None
) -> pd.DataFrame:
    """Return one row an evaluation made apart from training, in order of keys and protocols.

    The columns are key, evaluation (its digest), protocol, weights ("last" or "best"), part, step
    of the weights, metrics, the protocol's fields, where the numbers come from, and run.*, which
    differs between repetitions. `study` is as in `load`; join on key for a trial's configuration.
    """
    import pandas as pd

    opened = store if isinstance(store, Store) else Store.open(store)
    rows = [row for key in wanted_keys(opened, keys, study) for row in read_rows(opened.trial(key))]
    rows.sort(
        key=lambda row: tuple(str(row[name]) for name in ("key", "protocol", "weights", "part"))
    )
    names = dict.fromkeys([*LEADING, *(name for row in rows for name in row)])
    order = sorted(names, key=lambda name: name.startswith("run."))
    return pd.DataFrame(rows, columns=pd.Index(order))


def read_rows(folder: TrialFolder) -> list[dict[str, object]]:
    """Return the rows of a trial's evaluations; raise `StoreError` for a damaged one."""
    names = sorted(entry.name for entry in files.scan(folder.path) if _NAME.fullmatch(entry.name))
    rows = (_read(folder.path / name) for name in names)
    return [row for row in rows if row is not None]


def _evaluate_trial(
    trial: Trial, dataset: DataSet, tasks: Sequence[Task], say: Say, device: str
) -> None:
    method: Method | None = None
    loaded: checkpoint_file.CheckpointFile | None = None
    for task in tasks:
        row = _read(task.path)
        is_new = row is None
        if row is None:
            if method is None or loaded != task.file:
                method = rebuild(trial, len(dataset.classes), task.file, device)
                loaded = task.file
            is_new = _create(task, _measured(task, trial, method, dataset, device))
            row = _read(task.path)
        assert row is not None
        say(Result(task.folder.key, row), is_new)


def _measured(
    task: Task, trial: Trial, method: Method, dataset: DataSet, device: str
) -> dict[str, object]:
    from semisweep.core.config import identity
    from semisweep.core.provenance import machine, provenance
    from semisweep.training.metric import evaluate, summary

    started = time.time()
    confusions = evaluate(method, dataset, task.part, task.protocol, device)
    _require_same_images(task, confusions)
    row: dict[str, object] = {
        "key": task.folder.key,
        "evaluation": task.digest(),
        "protocol": task.protocol.text(),
        "weights": task.weights,
        "part": task.part,
        "step": task.file.step,
    }
    row |= summary(confusions, dataset.classes)
    row |= {f"protocol.{name}": value for name, value in identity(task.protocol).items()}
    row |= {
        "images": task.images,
        "images_digest": task.images_digest,
        "weights_digest": task.file.digest,
    }
    row |= provenance(trial.method) | machine(device)
    now = time.time()
    return row | {"run.device": device, "run.seconds": now - started, "run.finished_at": now}


def _require_same_data(
    folder: TrialFolder, trial: Trial, dataset: DataSet, parts: Sequence[str]
) -> None:
    """Raise `DataError` unless validation and test images are those that a trial has seen.

    Of a trial of an earlier version, which does not say, only labels are compared.
    """
    from semisweep.data.fingerprint import fingerprint
    from semisweep.data.splits import make_split
    from semisweep.training.trial import sees_unlabelled

    row = folder.result(["data.seen_digest", "data.test_digest"])
    known = {
        "val": row and row.text("data.seen_digest"),
        "test": row and row.text("data.test_digest"),
    }
    if not any(known[part] for part in parts if part in known):
        return
    split = make_split(dataset, trial.data)
    now = fingerprint(dataset, split, uses_unlabelled=sees_unlabelled(trial))
    for part, own in (("val", now.seen), ("test", now.test)):
        if part in parts and known[part] and known[part] != own:
            raise DataError(
                f"the data of part {part} must be those that trial {folder.key} was evaluated on, "
                f"got digest={own} instead of {known[part]}, root={dataset.root}; point to that "
                "data set, --data NAME=PATH, or run the study again on the new one"
            )


def _require_same_images(task: Task, confusions: np.ndarray) -> None:
    """Raise `DataError` unless labels are those that training counted, image by image."""
    import numpy as np

    try:
        kept = task.folder.read_confusion(f"{task.weights}-{task.part}")
    except StoreError:
        return  # freed, or of a part that is new
    if task.protocol.name != "center" and not np.array_equal(kept.sum(-1), confusions.sum(-1)):
        raise DataError(
            f"the images of part {task.part} must be those that trial {task.folder.key} was "
            f"evaluated on when it was trained, got other labels; point to that data set: "
            f"--data NAME=PATH"
        )


def _create(task: Task, row: Mapping[str, object]) -> bool:
    """Make `row` the evaluation's and return True; return False if there is one already."""
    # Under the lock, as whoever trains removes what looks half written.
    with task.folder.lock():
        return files.create(task.path, encode_row(row))


def _read(path: Location) -> dict[str, object] | None:
    try:
        return read_row(path)
    except StoreError:
        raise StoreError(
            f"an evaluation must be a whole Parquet file, got path={path}; "
            "remove that file and evaluate again"
        ) from None


def _task(
    folder: TrialFolder,
    weights: str,
    file: checkpoint_file.CheckpointFile,
    dataset: DataSet,
    part: str,
    protocol: Protocol,
) -> Task:
    from semisweep.data.splits import ids_digest

    ids = dataset.part(part)
    return Task(folder, weights, file, part, protocol, ids_digest(ids), len(ids))


def _parts(dataset: DataSet, asked: Sequence[str] | None) -> list[str]:
    if asked is None:
        return [part for part in dataset.parts if part != "train"]
    for part in asked:
        if part not in dataset.parts:
            raise unknown(f"part of {dataset.name}", part, dataset.parts)
    return list(dict.fromkeys(asked))
