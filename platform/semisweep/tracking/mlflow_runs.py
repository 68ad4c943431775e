"""Trials as runs of MLflow.

Where to: $MLFLOW_TRACKING_URI, by default a SQLite file in the folder of logs, and
$MLFLOW_EXPERIMENT_NAME, by default "semisweep". A run is found by its tag `semisweep.run`, and
MLflow says which steps it has.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, cast

from semisweep.tracking.trial_record import State, TrialRecord

EXPERIMENT = "semisweep"
RUN, STATE, DETAIL = "semisweep.run", "semisweep.state", "semisweep.error"
PARAMS = 100  # in one request
PARAM_LENGTH, TAG_LENGTH = 6000, 5000
STATUS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


class MlflowLogger:
    """An experiment of MLflow's."""

    def __init__(self, folder: Path) -> None:
        from mlflow import MlflowClient

        for name in ("mlflow", "mlflow.store.db.utils", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        folder = folder.absolute()
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        artifacts = None
        if not uri:
            folder.mkdir(parents=True, exist_ok=True)
            uri, artifacts = f"sqlite:///{folder}/mlflow.db", f"{folder}/artifacts"
        self.client: Any = MlflowClient(tracking_uri=uri)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        found = self.client.get_experiment_by_name(name)
        self.experiment = (
            self.client.create_experiment(name, artifact_location=artifacts)
            if found is None
            else found.experiment_id
        )
        self.runs: dict[str, Any] = {own.data.tags[RUN]: own for own in self._runs()}

    def state_of(self, run_id: str) -> State | None:
        """Return the end that the run of a trial was given, None of one that goes on."""
        run = self.runs.get(run_id)
        if run is None or run.info.status == "RUNNING":
            return None
        return cast("State | None", run.data.tags.get(STATE))

    def open(self, record: TrialRecord) -> MlflowRun:
        """Begin the run of a trial, or go on with it."""
        from mlflow.entities import Param

        place = record.place
        if place.run_id not in self.runs:
            named = {f"semisweep.{name}": value[:TAG_LENGTH] for name, value in record.tags.items()}
            self.runs[place.run_id] = self.client.create_run(
                self.experiment,
                start_time=_milliseconds(record.started_at or record.ended_at or time.time()),
                tags={RUN: place.run_id, **named},
                run_name=place.name,
            )
        identity = self.runs[place.run_id].info.run_id
        self.client.update_run(identity, status="RUNNING")
        params = iter(Param(n, str(v)[:PARAM_LENGTH]) for n, v in record.settings.items())
        while part := list(islice(params, PARAMS)):
            self.client.log_batch(identity, params=part)
        return MlflowRun(self, place.run_id)

    def _runs(self) -> Iterator[Any]:
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment], f"tags.`{RUN}` LIKE '%'", max_results=1000, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return


class MlflowRun:
    """The run of one trial."""

    def __init__(self, logger: MlflowLogger, run_id: str) -> None:
        self.logger, self.client, self.run_id = logger, logger.client, run_id
        self.identity = logger.runs[run_id].info.run_id
        known = self.client.get_run(self.identity).data.metrics
        self.steps: dict[str, int] = {
            name: max(own.step for own in self.client.get_metric_history(self.identity, name))
            for name in known
        }

    def last_step(self, name: str) -> int:
        """Return the last step at which a curve has a value from an earlier process, or -1."""
        return self.steps.get(name, -1)

    def log(self, step: int, values: Mapping[str, float], when: float) -> None:
        """Add a point to some curves."""
        from mlflow.entities import Metric

        at = _milliseconds(when)
        metrics = [Metric(name, value, at, step) for name, value in values.items()]
        self.client.log_batch(self.identity, metrics=metrics)

    def end(self, record: TrialRecord) -> None:
        """Write scores and how the trial has ended, and close the run."""
        new = {n: v for n, v in record.scores.items() if record.steps > self.last_step(n)}
        when = record.ended_at or time.time()
        if new:
            self.log(record.steps, new, when)
        if record.error:
            self.client.set_tag(self.identity, DETAIL, record.error[-TAG_LENGTH:])
        self.client.set_tag(self.identity, STATE, record.state)
        self._close(STATUS[record.state], when)

    def leave(self) -> None:
        """Close the run of a trial that has not ended."""
        self.client.set_tag(self.identity, STATE, "running")
        self._close("KILLED", time.time())

    def _close(self, status: str, when: float) -> None:
        self.client.set_terminated(self.identity, status, end_time=_milliseconds(when))
        self.logger.runs[self.run_id] = self.client.get_run(self.identity)


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)
