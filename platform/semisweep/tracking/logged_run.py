"""What a logger is: one run a trial, which goes on where an earlier process left it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Protocol

from semisweep.tracking.trial_record import State, TrialRecord


class LoggedRun(Protocol):
    """The run of one trial, open to be written to."""

    def last_step(self, name: str) -> int:
        """Return the last step at which a curve has a value from an earlier process, or -1."""
        ...

    def log(self, step: int, values: dict[str, float], when: float) -> None:
        """Add a point to some curves; `when` is in seconds since 1970."""
        ...

    def end(self, record: TrialRecord) -> None:
        """Write how the trial has ended, and close the run; all of it is kept on return."""
        ...

    def leave(self) -> None:
        """Close the run of a trial that has not ended: a later process goes on."""
        ...


class RunLogger(Protocol):
    """Where runs are logged to."""

    def state_of(self, run_id: str) -> State | None:
        """Return the end that the run of a trial was given, None of one that goes on."""
        ...

    def open(self, record: TrialRecord) -> LoggedRun:
        """Begin the run of a trial, or go on with it."""
        ...


class EndedRuns:
    """The runs that were given an end, in a file beside them: {"run": ..., "state": ...} a line.

    It saves looking into runs that are complete; what is in the others, they say themselves.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.states: dict[str, State] = {}
        for line in path.read_bytes().splitlines() if path.exists() else ():
            try:
                found = json.loads(line)
                self.states[str(found["run"])] = found["state"]
            except (ValueError, KeyError, TypeError):  # torn by a kill
                continue

    def add(self, run_id: str, state: State) -> None:
        """Note that a run is complete."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a") as file:
            file.write("\n" + json.dumps({"run": run_id, "state": state}))
            file.flush()
            os.fsync(file.fileno())
        self.states[run_id] = state


def log_new(run: LoggedRun, record: TrialRecord, after: int, times: list[float]) -> int:
    """Log the rows of a trial after a step that the run has not; return the last step of all."""
    for (step, values), when in zip(record.rows, times, strict=True):
        if step > after:
            new = {name: value for name, value in values.items() if step > run.last_step(name)}
            if new:
                run.log(step, new, when)
    return max(after, record.rows[-1][0]) if record.rows else after
