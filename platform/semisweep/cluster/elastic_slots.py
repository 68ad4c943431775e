"""How many trials run at a time on a cluster whose machines come and go.

When a machine is lost, its trials go on elsewhere from their last checkpoint. When a machine gives
notice, as spot machines do, its trials write a checkpoint first.

A sweep names as many slots as it may ever use. It has as many trials out as fit the machines that
are there now; a slot's workers start when it first has a trial.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from semisweep.cluster.connection import Connection, places
from semisweep.cluster.gpu_climb import Climb
from semisweep.cluster.mailbox import SlotState, View
from semisweep.cluster.nodes import living_nodes
from semisweep.cluster.ray_internals import draining_nodes

MOST_SLOTS = 256  # of a sweep on a cluster that may grow


def names_wanted(connection: Connection, total: int) -> int:
    """Return how many slots a sweep of so many trials may come to have."""
    resources = connection.resources
    most = resources.slots or (MOST_SLOTS if resources.address else connection.slots)
    return max(1, min(most, total))


class Room:
    """How many trials may be out at a time, following the machines of the cluster.

    With `ahead`, one more than there are slots: it waits in the dispatcher, so that a slot gets its
    next trial at once, without waiting for Tune. Not where machines may come and go: it could be
    left waiting for a machine that is gone.
    """

    def __init__(self, connection: Connection, names: int, *, ahead: bool = False) -> None:
        self.connection, self.names = connection, names
        climbs = connection.climbs and connection.slots > 1
        self.climb = Climb(most=connection.slots) if climbs else None
        self.trials = self.climb.limit if self.climb else connection.slots
        self.ahead = int(ahead and not connection.resources.address)

    def is_full(self, out: int) -> bool:
        """Return whether no further trial fits beside those that are out.

        Always false where all slots fit the cluster: then Tune limits the number itself, and must
        have the next trial at hand when one ends, or it ends that trial's actor.
        """
        return self.trials < self.names and out >= self.trials

    def follow(self, view: View) -> str:
        """Count the machines again, and move trials away from those that are lost or will be.

        `view`: what the dispatcher says. At least one trial is always out: it waits for a machine,
        or makes the cluster start one. Returns what was decided of trials that share a GPU.
        """
        fit = self.connection.slots
        if self.connection.resources.address:
            self._follow_machines(view.slots)
            fit = self.trials
        if self.climb is None:
            return ""
        jobs = {own.job.key: own.job for own in view.slots.values() if own.job is not None}
        said = self.climb.observe(time.monotonic(), jobs, view.running)
        self.trials = min(self.climb.limit, fit)
        return said

    def _follow_machines(self, slots: Mapping[str, SlotState]) -> None:
        nodes = living_nodes(self.connection.ray)
        leaving = draining_nodes(self.connection.ray)
        staying = [node.resources for node in nodes if node.name not in leaving]
        fit = places(staying, self.connection.worker)
        fit //= self.connection.resources.workers
        self.trials = max(1, min(fit, self.connection.resources.slots or fit))
        alive = {node.name for node in nodes}
        for slot, state in slots.items():
            if state.job is not None and not state.nodes <= alive:
                self.connection.dispatcher.lost.remote(slot)
            elif state.nodes & leaving:
                has_trial = state.job is not None
                way = (
                    self.connection.dispatcher.leave
                    if has_trial
                    else self.connection.dispatcher.let_go
                )
                way.remote(slot)
