"""The connection to Ray: a cluster that is there already, or one of this machine alone.

Everything that makes a sweep's first trial wait is begun as early as possible: Ray's own processes
start while this one still imports what it needs, and the first slot's before its job is known.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from semisweep.cluster import address as addresses
from semisweep.cluster import head_watch, own_ray, ray_internals
from semisweep.cluster.head_watch import HeadWatch
from semisweep.cluster.nodes import Node, living_nodes
from semisweep.cluster.shipped_code import copy_code
from semisweep.cluster.signals import Signals, unheard
from semisweep.cluster.worker_groups import WorkerGroups
from semisweep.core import own_code
from semisweep.core.errors import ClusterError, ConfigError, SemisweepError, SweepError
from semisweep.core.faults import Fault
from semisweep.store.store import Store
from semisweep.store.trial_log import keep_fault
from semisweep.study.request import AUTO, Resources

QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_DEDUP_LOGS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_SYNCER": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "3600",
}
# Despite its name it rules on every system whether a cluster may reach beyond 127.0.0.1.
LOOPBACK_SWITCH = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
SLOT_CPU = 0.001  # what a slot's Tune actor takes; its workers leave room for it
WORKER_CPU = 0.99  # leaves room for the slots' Tune actors
MOST_DATA_WORKERS = 16  # of a worker, unless it is told otherwise
STOP_SECONDS = 15.0  # for running trials to write their checkpoints; all ends within 20


class Connection:
    """Ray, connected when first needed; what a sweep runs on.

    `pack` is asked, once connected, which share of a GPU a worker is to have where the request
    leaves that to us.
    """

    def __init__(self, resources: Resources) -> None:
        self.resources = resources
        self.ray: Any = None
        self.dispatcher: Any = None
        self.groups: Any = None  # `WorkerGroups`, while connected
        self.pack: Callable[[Any], float | None] = lambda ray: None
        self.slots = 0
        self.climbs = False  # whether trials are added to a GPU one by one
        self.worker: dict[str, float] = {}  # what each of their workers asks for
        self._signals = Signals()
        self._hurried = False
        self._head_watch: HeadWatch | None = None
        self._address: str | None = None  # host:port of a cluster that was there before
        self._mode_before: str | None = None
        self._printing: Any = None  # Ray's own way to print
        self._sockets = ExitStack()  # ends with a short name of Ray's folder

    def __enter__(self) -> Connection:
        self._signals.__enter__()
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, SemisweepError):
            self.confirm()
        if self.ray is not None:
            self._signals.ignore()  # what is left takes seconds, and must not be left half done
            self._leave()
        self._signals.__exit__()

    def disconnect(self) -> None:
        """Let the workers go and leave the cluster, if connected; `connect` may follow."""
        if self.ray is not None:
            with self._signals.held():
                self._leave()

    def _leave(self) -> None:
        if self._head_watch is not None:
            self._head_watch.stop()
            ray_internals.replace_printing(self._printing)
        if self.groups is not None:
            self._show(self.groups.close(*([0.0] if self._hurried else [])))
        started = own_ray.processes()
        with ray_internals.killing_at_once():  # they would hear nothing else
            self.ray.shutdown()
        own_ray.kill(started)
        self._sockets.close()
        self.ray = self.groups = self._head_watch = self._address = None
        _set_mode(self._mode_before)  # of another cluster it may be another one

    def _show(self, faults: Sequence[Fault]) -> None:
        """Show and keep what ended workers too early after the sweep was over."""
        for fault in faults:
            print(fault.shown(), file=sys.stderr)
            if self.groups.place is not None:
                keep_fault(Store.open(self.groups.place), fault)

    def connect(self) -> None:
        """Connect or start Ray, and the first slot's workers before it is known what they will do.

        Raises `ClusterError` where the cluster does not answer or does not fit the request.
        """
        if self.ray is not None:
            return
        address = self.resources.address
        os.environ.update(environment(address))
        self._mode_before = os.environ.get(addresses.AUTH_MODE)
        if address and address != "local":
            self._address = _joined(address)
        self._signals.take()
        import ray

        try:
            with (
                ThreadPoolExecutor(1) as beside,
                self._signals.held(),
                shipping(self._address) as shipped,
            ):
                imported = beside.submit(_import_heavy)
                # In this thread: Ray's processes end with the thread that started them.
                self.ray = ray  # from here on there is something to shut down
                with unheard():
                    ray.init(**self._options(), **shipped)
                imported.result()
        except ConfigError:
            raise
        except Exception as error:  # Ray raises that very class where it does not come up in time
            raise self._refused(error) from None
        self._head_watch = self._watch()
        self._head_watch.start()
        self._printing = ray_internals.replace_printing(self._print)
        self._begin()

    def _refused(self, error: Exception) -> SemisweepError:
        """Return why Ray is not connected, in one line."""
        said = " ".join(str(error).split()) or type(error).__name__
        if self._address is None:
            mend = "when the machine is less busy"
            if isinstance(error, OSError):
                mend = f"with RAY_TMPDIR at a folder with room, not {own_ray.folder()}"
            return SweepError(
                f"Ray must start on this machine, got {said}; nothing finished is lost, run the "
                f"same command again, {mend}"
            )
        rule = "have the driver's versions" if "Version mismatch" in said else "answer"
        return ClusterError(f"a Ray cluster must {rule}, got address={self._address}: {said}")

    def confirm(self) -> None:
        """Return where Ray lives, or is not connected; otherwise say so and end this process."""
        if self._head_watch is not None:
            self._head_watch.confirm()

    def _watch(self) -> HeadWatch:
        """Return what watches the processes of Ray that a sweep cannot do without."""
        context = self.ray.get_runtime_context()
        head, node = context.gcs_address, context.get_node_id()

        def here() -> Node | None:
            return next((own for own in living_nodes(self.ray) if own.name == node), None)

        this = here()
        raylet = this.raylet if this else head
        theirs = [head_watch.head(head), head_watch.raylet(raylet)]
        ours = [head_watch.own("gcs_server", head), head_watch.own("raylet", raylet)]
        return HeadWatch(
            theirs if self._address else ours,
            end=head_watch.end_quietly
            if self._address
            else partial(own_ray.end_all, own_ray.below()),
            is_here=lambda: here() is not None,
            is_interrupted=self._signals.has_come,
        )

    def _print(self, said: Mapping[str, Any], ignore_prefix: bool = False) -> None:
        """Print the first line of what Ray's processes report, where the table is not printed."""
        self.confirm()
        first = "".join(said["lines"]).strip().partition("\n")[0]
        print(f"Ray: {first}", file=sys.stderr)

    def _begin(self) -> None:
        from semisweep.cluster.dispatcher import Dispatcher

        nodes = [node.resources for node in living_nodes(self.ray)]
        if self.resources.gpus == AUTO:
            # Of several GPUs, Ray fills one before the next: there is no adding one to each.
            self.climbs = sum(node.get("GPU", 0) for node in nodes) == 1
            self.resources = replace(self.resources, gpus=self.pack(self.ray))
        self.slots, self.worker = fit_slots(nodes, self.resources)
        if self.resources.data_workers is None:
            spare = spare_cores(nodes, self.worker, self.slots * self.resources.workers)
            self.resources = replace(self.resources, data_workers=spare)
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        # With the driver, as the slots' controllers are: other machines may be lost.
        here = self.ray.get_runtime_context().get_node_id()
        strategy = NodeAffinitySchedulingStrategy(here, soft=False)
        make = self.ray.remote(Dispatcher).options(
            num_cpus=0, max_concurrency=1000, scheduling_strategy=strategy
        )
        self.dispatcher = make.remote()
        self.groups = WorkerGroups(self.ray, self.dispatcher, self.resources, self.worker)
        self.groups.start(self.groups.reserve(1)[0])

    def stop(self) -> None:
        """Wait until running trials have written checkpoints, for a while; a signal ends that."""
        self._hurried = True
        with suppress(self.ray.exceptions.RayError):  # such as a timeout: then without
            self.ray.get(self.dispatcher.stop.remote(), timeout=STOP_SECONDS)
            self._hurried = False

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if self._address:
            return options | {"address": self._address}
        cores = os.cpu_count() or 1
        wanted = (self.resources.slots or 1) * self.resources.workers
        local = {"address": "local", "include_dashboard": False}  # not one that runs here already
        local |= self._sockets.enter_context(own_ray.short_folder())
        return options | local | {"num_cpus": max(cores, wanted)}


