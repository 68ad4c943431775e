"""The page of a study: its section of the report, what runs and has failed, and all its trials."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from semisweep.dashboard.store_watch import StoreWatch
from semisweep.dashboard.trial_states import (
    FailedTrial,
    TrialLine,
    failed_trials,
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


class StudyViews:
    """Pages of studies, each made anew when one of its trials has changed."""

    def __init__(self, watch: StoreWatch, request: Request) -> None:
        self.watch, self.request = watch, request
        self._known: dict[str, tuple[int, StudyView]] = {}
        self._guard = threading.Lock()

    def of(self, stored: StoredStudy) -> StudyView:
        """Return the page of a study as it is now."""
        place, version = str(stored.place), self.watch.version_of(stored.study.keys)
        with self._guard:
            known = self._known.pop(place, None)
            if known is None or known[0] != version:
                known = version, self._made(stored)
            self._known[place] = known
            while len(self._known) > KEPT:
                del self._known[next(iter(self._known))]
        return known[1]

    def _made(self, own: StoredStudy) -> StudyView:
        study, store = titled(own), self.watch.store
        names = trial_names(study)
        snapshot = Snapshot(store, study.keys)
        (section,) = sections_for([study], self.request, store, stored=snapshot)
        return StudyView(
            section=section,
            metric=study.metric,
            running=running_trials(self.watch, names, time.time()),
            failed=failed_trials(self.watch, names),
            trials=list(trial_lines(self.watch, study, snapshot)),
        )
