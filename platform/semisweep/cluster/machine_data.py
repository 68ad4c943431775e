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
from functools import cache
from pathlib import Path
from types import ModuleType

from semisweep.cluster.nodes import living_nodes
from semisweep.core.errors import DataError
from semisweep.data.base import DataSet
from semisweep.study.request import Request

NODE_DATA = "SEMISWEEP_NODE_DATA"


def machine_root(name: str, root: str) -> Path:
    """Return where a data set lies on this machine, which is `root` on the driver's."""
    own = os.environ.get(NODE_DATA)
    return Path(own).absolute() / name if own else Path(root)


def known_digest(name: str, request: Request) -> str:
    """Return the digest of the driver's images, or nothing where no other machine takes part."""
    if not request.resources.address:
        return ""
    return _digest(name, str(request.roots.of(name)))


def check_same(dataset: DataSet, digest: str) -> None:
    """Raise `DataError` naming this machine unless its images have the digest, where one is given.

    Images are read once a process and data set.
    """
    found = _digest(dataset.name, str(dataset.root)) if digest else digest
    if found != digest:
        raise DataError(
            f"a machine must have the driver's images of {dataset.name!r}, "
            f"got digest={found} instead of {digest}, machine={machine_name()}, "
            f"root={dataset.root}; copy the same data set there"
        )


def check_machines(ray: ModuleType, name: str, request: Request) -> None:
    """Raise `DataError` naming the machines of a cluster whose images are not the driver's."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    digest, root = known_digest(name, request), str(request.roots.of(name))
    remote = ray.remote(_problem)
    asked = []
    for node in living_nodes(ray):
        if node.trains:
            there = NodeAffinitySchedulingStrategy(node.name, soft=True)
            options = {"num_cpus": 0, "scheduling_strategy": there}
            asked.append(remote.options(**options).remote(name, root, digest))
    problems = [problem for problem in ray.get(asked) if problem]
    if problems:
        raise DataError("; ".join(dict.fromkeys(problems)))


def machine_name() -> str:
    """Return this machine's name, and its address where it is part of a Ray cluster."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return socket.gethostname()
    return f"{socket.gethostname()} ({ray.util.get_node_ip_address()})"


def _problem(name: str, root: str, digest: str) -> str:
    from semisweep.data.registry import open_dataset

    try:
        check_same(open_dataset(name, machine_root(name, root)), digest)
    except DataError as error:
        text = str(error)
        return text if "machine=" in text else f"{text}, machine={machine_name()}"
    return ""


@cache
def _digest(name: str, root: str) -> str:
    from semisweep.data.check import content_digest
    from semisweep.data.registry import open_dataset

    return content_digest(open_dataset(name, Path(root)))
