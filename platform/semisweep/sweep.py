"""Running missing trials on Ray: Tune schedules them over slots of living Train workers.

The only file that imports `ray.tune`. Ray is the executor, the store is the truth: nothing here needs
to survive the driver, because running again runs what has no result.
"""

from __future__ import annotations

import logging
import os
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from semisweep.errors import ClusterError
from semisweep.request import Resources

QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_DEDUP_LOGS": "1",
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_SYNCER": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_MAX_PENDING_TRIALS_PG": "auto",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "3600",
}
# Despite its name it rules on every system whether a cluster may reach beyond 127.0.0.1.
LOOPBACK_SWITCH = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
SLOT_CPU = 0.001  # what a slot's Tune actor takes; its workers leave room for it
WORKER_CPU = 0.99
ADDRESS_SECONDS = 5.0
CONNECT_SECONDS = 20.0
GROUP_END_SECONDS = 10.0


class Source(Protocol):
    """Where a sweep's jobs come from and its outcomes go to."""

    total: int

    def next(self) -> dict[str, Any] | None:
        """Return the next job, or None when there are no more."""

    def done(self, key: str, status: str, error: str) -> None:
        """Take the outcome of a job."""


Watch = Callable[[Mapping[str, Mapping[str, Any]]], None]


def sweep(source: Source, resources: Resources, watch: Watch) -> None:
    """Run the jobs of `source` on Ray until there are no more.

    `watch` is called about once a second with what each running trial said last.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})
    with cluster(resources) as (ray, slots, worker):
        from semisweep.broker import Broker

        broker = ray.remote(Broker).options(num_cpus=0, max_concurrency=1000).remote()
        names = [f"slot-{uuid.uuid4().hex[:8]}" for _ in range(min(slots, source.total))]
        with (
            tempfile.TemporaryDirectory(prefix="sweep-") as scratch,
            _groups(ray, broker, names, resources.workers, worker, scratch),
            _watching(ray, broker, watch),
        ):
            _tune(source, names, broker, scratch)


@contextmanager
def _groups(
    ray: Any,
    broker: Any,
    names: list[str],
    workers: int,
    worker: Mapping[str, float],
    scratch: str,
) -> Iterator[None]:
    """Keep a living group of Train workers for each slot.

    The first one starts alone: on few cores it begins to train the sooner for it. A thread of this
    process waits for each, beside Tune's own start.
    """
    from semisweep.worker import start_group

    def keep(name: str) -> None:
        error = ""
        try:
            if name != names[0]:
                ray.get(broker.wait_joined.remote(names[0]))
            start_group(broker, name, workers, worker, scratch)
        except Exception as caught:  # whatever ended the group must end the trial that waits for it
            error = f"the worker group of {name} has ended: {caught}"
        if ray.is_initialized():
            broker.close.remote(name, error)

    threads = [threading.Thread(target=keep, args=(name,), daemon=True) for name in names]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for name in names:
            broker.close.remote(name)
        for thread in threads:
            thread.join(timeout=GROUP_END_SECONDS)


@contextmanager
def cluster(resources: Resources) -> Iterator[tuple[Any, int, dict[str, float]]]:
    """Connect to a cluster or start one here; yield ray, the slots that fit and a worker's needs."""
    if resources.address:
        check_address(resources.address)
    else:
        os.environ[LOOPBACK_SWITCH] = "0"
    import ray

    ray_logger = logging.getLogger("ray")
    level = ray_logger.level
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if resources.address:
        options["address"] = resources.address
    else:
        options |= {"include_dashboard": False}
        if resources.slots:
            options["num_cpus"] = max(os.cpu_count() or 1, resources.slots * resources.workers)
    try:
        ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ClusterError(
            f"a Ray cluster must answer, got address={resources.address or 'local'}: {error}"
        ) from None
    try:
        yield ray, *fit_slots(ray.cluster_resources(), resources)
    finally:
        ray.shutdown()
        ray_logger.setLevel(level)


def fit_slots(have: Mapping[str, float], resources: Resources) -> tuple[int, dict[str, float]]:
    """Return how many slots run at a time and what each worker asks for; refuse what cannot fit."""
    kind = "GPU" if have.get("GPU", 0) >= 1 else "CPU"
    room = int(have.get(kind, 0)) // resources.workers
    wanted = resources.slots or room
    if room < 1 or wanted > room:
        raise ClusterError(
            f"slots x workers must fit the cluster's {have.get(kind, 0):g} {kind}s, "
            f"got slots={wanted or 1}, workers={resources.workers}; "
            f"at most {room} slots of {resources.workers} workers fit"
        )
    worker = {"CPU": WORKER_CPU}
    if kind == "GPU":
        worker["GPU"] = 1
    return wanted, worker


def check_address(address: str) -> None:
    """Raise `ClusterError` within seconds if nothing listens at a Ray address."""
    if address in ("auto", "local"):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise ClusterError(f"a Ray address must be host:port or auto, got address={address!r}")
    try:
        socket.create_connection((host, int(port)), timeout=ADDRESS_SECONDS).close()
    except OSError as error:
        raise ClusterError(
            f"a Ray cluster must answer, got address={address!r}: {error}; is `ray start --head` up?"
        ) from None


def _tune(source: Source, slots: list[str], broker: Any, scratch: str) -> None:
    from ray import tune

    tuner = tune.Tuner(
        tune.with_resources(
            _slot_class(broker, slots), tune.PlacementGroupFactory([{"CPU": SLOT_CPU}])
        ),
        tune_config=tune.TuneConfig(
            search_alg=_feed(source),
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

    class Slot(tune.Trainable):  # type: ignore[misc]
        def setup(self, config: dict[str, Any]) -> None:
            import ray

            self.ray = ray
            self.slot = ray.get(broker.claim.remote(slots))
            self.reset_config(config)

        def reset_config(self, config: dict[str, Any]) -> bool:
            self.ray.get(broker.put.remote(self.slot, config["job"]))
            return True

        def step(self) -> dict[str, Any]:
            event = self.ray.get(broker.event.remote(self.slot))
            return {**event, "done": "status" in event}

        def save_checkpoint(self, folder: str) -> None:
            """Keep nothing: the store has the checkpoints."""

        def load_checkpoint(self, checkpoint: Any) -> None:
            """Restore nothing: the store has the checkpoints."""

        def cleanup(self) -> None:
            self.ray.get(broker.release.remote(self.slot))

    return Slot


def _feed(source: Source) -> Any:
    """Return the Tune searcher that hands out the source's jobs and takes back outcomes."""
    from ray.tune.search import Searcher

    class Feed(Searcher):  # type: ignore[misc]
        def __init__(self, source: Source) -> None:
            super().__init__(metric="training_iteration", mode="max")
            self.source = source
            self.jobs: dict[str, str] = {}

        def __getstate__(self) -> dict[str, Any]:
            return {}  # Tune pickles its searcher to restore it, which nothing here ever does

        def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
            job = self.source.next()
            if job is None:
                return Searcher.FINISHED  # type: ignore[no-any-return]
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

    return Feed(source)


@contextmanager
def _watching(ray: Any, broker: Any, watch: Watch) -> Iterator[None]:
    ended = threading.Event()

    def poll() -> None:
        while not ended.wait(1.0):
            try:
                watch(ray.get(broker.snapshot.remote(), timeout=CONNECT_SECONDS))
            except ray.exceptions.RayError:
                time.sleep(1.0)

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=5)