@contextmanager
def shipping(address: str | None) -> Iterator[dict[str, Any]]:
    """Give the options with which Ray brings the user's own code to the machines of a cluster.

    A job that was submitted with a folder of its own gets this one instead.
    """
    folders = own_code.folders()
    if not address or not folders:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="semisweep-code-") as copy:
        copy_code(folders, Path(copy))
        os.environ["RAY_OVERRIDE_JOB_RUNTIME_ENV"] = "1"
        yield {"runtime_env": {"working_dir": copy}}


def environment(address: str | None) -> dict[str, str]:
    """Return the variables that quiet Ray and keep a cluster of our own on loopback."""
    from semisweep.cluster.worker import GROUP_ENVIRONMENT

    wanted = QUIET | GROUP_ENVIRONMENT
    if not address or address == "local":
        wanted |= {LOOPBACK_SWITCH: "0"}
    return {name: os.environ.get(name, value) for name, value in wanted.items()}


def _joined(address: str) -> str:
    """Return host:port of the cluster at an address, whose way to ask for a token is ours now."""
    found = addresses.find(address)
    _set_mode(addresses.fitting_mode(found))
    if addresses.is_loopback(found):  # of which Ray would make this machine's address otherwise
        os.environ[LOOPBACK_SWITCH] = "0"
        ray_internals.reach_loopback_only()
    return found


