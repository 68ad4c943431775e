"""Trials as runs of Weights & Biases.

Where to: $WANDB_PROJECT (by default "semisweep"), $WANDB_ENTITY, $WANDB_MODE, $WANDB_DIR. A run's
identity is that of the trial in its study, so a later process goes on with it: online W&B says
which step was the last; offline the files do, and `wandb sync` joins those of one run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from semisweep.core.errors import INTERRUPTED, StoreError
from semisweep.tracking.logged_run import EndedRuns
from semisweep.tracking.trial_record import State, TrialRecord
from semisweep.tracking.wandb_file import read

PROJECT = "semisweep"
TAG_LENGTH = 64
WRITTEN_SECONDS = 10.0


class WandbLogger:
    """A project of W&B's, on its server or in files of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(os.environ.get("WANDB_DIR") or folder).absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.project = os.environ.get("WANDB_PROJECT") or PROJECT
        self.mode = os.environ.get("WANDB_MODE") or "online"
        where = "-".join((self.mode, os.environ.get("WANDB_ENTITY", ""), self.project))
        self.ended = EndedRuns(self.folder / "wandb" / f"ended-{where.replace(os.sep, '-')}.jsonl")

    def state_of(self, run_id: str) -> State | None:
        """Return the end that the run of a trial was given, None of one that goes on."""
        return self.ended.states.get(run_id)

    def open(self, record: TrialRecord) -> WandbRun:
        """Begin the run of a trial, or go on with it."""
        import wandb

        place = record.place
        settings = wandb.Settings(
            console="off",  # what the sweep prints is not the trial's
            silent=True,
            disable_git=True,
            disable_code=True,
            disable_job_creation=True,
            x_disable_stats=True,  # of the process that follows, not of the one that trains
            x_disable_meta=True,
            x_save_requirements=False,
        )
        last = self._last_step(place.run_id)
        run = wandb.init(
            project=self.project,
            dir=str(self.folder),
            id=place.run_id,
            name=place.name,
            group=place.group,
            tags=sorted({value[:TAG_LENGTH] for value in record.tags.values()}),
            config={**record.settings, **{f"study.{n}": v for n, v in record.tags.items()}},
            resume="allow",
            reinit="create_new",  # several are open at a time
            settings=settings,
        )
        offline = self.mode == "offline"
        file = Path(run.dir).parent / f"run-{place.run_id}.wandb" if offline else None
        return WandbRun(run, max(last, int(run.step) - 1), self.ended, file)

    def _last_step(self, run_id: str) -> int:
        """Return the last step that files of this machine have of a run, in offline mode."""
        if self.mode != "offline":
            return -1
        paths = (self.folder / "wandb").glob(f"offline-run-*-{run_id}*/run-{run_id}.wandb")
        return max((read(path).last_step for path in paths), default=-1)


class WandbRun:
    """The run of one trial; `file` is what it is written to where there is no server."""

    def __init__(self, run: Any, last: int, ended: EndedRuns, file: Path | None) -> None:
        self.run, self.last, self.ended, self.file = run, last, ended, file

    def last_step(self, name: str) -> int:
        """Return the last step that an earlier process has logged, or -1."""
        return self.last

    def log(self, step: int, values: Mapping[str, float], when: float) -> None:
        """Add a point to some curves."""
        self.run.log({**values, "_timestamp": when}, step=step, commit=True)

    def end(self, record: TrialRecord) -> None:
        """Write scores and how the trial has ended, and close the run."""
        self.run.summary.update({**record.scores, "state": record.state, "error": record.error})
        self._close(1 if record.state == "failed" else 0)
        self.ended.add(record.place.run_id, record.state)

    def leave(self) -> None:
        """Close the run of a trial that has not ended."""
        self._close(INTERRUPTED)

    def _close(self, code: int) -> None:
        """Close the run; wait until the end is in its file, which W&B writes a little later."""
        self.run.finish(exit_code=code)
        until = time.monotonic() + WRITTEN_SECONDS
        while self.file is not None and not read(self.file).closed:
            if time.monotonic() > until:
                raise StoreError(f"W&B must write a run to its file, got path={self.file} unclosed")
            time.sleep(0.01)
