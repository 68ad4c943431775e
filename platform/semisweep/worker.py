"""What runs on Ray Train's workers: a group that stays alive and takes one trial after another.

The only file that imports `ray.train`. Starting a group costs seconds, a trial on a living one
hundredths: so the loop keeps its group until the broker lets it go.
"""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from semisweep.job import Job
    from semisweep.request import Resources

GROUP_ENVIRONMENT = {
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}


class GroupRenewed(RuntimeError):
    """Ends a group's processes after an error of ours, so that Ray Train starts fresh ones."""


def start_group(
    broker: Any,
    slot: str,
    resources: Resources,
    worker: Mapping[str, float],
    storage: str,
    started: Callable[[Any], None],
) -> None:
    """Run a group of Ray Train workers until the broker closes the slot; blocks.

    `worker` is what each of them asks of the cluster. `started` is given the actor that controls
    the group: without it the group is gone.

    Ray Train starts the whole group anew when one of its workers dies, without limit: how often a
    trial may cost a group is counted by the broker, trial by trial.
    """
    from ray.train import FailureConfig, RunConfig, ScalingConfig

    from semisweep.slot_trainer import SlotTrainer

    trainer = SlotTrainer(
        work,
        train_loop_config={"broker": broker, "slot": slot, "fresh": resources.fresh_workers},
        scaling_config=ScalingConfig(
            num_workers=resources.workers,
            resources_per_worker=dict(worker),
            use_gpu="GPU" in worker,
        ),
        run_config=RunConfig(
            name=f"{slot}-{uuid.uuid4().hex[:8]}",  # Ray Train would go on with one of this name
            storage_path=storage,
            failure_config=FailureConfig(max_failures=-1),
        ),
    )
    trainer.started = started
    trainer.fit()


def work(config: dict[str, Any]) -> None:
    """Take jobs from the broker and execute them, on one worker of a group."""
    import ray
    import ray.train

    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    broker, slot = config["broker"], config["slot"]
    node = ray.get_runtime_context().get_node_id()
    ray.get(broker.spawn.remote(slot, rank, node, os.getpid()))
    import timm  # noqa: F401  the imports that take longest, before anybody counts on this slot

    from semisweep.execute import execute
    from semisweep.job import Job
    from semisweep.process_state import ProcessState

    if rank == 0:
        ray.get(broker.join.remote(slot))
    _join_process_group(rank, world)
    notice = Notice(broker, slot)
    state = ProcessState.capture()
    while (message := ray.get(broker.take.remote(slot, rank))) is not None:
        job = _prepare(Job(**message))

        def report(said: Mapping[str, Any], key: str = job.key) -> None:
            if rank == 0:
                broker.tell.remote(slot, {"key": key, **said})

        outcome = execute(job, report, interrupted=notice.is_set)
        if rank == 0 or outcome.unexpected:
            said = {"key": job.key, "status": outcome.status, "error": outcome.error}
            ray.get(broker.tell.remote(slot, said))
        if outcome.unexpected or config["fresh"] or notice.leaves:
            raise GroupRenewed(f"trial {job.key} {outcome.status}; its processes are not reused")
        state.restore()


class Notice:
    """Whether a slot is to stop what it does, and whether that is to go on elsewhere."""

    def __init__(self, broker: Any, slot: str) -> None:
        self.leaves = False
        self._set = threading.Event()
        threading.Thread(target=self._wait, args=(broker, slot), daemon=True).start()

    def is_set(self) -> bool:
        """Return whether the broker has said so."""
        return self._set.is_set()

    def _wait(self, broker: Any, slot: str) -> None:
        import ray

        with suppress(ray.exceptions.RayError):  # a broker that is gone needs no answer
            self.leaves = ray.get(broker.wait_stopping.remote(slot))
            self._set.set()


def _prepare(job: Job) -> Job:
    """Return a job with the device that this worker has for it."""
    import ray
    import torch

    torch.set_num_threads(job.threads)
    if not torch.cuda.is_available() or not ray.get_gpu_ids():
        return job
    from ray.train.torch import get_device

    device = get_device()
    torch.cuda.reset_peak_memory_stats(device)
    return replace(job, device=str(device))


def _join_process_group(rank: int, world: int) -> None:
    """Join the torch process group of a slot with several workers."""
    if world == 1:
        return
    import socket

    import ray.util
    import torch.distributed
    from ray.train.collective import broadcast_from_rank_zero

    address = None
    if rank == 0:
        with socket.socket() as probe:
            probe.bind(("", 0))
            host = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
            address = f"tcp://{host}:{probe.getsockname()[1]}"
    address = broadcast_from_rank_zero(address)
    torch.distributed.init_process_group(
        "nccl" if torch.cuda.is_available() else "gloo",
        init_method=address,
        rank=rank,
        world_size=world,
    )
