"""Running missing trials on Ray: Tune schedules them over slots of living Train workers.

Ray runs trials, the store knows which have a result: nothing here needs to survive the driver,
because running again runs what has none.
"""

from __future__ import annotations

import logging
import math
import sys
import tempfile
import threading
import time
import traceback
from typing import Any

from semisweep.cluster import ray_internals
from semisweep.cluster.connection import SLOT_CPU, Connection
from semisweep.cluster.elastic_slots import Room, names_wanted
from semisweep.cluster.job import Job, Outcome
from semisweep.cluster.job_queue import JobQueue, Source
from semisweep.cluster.supervisor import Watch, supervisor
from semisweep.core.errors import SweepError

SPAWN_SECONDS = 1.0
ROOM_SECONDS = 60.0
AGAIN = "nothing finished is lost, run the same command again"
NO_ROOM = (
    f"no worker has started for {ROOM_SECONDS:.0f} s: the cluster has no room for one yet "
    "(other sweeps?); this one waits"
)


def sweep(
    source: Source,
    connection: Connection,
    watch: Watch,
    *,
    in_order: bool = False,
    retries: bool = True,
) -> None:
    """Run the jobs of `source` on Ray until there are no more.

    `watch` is told about once a second how far running trials have come, how many are trained by
    other sweeps, and every fault. Further slots start when the first one trains, which on few cores
    makes it start sooner. An interrupt lets running trials write checkpoints; a second one does not
    wait for them. Raises `StoreError` when the store can no longer be written, and `SweepError`
    when an actor that serves the sweep is lost, or its workers do not start. For `in_order` and
    `retries` see `JobQueue`.
    """
    queue = JobQueue(source, in_order=in_order, retries=retries)
    first_up = threading.Event()
    if not queue.has_job() and queue.ended:
        _raise_error(queue)
        return
    connection.connect()
    connection.groups.place = queue.place
    first = connection.groups.names[0]
    slots = connection.groups.reserve(names_wanted(connection, source.total) - 1)
    room = Room(connection, len(slots), ahead=not in_order and source.total > len(slots))
    connection.groups.follow(first, slots[1 : room.trials], first_up)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="sweep-") as scratch,
            supervisor(connection, queue, watch, first_up, room),
        ):
            job = _first_job(connection, queue, first)
            if job is not None:
                _tune(queue, job, slots, connection.dispatcher, scratch, first_up, room)
    except KeyboardInterrupt:
        _raise_error(queue)  # what ends the sweep may have been its reason
        _stop(connection)
        raise
    except connection.ray.exceptions.RayError as error:
        queue.end(SweepError(f"Ray must serve the sweep, got {_first_line(error)}; {AGAIN}"))
    _raise_error(queue)
    if queue.halted:
        raise SweepError(f"a sweep must not be stopped by others, got it halted; {AGAIN}")


def _stop(connection: Connection) -> None:
    print("stopping: running trials write checkpoints; again ends at once", file=sys.stderr)
    try:
        connection.stop()
    except KeyboardInterrupt:
        print("ending at once: running trials have their last checkpoints", file=sys.stderr)
        raise


def _first_job(connection: Connection, queue: JobQueue, first: str) -> Job | None:
    """Return the first job when the first worker's process exists; None if there is nothing to run.

    Tune's actors start while that process imports: earlier they would slow it down. On a cluster
    that is busy, other sweeps may finish all trials before there is room for a worker here; Tune,
    which raises an error when it has no trial at all, is not started then.
    """
    note_at = time.monotonic() + ROOM_SECONDS
    while True:
        spawned = connection.ray.get(
            connection.dispatcher.wait_spawned.remote(first, SPAWN_SECONDS)
        )
        job = queue.take() if spawned else None
        if job is not None:
            return job
        if not queue.has_job() and queue.ended:
            return None
        if spawned:
            time.sleep(SPAWN_SECONDS)
        elif time.monotonic() > note_at:
            note_at = math.inf
            print(NO_ROOM, file=sys.stderr)


def _raise_error(queue: JobQueue) -> None:
    if queue.error is not None:
        raise queue.error


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _tune(
    queue: JobQueue,
    job: Job,
    slots: list[str],
    dispatcher: Any,
    scratch: str,
    first_up: threading.Event,
    room: Room,
) -> None:
    from ray import tune

    # It shows tracebacks of actors that were lost, which the queue replaces or tells of.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    ray_internals.propagate_no_credentials()
    tuner = tune.Tuner(
        tune.with_resources(
            _slot_class(dispatcher, slots), tune.PlacementGroupFactory([{"CPU": SLOT_CPU}])
        ),
        tune_config=tune.TuneConfig(
            search_alg=_feed(queue, job, first_up, room),
            num_samples=-1,
            max_concurrent_trials=len(slots) + room.ahead,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="sweep",
            storage_path=scratch,
            verbose=0,
            progress_reporter=tune.CLIReporter(),  # that of notebooks clears what a cell has shown
            failure_config=tune.FailureConfig(max_failures=0),  # the queue sees to that
        ),
    )
    tuner.fit()


