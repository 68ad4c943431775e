"""A study's histories and results as TensorBoard's event files.

Written with TensorBoard's own writer, which needs neither torch nor TensorFlow; the package comes
with `semisweep[tensorboard]`. Each trial is a folder named after its place in the table. Its time
is made up of what is known: it ends when the trial did, and every step took equally long.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

from semisweep.core.errors import ConfigError, StoreError, unknown
from semisweep.store.resolved_search import ResolvedSearch, StudyOrSearch
from semisweep.store.snapshot import Snapshot
from semisweep.store.store import Store
from semisweep.store.study_choice import choose
from semisweep.store.trial_records import Result
from semisweep.study.catalogue import stored_name

logger = logging.getLogger(__name__)

NOT_SETTINGS = ("data.labelled_digest", "data.unlabelled_digest")


def export(store: Store, name: str, scale: str, output: Path) -> int:
    """Write event files of a study's trials, running ones included; return how many trials.

    Raises `ConfigError` for a study that the store does not have and without TensorBoard,
    `StoreError` for a folder that holds anything or cannot be written.
    """
    study, note = choose(store, stored_name(name, store), scale)
    if note:
        logger.warning("%s", note)
    if study is None:
        known = [f"{own} at {size} scale" for own, size in store.studies()]
        raise unknown("study of this store", f"{name} at {scale} scale", known)
    if output.is_dir() and any(output.iterdir()):
        raise StoreError(
            f"event files need a folder of their own, got output={output}, which is not empty; "
            "TensorBoard would show what is there as further steps"
        )
    places = dict(_places(study))
    stored, count = Snapshot(store, places), 0
    for key, place in places.items():
        if key in stored.histories.places or key in stored.results:
            _write(output / place, stored, key)
            count += 1
    return count


def _places(study: StudyOrSearch) -> Iterator[tuple[str, str]]:
    """Yield key and folder of each trial: row, column and replicate, or a search's number."""
    if isinstance(study, ResolvedSearch):
        for own in study.confirmations:
            for number, trials in own.chosen.items():
                for replicate, key in trials.items():
                    yield key, f"trial {number:04d} again/replicate {_plain(replicate)}"
        yield from ((entry.key, f"trial {entry.number:04d}") for entry in study.trials)
        return
    for cell in study.cells:
        for replicate, key in cell.trials.items():
            parts = [cell.row, cell.column, f"replicate {replicate}"]
            yield key, "/".join(_plain(part) for part in parts)


def _plain(text: str) -> str:
    """Return text as the name of one folder."""
    return re.sub(r"[^\w .=+()-]+", "-", text).strip(". ") or "-"


def _write(folder: Path, stored: Snapshot, key: str) -> None:
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb  # summary wants TensorFlow
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "tensorboard":
            raise
        raise ConfigError(
            "TensorBoard must be installed to write its files, got no package tensorboard; "
            "pip install 'semisweep[tensorboard]'"
        ) from None
    row, history = stored.results.get(key), stored.histories
    steps = [int(step) for step in history.of(key, "step")]
    times = dict(zip(steps, _times(steps, row), strict=True))
    try:
        writer = EventFileWriter(str(folder))
    except OSError as error:
        raise StoreError(
            f"event files must be writable, got output={folder}: {error.strerror or error}"
        ) from error

    def add(step: int, when: float, summary: Summary) -> None:
        writer.add_event(Event(step=step, wall_time=when, summary=summary))

    last = times[steps[-1]] if steps else row.needed("run.finished_at") if row else 0.0
    if row is not None:
        add(0, last, hparams_pb(_settings(row), trial_id=key))
    for name in [name for name in history.names if name not in ("key", "step")]:
        for step, value in zip(steps, history.of(key, name).tolist(), strict=True):
            if value == value:
                tag = Summary(value=[Summary.Value(tag=name, simple_value=value)])
                add(step, times[step], tag)
    for name, value in _scores(row) if row else ():
        add(
            row.total_steps if row else 0,
            last,
            Summary(value=[Summary.Value(tag=name, simple_value=value)]),
        )
    writer.close()


def _times(steps: list[int], row: Result | None) -> list[float]:
    """Return when each evaluation was: seconds since 1970; of a running trial only their order."""
    if row is None or not steps:
        return [float(step) for step in steps]
    end, seconds = row.needed("run.finished_at"), row.needed("run.seconds")
    return [end - seconds * (1 - step / steps[-1]) for step in steps]


def _settings(row: Result) -> dict[str, bool | int | float | str]:
    """Return method and configuration as TensorBoard's HPARAMS page takes them."""
    start = ("method", "seed", "config.", "data.", "training.")
    return {
        name: value if isinstance(value, bool | int | float | str) else str(value)
        for name, value in row.items()
        if name.startswith(start) and name not in NOT_SETTINGS and value is not None
    }


def _scores(row: Result) -> Iterator[tuple[str, float]]:
    for name, value in row.items():
        if name.startswith(("last.", "best.")) and isinstance(value, int | float):
            yield name, float(value)
