"""The mailbox of a slot: its job, its workers, and what they said of it; part of the dispatcher."""

from __future__ import annotations

import time
from dataclasses import dataclass

from semisweep.cluster.job import Job, Outcome


@dataclass(frozen=True, kw_only=True)
class SlotState:
    """How a slot is: its job, whether workers have it, and for how many seconds all was quiet.

    `processes`: node and process id of each worker. `quiet_seconds`: since a worker that has the
    job came further. `starting_seconds`: since its processes were there, without a step towards
    taking a job. `closed_seconds`: since it was let go, while its processes are still there.
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
    """One slot: its current job, what its workers said of it, and whether it is to close."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self.key = ""
        self.taken: set[int] = set()
        self.outcomes: list[Outcome] = []
        self.claimed = False
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
        """Whether every worker of the group has taken the job: what ends one costs the trial."""
        return self.job is not None and bool(self.taken) and self.taken >= self.ranks

    @property
    def is_starting(self) -> bool:
        """Whether its processes have still to come to where they wait for a job, or take it."""
        waits_for_them = self.job is not None or not self.joined
        return bool(self.processes) and not self.closed and not self.taken and waits_for_them

    @property
    def is_leaving(self) -> bool:
        """Whether its processes are to end."""
        return self.closed and bool(self.processes)

    def state(self) -> SlotState:
        """Return how the slot is now."""
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
