"""Running missing trials on Ray: Tune schedules them over slots of living Train workers.

The only file that imports `ray.tune`. Ray is the executor, the store is the truth: nothing here
needs to survive the driver, because running again runs what has no result.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from semisweep.engine import Engine
from semisweep.job import WAIT

SLOT_CPU = 0.001  # what a slot's Tune actor takes; its workers leave room for it
CONNECT_SECONDS = 20.0


class Source(Protocol):
    """Where a sweep's jobs come from and its outcomes go to."""

    total: int

    def next(self) -> dict[str, Any] | None:
        """Return the next job, `WAIT` where one has to end first, or None: there are no more."""

    def done(self, key: str, status: str, error: str) -> None:
        """Take the outcome of a job."""


Watch = Callable[[Mapping[str, Mapping[str, Any]]], None]


def sweep(source: Source, engine: Engine, watch: Watch) -> None:
    """Run the jobs of `source` on Ray until there are no more.

    `watch` is called about once a second with what each running trial said last. Further slots
    start when the first one trains: on few cores it begins the sooner for it.
    """
    engine.connect()
    first, ray, broker = engine.groups.names[0], engine.ray, engine.broker
    rest = min(engine.slots, source.total) - 1
    slots = engine.groups.reserve(rest)
    first_up = threading.Event()
    engine.groups.follow(first, slots[1:], first_up)
    with tempfile.TemporaryDirectory(prefix="sweep-") as scratch, _watching(engine, watch):
        # Tune's own actors start while the first worker is importing: earlier they would slow it.
        ray.get(broker.wait_spawned.remote(first))
        _tune(source, slots, broker, scratch, first_up)


def _tune(
    source: Source, slots: list[str], broker: Any, scratch: str, first_up: threading.Event
) -> None:
    from ray import tune

    tuner = tune.Tuner(
        tune.with_resources(
            _slot_class(broker, slots), tune.PlacementGroupFactory([{"CPU": SLOT_CPU}])
        ),
        tune_config=tune.TuneConfig(
            search_alg=_feed(source, first_up),
            num_samples=-1,
            max_concurrent_trials=len(slots),
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="sweep",
            storage_path=scratch,
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=3),
        ),
    )
    tuner.fit()


def _slot_class(broker: Any, slots: list[str]) -> Any:
    """Return the Tune trainable that takes a slot and passes one trial after another to it."""
    from ray import tune

    class Slot(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            import ray

            self.ray = ray
            self.slot: str | None = None
            self.reset_config(config)

        def reset_config(self, config: dict[str, Any]) -> bool:
            self.job: dict[str, Any] | None = config["job"]
            return True

        def step(self) -> dict[str, Any]:
            if self.job is not None:
                self._begin(self.job)
            event = self.ray.get(broker.event.remote(self.slot))
            return {**event, "done": "status" in event}

        def _begin(self, job: dict[str, Any]) -> None:
            # Not before: Tune starts actors for trials that it then gives to another.
            if self.slot is None:
                self.slot = self.ray.get(broker.claim.remote(slots, job["key"]))
            self.ray.get(broker.put.remote(self.slot, job))
            self.job = None

        def save_checkpoint(self, folder: str) -> None:
            """Keep nothing: the store has the checkpoints."""

        def load_checkpoint(self, checkpoint: Any) -> None:
            """Restore nothing: the store has the checkpoints."""

        def cleanup(self) -> None:
            if self.slot is not None:
                self.ray.get(broker.release.remote(self.slot))

    return Slot


def _feed(source: Source, first_up: threading.Event) -> Any:
    """Return the Tune searcher that hands out the source's jobs and takes back outcomes.

    It holds the second job back until the first slot is up, for as long the second cannot run.
    """
    from ray.tune.search import Searcher

    class Feed(Searcher):
        def __init__(self, source: Source, first_up: threading.Event) -> None:
            super().__init__(metric="training_iteration", mode="max")
            self.source, self.first_up = source, first_up
            self.jobs: dict[str, str] = {}

        def __getstate__(self) -> dict[str, Any]:
            return {}  # Tune pickles its searcher to restore it, which nothing here ever does

        def suggest(self, trial_id: str) -> Any:  # Ray's own type forgets that it may be FINISHED
            if self.jobs and not self.first_up.is_set():
                return None
            job = self.source.next()
            if job is None:
                return Searcher.FINISHED
            if job is WAIT:
                return None
            self.jobs[trial_id] = job["key"]
            return {"job": job}

        def on_trial_complete(
            self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
        ) -> None:
            said = result or {}
            status = said.get("status", "failed")
            self.source.done(self.jobs[trial_id], status, said.get("error", "the slot was lost"))

        def save(self, checkpoint_path: str) -> None:
            """Keep nothing: the store is the state of the search."""

        def restore(self, checkpoint_path: str) -> None:
            """Restore nothing: the store is the state of the search."""

    return Feed(source, first_up)


@contextmanager
def _watching(engine: Engine, watch: Watch) -> Iterator[None]:
    ray, broker = engine.ray, engine.broker
    ended = threading.Event()

    def poll() -> None:
        while not ended.wait(1.0):
            with suppress(ray.exceptions.RayError):  # one picture less; the next is a second away
                watch(ray.get(broker.snapshot.remote(), timeout=CONNECT_SECONDS))

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=5)