def _set_mode(mode: str | None) -> None:
    """Let Ray ask for tokens and show them, or not, from now on."""
    if mode is None:
        os.environ.pop(addresses.AUTH_MODE, None)
    else:
        os.environ[addresses.AUTH_MODE] = mode
    ray_internals.read_settings_again()


def _import_heavy() -> None:
    from ray import tune  # noqa: F401

    import semisweep.cluster.slot_trainer  # noqa: F401

    ray_internals.check()


def fit_slots(
    nodes: Sequence[Mapping[str, float]], resources: Resources
) -> tuple[int, dict[str, float]]:
    """Return how many slots run at a time and what each worker asks for; refuse what cannot fit.

    A worker is on one node; the workers of a slot may be on several. On a cluster that was there
    before, so many slots may be asked for that further machines are needed: they may come.
    """
    worker = worker_resources(nodes, resources)
    room = places(nodes, worker) // resources.workers
    wanted = resources.slots or room
    if resources.address and resources.slots:
        return wanted, worker
    if room < 1 or wanted > room:
        asked = ", ".join(f"{_asked(share):g} {kind}" for kind, share in worker.items())
        have = " + ".join(_described(node, worker) for node in nodes) or "no node"
        raise ClusterError(
            f"slots x workers x ({asked}) must fit the cluster's nodes, {have}, "
            f"got slots={wanted or 1}, workers={resources.workers}; "
            f"at most {room} slots of {resources.workers} workers fit"
        )
    return wanted, worker


def worker_resources(
    nodes: Sequence[Mapping[str, float]], resources: Resources
) -> dict[str, float]:
    """Return what each worker asks for: a CPU, and of GPUs what is wanted or one where some are."""
    gpus = resources.gpus
    if gpus is None or isinstance(gpus, str):
        gpus = 1.0 if any(node.get("GPU", 0) >= 1 for node in nodes) else 0.0
    if gpus < 0 or (gpus > 1 and gpus != int(gpus)):
        raise ClusterError(
            f"GPUs a worker must be a fraction of one, or a whole number, got gpus={gpus:g}"
        )
    if resources.workers > 1 and 0 < gpus < 1:
        raise ClusterError(
            "several workers of a trial must have a GPU each, "
            f"got workers={resources.workers}, gpus={gpus:g}; take --gpus 1, or --workers 1"
        )
    return {"CPU": WORKER_CPU} | ({"GPU": gpus} if gpus else {})


def places(nodes: Sequence[Mapping[str, float]], worker: Mapping[str, float]) -> int:
    """Return how many workers the nodes have room for."""
    return sum(_places(node, worker) for node in nodes)


def _places(node: Mapping[str, float], worker: Mapping[str, float]) -> int:
    """Return how many workers a node has room for."""
    return min(int(node.get(kind, 0) / _asked(share) + 1e-9) for kind, share in worker.items())


def _asked(share: float) -> float:
    return 1.0 if share == WORKER_CPU else share  # the rest of a CPU is for the slots' Tune actors


def spare_cores(
    nodes: Sequence[Mapping[str, float]], worker: Mapping[str, float], workers: int
) -> int:
    """Return how many cores each of so many workers has for making its batches: none on CPUs.

    One core of each worker launches the GPU's work. The nodes that have least for each decide.
    """
    if "GPU" not in worker:
        return 0
    shares = [
        int(node.get("CPU", 0)) // min(workers, _places(node, worker)) - 1
        for node in nodes
        if _places(node, worker)
    ]
    return max(1, min(MOST_DATA_WORKERS, *shares)) if shares else 0


def _described(node: Mapping[str, float], worker: Mapping[str, float]) -> str:
    return " and ".join(f"{node.get(kind, 0):g} {kind}s" for kind in worker)
