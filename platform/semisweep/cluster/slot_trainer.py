"""Ray Train's trainer without the helper actors that a slot has no use for.

Each actor is a process that imports for seconds, and a controller waits for some of them before it
starts its workers. What is left out: the cleaner of placement groups (a slot's controller ends with
its driver, whereupon Ray takes the group back), the manager of Ray data sets (a slot has none), and
the autoscaling coordinator: a placement group that waits for room is what makes a cluster grow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from semisweep.cluster.job import GroupRenewed
from semisweep.cluster.nodes import living_nodes
from semisweep.cluster.ray_internals import (
    ControllerError,
    DataParallelTrainer,
    FailureDecision,
    FailurePolicy,
    FixedScalingPolicy,
    TrainController,
    WorkerGroupCallback,
    WorkerGroupError,
    WorkerGroupStartupTimeoutError,
    get_env_vars_to_propagate,
)

UNUSED_CALLBACKS = ("PlacementGroupCleanerCallback", "DatasetsCallback")
ANSWER_SECONDS = 60.0  # that the dispatcher may take to say what comes of a fault
ALIVE_SECONDS = 2.0  # that a worker may take to say that it lives
NODE_DIED = "its node has died"  # in what Ray says of an actor that was lost with its machine


class WithoutCoordinator(FixedScalingPolicy):
    """A fixed number of workers, asked for by their placement group alone."""

    def after_controller_start(self, train_run_context: Any) -> None:
        """Ask no coordinator for resources."""

    def _maybe_send_resource_request(self) -> None:
        pass


_actors: dict[int, Any] = {}  # of the workers of the group that this process controls, by rank


def deaths() -> dict[int, str]:
    """Return what Ray says of the workers whose processes are gone, by rank."""
    asked = {actor.__ray_ready__.remote(): rank for rank, actor in _actors.items()}
    answers, _ = ray.wait(list(asked), num_returns=len(asked) or 1, timeout=ALIVE_SECONDS)
    found = {}
    for answer in answers:
        try:
            ray.get(answer)
        except RayActorError as error:
            found[asked[answer]] = str(error)
    return found


class AskingPolicy(FailurePolicy):
    """Lets the dispatcher say whether a group that has ended is started again."""

    def __init__(self, failure_config: Any, dispatcher: Any, slot: str) -> None:
        super().__init__(failure_config)
        self.dispatcher, self.slot = dispatcher, slot

    def make_decision(self, training_failed_error: Any) -> FailureDecision:
        """Return RETRY where the dispatcher says so; RAISE where it cannot be asked.

        Of a group whose worker is killed, the others may raise errors of their connection first:
        so each is asked whether it lives.
        """
        gone = deaths() if _actors else {}
        kind, text = described(training_failed_error, gone.values())
        machines = [node.name for node in living_nodes(ray)]
        asked = self.dispatcher.ended.remote(self.slot, kind, text, machines, list(gone))
        try:
            again = ray.get(asked, timeout=ANSWER_SECONDS)
        except RayError:
            again = False
        return FailureDecision.RETRY if again else FailureDecision.RAISE


def described(error: Exception, deaths: Iterable[str] = ()) -> tuple[str, str]:
    """Return which end of a group Ray tells of, as in `Dispatcher.ended`, and what it says.

    `deaths` is what Ray says of workers whose processes are gone.
    """
    if isinstance(error, ControllerError):
        cause = error.controller_failure
        kind = "room" if isinstance(cause, WorkerGroupStartupTimeoutError) else "fault"
        return kind, str(cause)
    if not isinstance(error, WorkerGroupError):
        return "fault", str(error)
    failures = list(error.worker_failures.values())
    if any(isinstance(failure, GroupRenewed) for failure in failures):
        return "renewed", ""
    causes = [getattr(failure, "health_check_failure", failure) for failure in failures]
    dead = [str(cause) for cause in causes if isinstance(cause, RayActorError)]
    dead += deaths
    if any(NODE_DIED in text for text in dead):
        return "machine", "its machine is gone"
    if dead:
        return "fault", death(dead[0])
    return "fault", "\n".join(f"{type(cause).__name__}: {cause}" for cause in causes)


def death(text: str) -> str:
    """Return in a few words what Ray says at length of a process that is gone."""
    if "low on memory" in text:
        return "Ray has killed its process: the machine was running low on memory"
    return "its process is gone: killed (by the kernel, for memory?), or crashed in foreign code"


class TellingCallback(WorkerGroupCallback):
    """Tells the dispatcher which processes a group has, before they run anything of ours."""

    def __init__(self, dispatcher: Any, slot: str) -> None:
        self.dispatcher, self.slot = dispatcher, slot

    def after_worker_group_start(self, worker_group: Any) -> None:
        """Tell node and process id of each worker."""
        workers = {
            worker.distributed_context.world_rank: worker for worker in worker_group.get_workers()
        }
        _actors.clear()
        _actors.update((rank, worker.actor) for rank, worker in workers.items())
        processes = {
            rank: (worker.metadata.node_id, worker.metadata.pid) for rank, worker in workers.items()
        }
        ray.get(self.dispatcher.spawned.remote(self.slot, processes))


class SlotTrainer(DataParallelTrainer):
    """A trainer whose group of workers starts with as few other processes as can be.

    `started` is called with the actor that controls the group, so that it can be ended. What comes
    of a fault is for `dispatcher` to say.
    """

    started: Callable[[Any], None]
    dispatcher: Any
    slot: str

    def _create_default_callbacks(self) -> list[Any]:
        found = super()._create_default_callbacks()
        kept = [item for item in found if type(item).__name__ not in UNUSED_CALLBACKS]
        return [*kept, TellingCallback(self.dispatcher, self.slot)]

    def _initialize_and_run_controller(self, **arguments: Any) -> Any:
        scaling: Any = self.scaling_config  # Ray annotates it with its predecessor's class
        arguments["scaling_policy"] = WithoutCoordinator(scaling)
        arguments["failure_policy"] = AskingPolicy(
            self.run_config.failure_config, self.dispatcher, self.slot
        )
        here = ray.get_runtime_context().get_node_id()
        options: dict[str, Any] = {
            "num_cpus": 0,
            "scheduling_strategy": NodeAffinitySchedulingStrategy(here, soft=False),
            "runtime_env": {"env_vars": get_env_vars_to_propagate()},
        }
        controller: Any = ray.remote(**options)(TrainController).remote(**arguments)
        self.started(controller)
        ray.get(controller.run.remote())
        return ray.get(controller.get_result.remote())
