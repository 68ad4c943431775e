"""Ray Train's trainer without the helper actors that a slot has no use for.

Each actor is a process that imports for seconds, and a controller waits for some of them before it
starts its workers. What is left out: the cleaner of placement groups (a slot's controller ends with
its driver, whereupon Ray takes the group back), the manager of Ray data sets (a slot has none), and
the autoscaling coordinator: a placement group that waits for room is what makes a cluster grow.

Together with `worker` the only place that imports `ray.train`; imported by nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ray
from ray.train.v2._internal.constants import get_env_vars_to_propagate
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2._internal.execution.scaling_policy.fixed import FixedScalingPolicy
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

UNUSED_CALLBACKS = ("PlacementGroupCleanerCallback", "DatasetsCallback")


class WithoutCoordinator(FixedScalingPolicy):
    """A fixed number of workers, asked for by their placement group alone."""

    def after_controller_start(self, train_run_context: Any) -> None:
        """Ask no coordinator for resources."""

    def _maybe_send_resource_request(self) -> None:
        pass


class SlotTrainer(DataParallelTrainer):
    """A trainer whose group of workers starts with as few other processes as can be.

    `started` is called with the actor that controls the group, so that it can be ended.
    """

    started: Callable[[Any], None]

    def _create_default_callbacks(self) -> list[Any]:
        found = super()._create_default_callbacks()
        return [item for item in found if type(item).__name__ not in UNUSED_CALLBACKS]

    def _initialize_and_run_controller(self, **arguments: Any) -> Any:
        scaling: Any = self.scaling_config  # Ray annotates it with its predecessor's class
        arguments["scaling_policy"] = WithoutCoordinator(scaling)
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
