"""The nodes of a Ray cluster that are alive, as types: what Ray says of them is decoded here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType


@dataclass(frozen=True)
class Node:
    """A machine of a cluster.

    `resources`: how much it has of "CPU", "GPU" and others. `raylet`: host:port of Ray's own
    process there.
    """

    name: str
    resources: Mapping[str, float]
    raylet: str

    @property
    def trains(self) -> bool:
        """Whether workers can be there at all."""
        return bool({"CPU", "GPU"} & set(self.resources))


def living_nodes(ray: ModuleType) -> list[Node]:
    """Return the nodes of the cluster that are alive; Ray is connected."""
    return [
        Node(
            str(node["NodeID"]),
            dict(node["Resources"]),
            f"{node.get('NodeManagerAddress')}:{node.get('NodeManagerPort')}",
        )
        for node in ray.nodes()
        if node["Alive"]
    ]
