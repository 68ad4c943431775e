"""How many trials share a GPU, by what trials like them were measured to need.

Alike are trials that differ in seed, labelled images, length and an optimiser's rates alone;
anything else may decide how much memory they need.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING

from semisweep.cluster.nodes import living_nodes
from semisweep.core.config import flatten
from semisweep.core.device import is_gpu
from semisweep.store.result_file import scalar
from semisweep.store.snapshot import Snapshot
from semisweep.store.store import Store

if TYPE_CHECKING:
    from semisweep.training.trial import Trial

RESERVE = 1.25  # what the allocator holds, as a multiple of what tensors had at their peak
CONTEXT_BYTES = 2**30  # of each process: CUDA itself, and the workspaces of its libraries
MOST = 8  # on one GPU
ASK = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]  # in MiB
NO_MATTER = (
    *("training.steps", "training.epochs", "training.schedule_share", "training.stop_share"),
    *("training.evaluations", "training.evaluate_from", "training.record_every"),
)
RATES = ("learning_rate", "head_multiplier", "weight_decay", "minimum_rate")

Alike = frozenset[tuple[str, str]]


def gpu_share(trials: Iterable[Trial], store: Store, gpu_bytes: float) -> float | None:
    """Return what share of a GPU each of some trials is to have, so that all of them fit.

    None where no trial like one of them was measured on a GPU, or a GPU's memory is unknown: 0.
    Four digits, as Ray has; a third is 0.3333, of which three fit.
    """
    measured = peaks(store)
    needed = [measured.get(alike(flatten(trial.encoded())), 0.0) for trial in trials]
    if not needed or not gpu_bytes or not all(needed):
        return None
    largest = max(needed) + CONTEXT_BYTES
    together = max(1, min(MOST, int(gpu_bytes // largest)))
    return int(10_000 / together) / 10_000


def peaks(store: Store) -> dict[Alike, float]:
    """Return the most memory in bytes that trials of each likeness took of one worker's GPU.

    Of rows that tell only what their tensors had, what an allocator takes for so much is guessed.
    """
    found: dict[Alike, float] = {}
    for row in Snapshot(store, store.keys()).results.values():
        if is_gpu(row.text("run.device") or "") and row.number("run.workers") == 1:
            likeness = alike(row)
            tensors = row.peak_memory_bytes or 0.0
            peak = row.number("run.peak_reserved_bytes") or RESERVE * tensors
            found[likeness] = max(peak, found.get(likeness, 0.0))
    return found


def alike(fields: Mapping[str, object]) -> Alike:
    """Return what a trial's likes have in common, from its flat configuration or its result."""
    names = [
        name
        for name in fields
        if name in ("method", "data.name") or name.startswith(("config.", "training."))
    ]
    kept = (name for name in names if name not in NO_MATTER and not _is_rate(name))
    return frozenset((name, str(scalar(fields[name]))) for name in kept if fields[name] is not None)


def _is_rate(name: str) -> bool:
    of_optimizer = name.startswith(("training.optimizer.", "training.group_optimizers."))
    return of_optimizer and name.rpartition(".")[2] in RATES


def smallest_gpu(ray: ModuleType) -> float:
    """Return the bytes of the smallest GPU of a cluster; 0 where there is none, or none can say."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asked = []
    for node in living_nodes(ray):
        if node.resources.get("GPU", 0):
            there = NodeAffinitySchedulingStrategy(node.name, soft=False)
            remote = ray.remote(gpu_here).options(num_cpus=0, scheduling_strategy=there)
            asked.append(remote.remote())
    return min(ray.get(asked), default=0.0)


def gpu_here() -> float:
    """Return the bytes of the smallest GPU of this machine; 0 where its driver does not say."""
    try:
        said = subprocess.run(ASK, capture_output=True, text=True, check=True, timeout=60).stdout
        return min(float(line) for line in said.split()) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError):
        return 0.0
