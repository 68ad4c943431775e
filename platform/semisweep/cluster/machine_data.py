"""Data sets on many machines: where each has its copy, and that all copies are the same.

Where `SEMISWEEP_NODE_DATA` is set for `ray start`, the data sets of that machine lie below it, each
in a folder of its name; elsewhere they lie where they do on the driver's machine. A machine whose
images are not the driver's is refused by its name: the sweep, if the machine is there from the
start, and what would train on it, if it joins later.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from types import ModuleType

from semisweep.cluster.job import Job
from semisweep.cluster.nodes import living_nodes
from semisweep.core.config import digest
from semisweep.core.errors import DataError
from semisweep.data.base import DataSet
from semisweep.data.fingerprint import fingerprint
from semisweep.data.splits import Split
from semisweep.store.trial_name import TrialName
from semisweep.study.request import Request
from semisweep.training.trial import Trial, sees_unlabelled, trial_key

NODE_DATA = "SEMISWEEP_NODE_DATA"


def machine_root(name: str, root: str) -> Path:
    """Return where a data set lies on this machine, which is `root` on the driver's."""
    own = os.environ.get(NODE_DATA)
    return Path(own).absolute() / name if own else Path(root)


def check_same(trial: Trial, dataset: DataSet, split: Split, job: Job) -> None:
    """Raise `DataError` naming this machine unless its images are those the job was planned with.

    Files that were read before are looked at for changes alone.
    """
    key = trial_key(trial, split)
    wrong = key != TrialName.parse(job.key).key
    got = f"lists with digest {split.labelled_digest}"
    if not wrong and job.seen:
        found = fingerprint(dataset, split, uses_unlabelled=sees_unlabelled(trial))
        wrong = (found.seen, found.test) != (job.seen, job.test)
        got = f"content={found.seen}{found.test and '/'}{found.test}"
    if wrong:
        raise DataError(
            f"the images of {dataset.name!r} at {dataset.root} must be those the sweep was "
            f"planned with, got {got}, machine={machine_name()}; copy the same data set there, or "
            "run the same command again where it has changed meanwhile"
        )


def check_machines(ray: ModuleType, name: str, request: Request) -> None:
    """Raise `DataError` naming the machines of a cluster whose images are not the driver's."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    root = str(request.roots.of(name))
    wanted = _digest(name, root)
    remote = ray.remote(_problem)
    asked = []
    for node in living_nodes(ray):
        if node.trains:
            there = NodeAffinitySchedulingStrategy(node.name, soft=True)
            options = {"num_cpus": 0, "scheduling_strategy": there}
            asked.append(remote.options(**options).remote(name, root, wanted))
    problems = [problem for problem in ray.get(asked) if problem]
    if problems:
        raise DataError("; ".join(dict.fromkeys(problems)))


def machine_name() -> str:
    """Return this machine's name, and its address where it is part of a Ray cluster."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return socket.gethostname()
    return f"{socket.gethostname()} ({ray.util.get_node_ip_address()})"


def _problem(name: str, root: str, wanted: str) -> str:
    here = machine_root(name, root)
    try:
        found = _digest(name, str(here))
    except DataError as error:
        text = str(error)
        return text if "machine=" in text else f"{text}, machine={machine_name()}"
    if found == wanted:
        return ""
    return (
        f"a machine must have the driver's images of {name!r}, got digest={found} instead of "
        f"{wanted}, machine={machine_name()}, root={here}; copy the same data set there"
    )


def _digest(name: str, root: str) -> str:
    from semisweep.data.check import content_digest
    from semisweep.data.registry import open_dataset

    dataset = open_dataset(name, Path(root))
    made_by = dataset.generator()  # the bytes of its files differ between libraries
    return digest(made_by) if made_by else content_digest(dataset)
