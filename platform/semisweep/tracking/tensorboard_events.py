"""Trials as TensorBoard's event files: of a study that has run, or while it runs.

Written with TensorBoard's own writer, which needs neither torch nor TensorFlow; the package comes
with `semisweep[tensorboard]`. Each trial is a folder named after its place in the table.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semisweep.core.errors import StoreError, unknown
from semisweep.store.snapshot import Snapshot
from semisweep.store.store import Store
from semisweep.store.study_choice import choose
from semisweep.store.study_files import StoredStudy, StudyPlace, own_variant
from semisweep.store.trial_records import Evaluation
from semisweep.study.catalogue import stored_name
from semisweep.tracking.logged_run import EndedRuns, log_new
from semisweep.tracking.packages import check_installed
from semisweep.tracking.trial_record import (
    Place,
    State,
    TrialRecord,
    finished_record,
    numbers,
    places,
)

if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary

logger = logging.getLogger(__name__)

NOTES = "trial/text_summary"  # the tag of what is said of a trial in words


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
    check_installed("tensorboard")
    own = StudyPlace(study.name, scale, own_variant(study))
    found = places(StoredStudy(own, study))
    stored, count = Snapshot(store, found), 0
    for place in found.values():
        record = _record(place, stored)
        if record is not None:
            run = EventRun(output / place.folder, record)
            log_new(run, record, -1, record.times)
            run.end(record)
            count += 1
    return count


def _record(place: Place, stored: Snapshot) -> TrialRecord | None:
    """Return what a reading of the store has of a trial, None where it has nothing."""
    result, histories = stored.results.get(place.key), stored.histories
    if result is None and place.key not in histories.places:
        return None
    names = [name for name in histories.names if name != "key"]
    columns = {name: histories.of(place.key, name).tolist() for name in names}
    lines = [
        dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    rows = numbers(Evaluation(int(line["step"]), line) for line in lines)
    if result is not None:
        return finished_record(place, result, rows)
    return TrialRecord(place=place, state="running", settings={}, rows=rows)


class EventLogger:
    """Event files of running studies in a folder; raises `StoreError` where it cannot write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ended = EndedRuns(folder / "ended.jsonl")

    def state_of(self, run_id: str) -> State | None:
        """Return the end that the run of a trial was given, None of one that goes on."""
        return self.ended.states.get(run_id)

    def open(self, record: TrialRecord) -> EventRun:
        """Begin the folder of a trial, or go on with it."""
        place = record.place
        # What stands at a place may become another trial, whose curves go into another folder.
        folder = self.folder / place.group / place.folder
        folder = folder.with_name(f"{folder.name} {_short(place.key)}")
        return EventRun(folder, record, self.ended)


class EventRun:
    """The event files of one trial."""

    def __init__(self, folder: Path, record: TrialRecord, ended: EndedRuns | None = None) -> None:
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb  # summary wants TensorFlow
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self.ended, self.steps = ended, _last_steps(folder)
        try:
            self.writer: Any = EventFileWriter(str(folder))
        except OSError as error:
            raise StoreError(
                f"event files must be writable, got output={folder}: {error.strerror or error}"
            ) from error
        begun = record.started_at or record.ended_at or time.time()
        if record.settings and "_hparams_/session_start_info" not in self.steps:
            start = hparams_pb(dict(record.settings), trial_id=record.place.key)
            self._add(0, begun, start)
            self._add(0, begun, _text(_notes(record)))

    def last_step(self, name: str) -> int:
        """Return the last step at which a curve has a value from an earlier process, or -1."""
        return self.steps.get(name, -1)

    def log(self, step: int, values: dict[str, float], when: float) -> None:
        """Add a point to some curves."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        for name, value in values.items():
            self._add(step, when, Summary(value=[Summary.Value(tag=name, simple_value=value)]))
        self.writer.flush()

    def end(self, record: TrialRecord) -> None:
        """Write scores and how the trial has ended, and close the file."""
        new = {n: v for n, v in record.scores.items() if record.steps > self.last_step(n)}
        when = record.ended_at or time.time()
        if new:
            self.log(record.steps, new, when)
        if self.ended is not None:
            self._add(max(record.steps, 1), when, _text(_notes(record)))
        self.writer.close()
        if self.ended is not None and record.state != "running":
            self.ended.add(record.place.run_id, record.state)

    def leave(self) -> None:
        """Close the file."""
        self.writer.close()

    def _add(self, step: int, when: float, summary: Summary) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self.writer.add_event(Event(step=step, wall_time=when, summary=summary))


def _notes(record: TrialRecord) -> str:
    """Return state, tags and error of a trial in Markdown."""
    lines = {"state": record.state, **record.tags}
    text = "\n".join(f"* {name}: {value}" for name, value in lines.items())
    return text + (f"\n\n```\n{record.error}\n```" if record.error else "")


def _text(text: str) -> Any:
    from tensorboard.plugins.text.summary_v2 import text_pb

    return text_pb(NOTES, text)


def _last_steps(folder: Path) -> dict[str, int]:
    """Return the last step of each tag in the event files of a folder; a torn end is no event."""
    if not folder.is_dir():
        return {}
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    found: dict[str, int] = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                found[value.tag] = max(found.get(value.tag, -1), event.step)
    return found


def _short(key: str) -> str:
    """Return the beginning of a key and what comes after it in a trial's name."""
    start, dash, rest = key.partition("-")
    return start[:8] + dash + rest
