"""The mailbox of a slot, part of the dispatcher: its job, its workers, and their outcome."""

from __future__ import annotations

import time
from dataclasses import dataclass

from semisweep.cluster.job import Job, Outcome


@dataclass(frozen=True, kw_only=True)
class SlotState:
    """The state of a slot: its job, its workers' processes, and how long nothing has happened.

    `processes`: node and process id of each worker. `quiet_seconds`: since a worker that has the
    job last reported. `starting_seconds`: since its processes, which have not taken the job yet,
    last came a step further. `closed_seconds`: since it was closed, while processes are left.
    """

    job: Job | None = None
    taken: bool = False
    joined: bool = False
    processes: tuple[tuple[str, int], ...] = ()
    idle_seconds: float = 0.0
    quiet_seconds: float = 0.0
    starting_seconds: float = 0.0
    closed_seconds: float = 0.0

    @property
    def nodes(self) -> set[str]:
        """The nodes that its workers are on."""
        return {node for node, _ in self.processes}


class Mailbox:
    """One slot: its current job, its workers, their outcome, and whether it is to close."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self.key = ""
        self.taken: set[int] = set()
        self.outcomes: list[Outcome] = []
        self.claimed = ""  # the key of the job that it is kept for
        self.processes: dict[int, tuple[str, int]] = {}  # node and process id of each worker
        self.ranks: set[int] = set()  # of the group, whose processes may have been killed since
        self.joined = False
        self.training = False
        self.closed = False
        self.given_up = False  # its workers do not start: it gets no further job
        self.raised = ""  # the traceback that a worker has told of, and which one
        self.raised_by = 0
        self.verdict = ""  # why its processes were killed from outside
        self.leaving = False  # its machine will be taken away: what it trains is to go on elsewhere
        self.idle_since = self.closed_since = time.monotonic()
        self.heard = time.monotonic()  # when its workers last had come further

    @property
    def is_taken(self) -> bool:
        """Whether every worker has taken the job, so that a crash is an attempt at it."""
        return self.job is not None and bool(self.taken) and self.taken >= self.ranks

    @property
    def is_starting(self) -> bool:
        """Whether its processes are on their way to take a job."""
        waits_for_them = self.job is not None or not self.joined
        return bool(self.processes) and not self.closed and not self.taken and waits_for_them

    @property
    def is_leaving(self) -> bool:
        """Whether its processes are to end."""
        return self.closed and bool(self.processes)

    def state(self) -> SlotState:
        """Return the state of the slot now."""
        now = time.monotonic()
        is_training = bool(self.taken) and self.job is not None
        return SlotState(
            job=self.job,
            taken=bool(self.taken),
            joined=self.joined,
            processes=tuple(self.processes.values()),
            idle_seconds=0.0 if self.job is not None else now - self.idle_since,
            quiet_seconds=now - self.heard if is_training else 0.0,
            starting_seconds=now - self.heard if self.is_starting else 0.0,
            closed_seconds=now - self.closed_since if self.is_leaving else 0.0,
        )
