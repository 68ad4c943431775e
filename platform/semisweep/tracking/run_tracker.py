"""Trials of a store, brought into a logger as they train: read from the store, whoever trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from semisweep.store.resolved_search import ResolvedSearch
from semisweep.store.stopped_trial import stopped_path
from semisweep.store.store import Store
from semisweep.store.study_files import StoredStudy
from semisweep.store.trial_folder import TrialFolder
from semisweep.tracking.logged_run import LoggedRun, RunLogger, log_new
from semisweep.tracking.trial_record import Place, TrialRecord, places, read_record

Stamp = tuple[object, ...]


class _Followed:
    """A trial of a study, and how far it has been logged by this process."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.run: LoggedRun | None = None
        self.stamp: Stamp | None = None  # of its files when it was logged last
        self.step = -1
        self.seen_at = 0.0  # when it was logged last, in seconds since 1970
        self.complete = False
        self.failed = False  # to log it, which is tried again after all others


class RunTracker:
    """Looks at the trials of some studies, and logs what is new: one run a trial of a study.

    `clock` gives seconds since 1970.
    """

    def __init__(
        self, make: Callable[[], RunLogger], store: Store, clock: Callable[[], float]
    ) -> None:
        self.make, self.store, self.clock = make, store, clock
        self.logger: RunLogger | None = None
        self.trials: dict[str, _Followed] = {}  # by the identity of the run
        self.logged = 0  # rows and ends so far

    def look(self, studies: Sequence[StoredStudy]) -> None:
        """Log what has changed since the last look; raise what the logger raises.

        A trial that could not be logged is opened anew by the next look, after the others.
        """
        if self.logger is None:
            self.logger = self.make()
        for followed, folder, halved in self._pending(studies):
            stamp = _stamp(folder, halved)
            if stamp == followed.stamp:
                continue
            record = read_record(followed.place, folder)
            if record is None:
                continue
            try:
                self._log(followed, record, self.logger)
            except BaseException:
                followed.run, followed.failed = None, True
                raise
            followed.stamp, followed.failed = stamp, False

    def leave(self) -> None:
        """Close the runs of trials that have not ended."""
        for followed in self.trials.values():
            if followed.run is not None:
                followed.run.leave()
                followed.run = None

    def _pending(
        self, studies: Sequence[StoredStudy]
    ) -> Iterator[tuple[_Followed, TrialFolder, bool]]:
        """Yield trials that are not complete, with folder and whether a search may stop them."""
        wanted: list[tuple[_Followed, bool]] = []
        for stored in studies:
            halved = isinstance(stored.study, ResolvedSearch) and stored.study.halving is not None
            for place in places(stored).values():
                own = self.trials.setdefault(place.run_id, _Followed(place))
                if not own.complete:
                    wanted.append((own, halved))
        wanted.sort(key=lambda item: item[0].failed)
        folders = self.store.survey(own.place.key for own, _ in wanted)
        yield from ((own, folders[own.place.key], halved) for own, halved in wanted)

    def _log(self, followed: _Followed, record: TrialRecord, logger: RunLogger) -> None:
        """Log the new rows of a trial, and its end."""
        if followed.run is None:
            if record.state != "running" and logger.state_of(record.place.run_id) == record.state:
                followed.complete = record.state == "finished"
                return
            followed.run, followed.step = logger.open(record), -1
        now, before = self.clock(), followed.step
        followed.step = log_new(followed.run, record, before, self._times(followed, record, now))
        followed.seen_at = now
        self.logged += 1
        if record.state != "running":
            followed.run.end(record)
            followed.run = None
            followed.complete = record.state == "finished"

    def _times(self, followed: _Followed, record: TrialRecord, now: float) -> list[float]:
        """Return when each row was measured; of those since the last look, evenly until now."""
        if record.ended_at is not None and followed.step < 0:
            return record.times
        end = now if record.ended_at is None else record.ended_at
        known = max(followed.step, 0)
        start = followed.seen_at if followed.step >= 0 else record.started_at or end
        last = record.rows[-1][0] if record.rows else 0
        share = (end - min(start, end)) / max(last - known, 1)
        return [end - share * (last - max(step, known)) for step, _ in record.rows]


def _stamp(folder: TrialFolder, halved: bool) -> Stamp:
    """Return what is another value when there is more to log of a trial."""
    stopped = stopped_path(folder) if halved else None
    names = ("result.parquet", "failure.json", "history.jsonl", "trial.json")
    return (*map(folder.stamp, names), None if stopped is None else stopped.name)
