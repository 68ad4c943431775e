"""Trials as loggers show them: where they stand in a study, their settings, curves and end."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from semisweep.core.config import flatten
from semisweep.store import stopped_trial
from semisweep.store.resolved_search import ResolvedSearch
from semisweep.store.study_files import StoredStudy
from semisweep.store.trial_folder import TrialFolder
from semisweep.store.trial_records import Evaluation, Result

State = Literal["running", "finished", "stopped", "failed"]
Setting = bool | int | float | str
NOT_SETTINGS = ("data.labelled_digest", "data.unlabelled_digest")
SETTINGS = ("method", "seed", "config.", "data.", "training.")
ID_LENGTH = 120  # W&B takes 128 letters


@dataclass(frozen=True, kw_only=True)
class Place:
    """A trial of a study: its key, and where it stands."""

    study: str
    scale: str
    variant: str  # a digest of --set, "" without
    key: str
    row: str  # of a search "#7", or "#7 again"
    column: str  # "" in a search
    replicate: str  # "draw/seed", "" of what a search suggested

    @property
    def name(self) -> str:
        """How the trial is called."""
        return ", ".join(part for part in (self.row, self.column, self.replicate) if part)

    @property
    def group(self) -> str:
        """The study that it belongs to, as a store names it."""
        return "@".join(part for part in (self.study, self.scale, self.variant) if part)

    @property
    def run_id(self) -> str:
        """What the run of this trial of this study is called in every logger."""
        start = re.sub(r"[^\w.-]+", "-", self.group)
        return f"{start[: ID_LENGTH - len(self.key)]}-{self.key}"

    @property
    def folder(self) -> PurePosixPath:
        """A folder of its own below that of the study, if no other trial ever stands there."""
        if not self.column:
            number, _, again = self.row.removeprefix("#").partition(" ")
            parts = [f"trial {int(number):04d}" + (f" {again}" if again else "")]
        else:
            parts = [self.row, self.column]
        parts += [f"replicate {self.replicate}"] if self.replicate else []
        return PurePosixPath(*map(plain, parts))

    @property
    def tags(self) -> dict[str, str]:
        """Names of the place and their values."""
        draw, _, seed = self.replicate.partition("/")
        found = {"study": self.study, "scale": self.scale, "variant": self.variant}
        found |= {"row": self.row, "column": self.column, "draw": draw, "replicate": seed}
        return {name: value for name, value in found.items() if value} | {"key": self.key}


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """What there is to log of a trial; times are in seconds since 1970."""

    place: Place
    state: State
    settings: Mapping[str, Setting]
    rows: Sequence[tuple[int, Mapping[str, float]]]  # step, what was measured after it
    scores: Mapping[str, float] = field(default_factory=dict)  # of a finished trial
    steps: int = 0  # that a finished trial took
    error: str = ""
    started_at: float | None = None
    ended_at: float | None = None
    seconds: float | None = None  # of training, over all attempts

    @property
    def tags(self) -> dict[str, str]:
        """What a user filters by: the place, and the seed."""
        seed = self.settings.get("seed")
        return self.place.tags | ({} if seed is None else {"seed": str(seed)})

    @property
    def times(self) -> list[float]:
        """When each row was measured, as if every step took equally long."""
        if not self.rows:
            return []
        end, last = self.ended_at, self.rows[-1][0]
        if end is None:
            return [float(step) for step, _ in self.rows]  # only their order is known
        seconds = self.seconds
        if seconds is None:
            seconds = 0.0 if self.started_at is None else end - self.started_at
        return [end - seconds * (1 - step / max(last, 1)) for step, _ in self.rows]


def places(stored: StoredStudy) -> dict[str, Place]:
    """Return the first place of each trial of a study, in order, by key."""
    found: dict[str, Place] = {}
    for key, row, column, replicate in _cells(stored):
        place = Place(
            study=stored.place.name,
            scale=stored.place.scale,
            variant=stored.place.variant,
            key=key,
            row=row,
            column=column,
            replicate=replicate,
        )
        found.setdefault(key, place)
    return found


def _cells(stored: StoredStudy) -> Iterator[tuple[str, str, str, str]]:
    """Yield key, row, column and replicate."""
    study = stored.study
    if isinstance(study, ResolvedSearch):
        yield from ((entry.key, f"#{entry.number}", "", "") for entry in study.trials)
        for own in study.confirmations:
            for number, trials in own.chosen.items():
                for replicate, key in trials.items():
                    yield key, f"#{number} again", "", replicate
        return
    for cell in study.cells:
        for replicate, key in cell.trials.items():
            yield key, cell.row, cell.column, replicate


def read_record(place: Place, folder: TrialFolder) -> TrialRecord | None:
    """Return what a store has of a trial now, None of one that was never begun."""
    result = folder.result()  # before the history, which is whole then
    description = folder.find_description()
    failure = None if result is not None else folder.failure()
    if result is None and failure is None and description is None:
        return None
    rows = numbers(folder.evaluations())
    started = folder.started_at
    if result is not None:
        return finished_record(place, result, rows, started)
    trial: Mapping[str, object] = description.trial if description else {}
    settings = settings_of(flatten(trial or (failure.trial if failure else {})))
    if failure is not None:
        return TrialRecord(
            place=place,
            state="failed",
            settings=settings,
            rows=rows,
            error=failure.error,
            started_at=started,
            ended_at=folder.failed_at,
        )
    stopped = None if folder.in_training else stopped_trial.stopped(folder)
    return TrialRecord(
        place=place,
        state="running" if stopped is None else "stopped",
        settings=settings,
        rows=rows,
        started_at=started,
        ended_at=None if stopped is None else stopped.finished_at,
    )


def finished_record(
    place: Place,
    result: Result,
    rows: Sequence[tuple[int, Mapping[str, float]]],
    started_at: float | None = None,
) -> TrialRecord:
    """Return what there is to log of a finished trial."""
    return TrialRecord(
        place=place,
        state="finished",
        settings=settings_of(result),
        rows=rows,
        scores=scores_of(result),
        steps=result.total_steps,
        started_at=started_at,
        ended_at=result.needed("run.finished_at"),
        seconds=result.needed("run.seconds"),
    )


def numbers(evaluations: Iterable[Evaluation]) -> list[tuple[int, dict[str, float]]]:
    """Return step and numbers of each row of a history; what is not a number is left out."""
    return [
        (
            row.step,
            {
                name: float(value)
                for name, value in row.values.items()
                if name != "step" and isinstance(value, int | float) and value == value
            },
        )
        for row in evaluations
    ]


def settings_of(flat: Mapping[str, object]) -> dict[str, Setting]:
    """Return method and configuration of a trial, of its flat fields."""
    return {
        name: value if isinstance(value, bool | int | float | str) else str(value)
        for name, value in flat.items()
        if name.startswith(SETTINGS) and name not in NOT_SETTINGS and value is not None
    }


def scores_of(result: Result) -> dict[str, float]:
    """Return the scores of the best and the last weights."""
    return {
        name: float(value)
        for name, value in result.items()
        if name.startswith(("last.", "best.")) and isinstance(value, int | float) and value == value
    }


def plain(text: str) -> str:
    """Return text as the name of one folder."""
    return re.sub(r"[^\w .=+()-]+", "-", text).strip(". ") or "-"