def _slot_class(dispatcher: Any, slots: list[str]) -> Any:
    """Return the Tune trainable that takes a slot and passes one trial after another to it."""
    from ray import tune

    class Slot(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            import ray

            self.ray = ray
            self.slot: str | None = None
            self.actor = ray.get_runtime_context().get_actor_id()
            self.gathered = 1  # so many actors are known to be there
            self.reset_config(config)

        def reset_config(self, config: dict[str, Any]) -> bool:
            self.job: Job = config["job"]
            self.is_new = True
            self.company: int = config["company"]
            return True

        def step(self) -> dict[str, Any]:
            try:
                return self._step()
            except self.ray.exceptions.RayError:
                raise  # what served this actor is gone: Tune tells the queue of it
            except Exception:
                outcome = Outcome(self.job.key, "broken", traceback.format_exc())
                return {"outcome": outcome, "done": True}

        def _step(self) -> dict[str, Any]:
            if self.is_new:
                # Not before: Tune starts actors for trials that it then gives to another.
                self.slot = self.ray.get(dispatcher.begin.remote(slots, self.job, self.actor))
                self.is_new = False
            outcome = Outcome(self.job.key, "interrupted")
            if self.slot:
                # What waits has the trial's name in Ray's dashboard.
                waiting = dispatcher.outcome.options(name=self.job.label or self.job.key)
                outcome = self.ray.get(waiting.remote(self.slot))
            self.cleanup()
            if self.company > self.gathered and self.ray.get(
                dispatcher.gather.remote(self.company)
            ):
                self.gathered = self.company
            return {"outcome": outcome, "done": True}

        def save_checkpoint(self, folder: str) -> None:
            """Keep nothing: the store has the checkpoints."""

        def load_checkpoint(self, checkpoint: Any) -> None:
            """Restore nothing: the store has the checkpoints."""

        def cleanup(self) -> None:
            # After each trial: for the next one another slot may be ready, and this one lost.
            if self.slot:
                self.ray.get(dispatcher.release.remote(self.slot))
            self.slot = None

    return Slot


def _feed(queue: JobQueue, first: Job, first_up: threading.Event, room: Room) -> Any:
    """Return the Tune searcher that hands out jobs, `first` before others, and takes outcomes.

    The second job waits until the first slot trains, as it could not run before. There are never
    more jobs out than the cluster has room for.
    """
    from ray.tune.search import Searcher

    class Feed(Searcher):  # Tune pickles it by value: it may refer to nothing from outside
        def __init__(
            self, queue: JobQueue, first: Job, first_up: threading.Event, room: Room
        ) -> None:
            super().__init__(metric="training_iteration", mode="max")
            self.queue, self.first, self.first_up, self.room = queue, first, first_up, room
            self.jobs: dict[str, str] = {}

        def __getstate__(self) -> dict[str, Any]:
            return {}  # Tune pickles its searcher to restore it, which nothing here ever does

        def suggest(self, trial_id: str) -> Any:  # Ray's own type forgets that it may be FINISHED
            if self.queue.ended:
                return Searcher.FINISHED
            if self.jobs and not self.first_up.is_set():
                return None
            if self.jobs and self.room.is_full(self.queue.outstanding):
                return None
            job = self.queue.take() if self.jobs else self.first
            if job is None:
                return Searcher.FINISHED if self.queue.ended else None
            self.jobs[trial_id] = job.key
            return {"job": job, "company": self._company()}

        def _company(self) -> int:
            """Return how many of Tune's actors there should be when the last job has ended."""
            given = len(self.jobs)
            most = self.room.trials + self.room.ahead
            return min(given, most) if given < self.queue.source.total else 1

        def on_trial_complete(
            self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
        ) -> None:
            outcome = (result or {}).get("outcome")
            if error or not isinstance(outcome, Outcome):
                self.queue.lost(self.jobs[trial_id])
            else:
                self.queue.done(outcome)

        def save(self, checkpoint_path: str) -> None:
            """Keep nothing: the store is the state of the search."""

        def restore(self, checkpoint_path: str) -> None:
            """Restore nothing: the store is the state of the search."""

    return Feed(queue, first, first_up, room)
