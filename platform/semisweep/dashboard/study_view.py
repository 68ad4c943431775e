"""The page of a study: its section of the report, what runs and has failed, and all its trials."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import NamedTuple

from semisweep.dashboard.store_watch import StoreWatch
from semisweep.dashboard.trial_states import (
    FailedTrial,
    TrialLine,
    failed_trials,
    finished_lines,
    running_trials,
    trial_lines,
)
from semisweep.report.page import sections_for, titled
from semisweep.report.sections import Section
from semisweep.store.snapshot import Snapshot
from semisweep.store.study_files import StoredStudy
from semisweep.study.plan import trial_names
from semisweep.study.request import Request
from semisweep.tables.status import Running

KEPT = 8  # studies whose pages are remembered


@dataclass(frozen=True, kw_only=True)
class StudyView:
    """What the page of a study shows."""

    section: Section
    metric: str
    running: list[Running]
    failed: list[FailedTrial]
    trials: list[TrialLine]


class _Ended(NamedTuple):
    """What a study's page shows of trials that have ended, which is most of the work."""

    version: int
    section: Section
    finished: dict[str, TrialLine]


class StudyViews:
    """Pages of studies, each made anew when one of its trials has changed.

    Its section, with tables and figures, is made anew only when one has ended: what a running trial
    has measured is drawn of itself.
    """

    def __init__(self, watch: StoreWatch, request: Request) -> None:
        self.watch, self.request = watch, request
        self._known: dict[str, tuple[int, _Ended, StudyView]] = {}
        self._guard = threading.Lock()

    def of(self, stored: StoredStudy) -> StudyView:
        """Return the page of a study as it is now."""
        place, keys = str(stored.place), stored.study.keys
        version, ended = self.watch.version_of(keys), self.watch.ended_version_of(keys)
        with self._guard:
            known = self._known.pop(place, None)
            if known is None or known[0] != version:
                of_ended = known[1] if known and known[1].version == ended else None
                of_ended = of_ended or self._of_ended(stored, ended)
                known = version, of_ended, self._made(stored, of_ended)
            self._known[place] = known
            while len(self._known) > KEPT:
                del self._known[next(iter(self._known))]
        return known[2]

    def _of_ended(self, own: StoredStudy, version: int) -> _Ended:
        study, store = titled(own), self.watch.store
        snapshot = Snapshot(store, study.keys)
        (section,) = sections_for([study], self.request, store, stored=snapshot)
        return _Ended(version, section, finished_lines(study, snapshot))

    def _made(self, own: StoredStudy, ended: _Ended) -> StudyView:
        study = own.study
        names = trial_names(study)
        return StudyView(
            section=ended.section,
            metric=study.metric,
            running=running_trials(self.watch, names, time.time()),
            failed=failed_trials(self.watch, names),
            trials=list(trial_lines(self.watch, study, ended.finished)),
        )
