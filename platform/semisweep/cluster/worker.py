"""What runs on Ray Train's workers: a group that stays alive and takes one trial after another.

Starting a group costs seconds, a trial on a living one hundredths of one: so the loop keeps its
group until the dispatcher lets it go.
"""

from __future__ import annotations

import os
import socket
import threading
import traceback
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semisweep.cluster.job import GroupRenewed
from semisweep.core import background, own_code
from semisweep.core.errors import ClusterError
from semisweep.core.fault_injection import point

if TYPE_CHECKING:
    from semisweep.cluster.job import Job
    from semisweep.store.trial_records import TrialProgress
    from semisweep.study.request import Resources

DEVICE = "SEMISWEEP_DEVICE"  # "cpu" trains there, whatever the cluster gives a worker
TELL_SECONDS = 20.0
COLLECTIVE_SECONDS = 1800.0  # that one worker waits for another; the supervisor looks before
GROUP_ENVIRONMENT = {
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}


def start_group(
    dispatcher: Any,
    slot: str,
    resources: Resources,
    worker: Mapping[str, float],
    storage: str,
    started: Callable[[Any], None],
) -> None:
    """Run a group of Ray Train workers until the dispatcher closes the slot; blocks.

    `worker` is what each of them asks of the cluster. `started` is given the actor that controls
    the group: without it the group is gone.

    When one of its workers dies the whole group ends. Whether Ray Train starts it anew is for the
    dispatcher to say, see `semisweep.core.faults`.
    """
    from ray.train import FailureConfig, RunConfig, ScalingConfig

    from semisweep.cluster.slot_trainer import SlotTrainer

    trainer = SlotTrainer(
        work,
        train_loop_config={
            "dispatcher": dispatcher,
            "slot": slot,
            "fresh": resources.fresh_workers,
            "data_workers": resources.data_workers or 0,
            "compiled": resources.compiled,
        },
        scaling_config=ScalingConfig(
            num_workers=resources.workers,
            resources_per_worker=dict(worker),
            use_gpu="GPU" in worker,
        ),
        run_config=RunConfig(
            name=f"{slot}-{uuid.uuid4().hex[:8]}",  # Ray Train would go on with one of this name
            storage_path=storage,
            failure_config=FailureConfig(max_failures=0),  # the dispatcher decides instead of this
        ),
    )
    trainer.started, trainer.dispatcher, trainer.slot = started, dispatcher, slot
    trainer.fit()


def work(config: dict[str, Any]) -> None:
    """Take jobs from the dispatcher and execute them, on one worker of a group.

    What ends it is told to the dispatcher with its traceback: Ray Train passes on less.
    """
    import ray
    import ray.train

    rank = ray.train.get_context().get_world_rank()
    try:
        _work(config, rank, ray.train.get_context().get_world_size())
    except GroupRenewed:
        raise
    except BaseException as error:
        with suppress(ray.exceptions.RayError):  # without: what Ray Train passes on must do
            tell = config["dispatcher"].raised
            ray.get(tell.remote(config["slot"], rank, traceback_text(error)), timeout=TELL_SECONDS)
        raise


def traceback_text(error: BaseException) -> str:
    """Return an error's traceback, and below it what to change where that is known."""
    from semisweep.core.device import advice_on

    advice = advice_on(error)
    text = "".join(traceback.format_exception(error)).rstrip()
    return f"{text}\n{advice}" if advice else text


def _work(config: dict[str, Any], rank: int, world: int) -> None:
    import ray

    dispatcher, slot = config["dispatcher"], config["slot"]
    point("spawn", rank)
    point("import", rank)
    import timm  # noqa: F401  the imports that take longest, before anybody counts on this slot

    from semisweep.cluster.trial_execution import execute
    from semisweep.training.process_state import ProcessState

    point("device", rank)
    device = own_device()
    point("group", rank)
    _join_process_group(rank, world, device)
    point("join", rank)
    if rank == 0:
        ray.get(dispatcher.join.remote(slot))
    notice = Notice(dispatcher, slot)
    state = ProcessState.capture()
    while True:
        point("take", rank)
        job = ray.get(dispatcher.take.remote(slot, rank))
        if job is None:
            break
        point("decode", rank)
        job = _prepare(job, device, config["data_workers"], config["compiled"])
        point("prepare", rank)

        def report(told: TrialProgress, key: str = job.key) -> None:
            if rank == 0:
                dispatcher.tell.remote(slot, key, told)

        outcome = execute(job, report, interrupted=notice.is_set)
        point("report", rank)
        if rank == 0 or outcome.unexpected:
            ray.get(dispatcher.finish.remote(slot, outcome))
        if outcome.unexpected or config["fresh"] or notice.leaves:
            raise GroupRenewed(f"trial {job.key} {outcome.status}; its processes are not reused")
        state.restore()
    point("release", rank)
    ray.get(dispatcher.left.remote(slot, rank))


class Notice:
    """Whether a slot is to stop what it does, and whether that is to go on elsewhere."""

    def __init__(self, dispatcher: Any, slot: str) -> None:
        self.leaves = False
        self._set = threading.Event()
        background.start(lambda: self._wait(dispatcher, slot), name="notice", on_error=_end_process)

    def is_set(self) -> bool:
        """Return whether the dispatcher has said so."""
        return self._set.is_set()

    def _wait(self, dispatcher: Any, slot: str) -> None:
        import ray

        with suppress(ray.exceptions.RayError):  # a dispatcher that is gone needs no answer
            self.leaves = ray.get(dispatcher.wait_stopping.remote(slot))
            self._set.set()


def _end_process(error: BaseException) -> None:
    """End this process with the traceback of a thread's error: it counts as any fault does."""
    traceback.print_exception(error)
    os._exit(1)


def own_device() -> str:
    """Return the device that this worker has, ready to be used; raise where there is none.

    CUDA starts here, before a trial is taken: a driver that fails is no fault of a trial.
    """
    import ray

    if not ray.get_gpu_ids() or os.environ.get(DEVICE) == "cpu":
        return "cpu"
    import torch

    if not torch.cuda.is_available():
        raise ClusterError(
            f"a worker with a GPU must find CUDA, got torch={torch.__version__} with "
            f"cuda={torch.version.cuda or 'none'}, machine={socket.gethostname()}: is the driver "
            "there, and fits torch? --gpus 0 trains on CPUs"
        )
    from ray.train.torch import get_device

    from semisweep.core.device import initialise

    device = str(get_device())
    initialise(device)
    return device


def _prepare(job: Job, device: str, data_workers: int, compiled: bool | None) -> Job:
    """Return a job with the device and the input workers that this worker has for it."""
    import torch

    from semisweep.core.device import begin_measuring

    for folder in job.code:  # where it is on this machine; on others Ray has brought a copy
        if Path(folder).is_dir():
            own_code.add_folder(Path(folder))
    torch.set_num_threads(job.threads)
    begin_measuring(device)
    return replace(job, device=device, data_workers=data_workers, compiled=compiled)


def _join_process_group(rank: int, world: int, device: str) -> None:
    """Join the torch process group of a slot with several workers: NCCL on GPUs, else gloo."""
    if world == 1:
        return
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
        "gloo" if device == "cpu" else "cpu:gloo,cuda:nccl",
        init_method=address,
        rank=rank,
        world_size=world,
        timeout=timedelta(seconds=COLLECTIVE_SECONDS),
    )
