"""Slots that follow a cluster: trials leave machines that go, and use those that join.

From one that is lost a trial goes on after its last checkpoint; from one that gives notice, such as
a spot machine of which Ray knows that it will be taken away, after one that it writes now.

A sweep has names for more slots than there is room for. How many trials are out at a time is what
fits the machines that are there now; a slot gets its workers when it first has a trial.
"""

from __future__ import annotations

from collections.abc import Mapping

from semisweep.cluster.connection import Connection, places
from semisweep.cluster.mailbox import SlotState
from semisweep.cluster.nodes import living_nodes
from semisweep.cluster.ray_internals import draining_nodes

MOST_SLOTS = 256  # of a sweep on a cluster that may grow


def names_wanted(connection: Connection, total: int) -> int:
    """Return how many slots a sweep of so many trials may come to have."""
    resources = connection.resources
    most = resources.slots or (MOST_SLOTS if resources.address else connection.slots)
    return max(1, min(most, total))


class Room:
    """How many trials may be out at a time, and taking them back from lost machines.

    With `ahead`, one more than there are slots: it waits in the dispatcher, so that a slot has its
    next trial at once, without Tune's milliseconds. Not where machines may come and go: it would
    wait for one that is gone.
    """

    def __init__(self, connection: Connection, names: int, *, ahead: bool = False) -> None:
        self.connection, self.names = connection, names
        self.trials = connection.slots
        self.ahead = int(ahead and not connection.resources.address)

    def is_full(self, out: int) -> bool:
        """Return whether no further trial fits beside those that are out.

        Never where every slot has room: then Tune keeps count, and has the next trial at hand when
        one ends, which it must to keep the actor.
        """
        return self.trials < self.names and out >= self.trials

    def follow(self, slots: Mapping[str, SlotState]) -> None:
        """Follow the cluster; `slots` is what the dispatcher says of them.

        At least one trial is always out: it waits for a machine, or for one to be started for it.
        """
        if not self.connection.resources.address:
            return  # a cluster of our own stays as it is
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
