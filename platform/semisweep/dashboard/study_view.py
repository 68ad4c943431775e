"""The page of a study: its section of the report, what runs and has failed, and all its trials."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from semisweep.core.errors import SemisweepError
from semisweep.core.safe_text import printable
from semisweep.dashboard.store_watch import StoreWatch
from semisweep.dashboard.trial_states import (
    FailedTrial,
    TrialLine,
    failed_trials,
    finished_lines,
    running_trials,
    trial_lines,
)
from semisweep.report.page import sections_for, seen_figures, titled
from semisweep.report.sections import FigureGroup, Section
from semisweep.store.snapshot import Snapshot
from semisweep.store.study_files import StoredStudy
from semisweep.study.plan import trial_names
from semisweep.study.request import Request
from semisweep.tables.status import Running

KEPT = 8  # studies whose pages are remembered
IMAGES = 4
SEEN = {  # that a page shows if it is asked for them
    "pictures": "Show pictures of four images",
    "features": "Map features (t-SNE)",
}
NO_WEIGHTS = "No finished trial here has kept weights."


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
        self._seen: dict[tuple[str, str], tuple[int, list[FigureGroup]]] = {}
        self._guard, self._drawing = threading.Lock(), threading.Lock()

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

    def with_seen(self, stored: StoredStudy, kinds: Sequence[str]) -> StudyView:
        """Return the page with what arms see, of some of `SEEN`; it takes seconds to draw."""
        view = self.of(stored)
        parts = [part for kind in kinds for part in self._drawn(stored, kind)]
        return replace(view, section=replace(view.section, parts=[*view.section.parts, *parts]))

    def _drawn(self, stored: StoredStudy, kind: str) -> list[FigureGroup]:
        place, version = str(stored.place), self.watch.ended_version_of(stored.study.keys)
        with self._drawing:
            known = self._seen.get((place, kind))
            if known is None or known[0] != version:
                images = IMAGES if kind == "pictures" else 0
                drawn = seen_figures(
                    stored.study, self.watch.store, self.request, images, kind == "features"
                )
                try:
                    groups = list(drawn) or [_told(kind, NO_WEIGHTS)]
                except SemisweepError as error:
                    groups = [_told(kind, printable(str(error)))]
                known = version, groups
            self._seen[place, kind] = known
        return known[1]

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


def _told(kind: str, why: str) -> FigureGroup:
    """Return what stands in place of figures."""
    return FigureGroup(title=kind.capitalize(), figures=(), note=why)
