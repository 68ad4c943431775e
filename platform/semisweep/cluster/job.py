"""A job: one trial to be trained somewhere, as plain values that can be sent there."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final


class GroupRenewed(RuntimeError):
    """Ends a group's processes after an error of ours, so that Ray Train starts fresh ones."""


WAIT: Final[dict[str, Any]] = {}  # what a source says that has no job until one has ended


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a worker needs to know: the trial and the facts of the machine."""

    key: str
    trial: dict[str, Any]  # Trial.encoded()
    store: str
    data_root: str  # on the driver's machine; `semisweep.cluster.machine_data` knows that of others
    data_digest: str = ""  # of the images there, where other machines are to have the same
    device: str = "cpu"
    threads: int = 1
    data_workers: int = 0
    label: str = ""  # study, row and replicate, for people
    halving: dict[str, Any] | None = None  # where a search may stop it

    def as_dict(self) -> dict[str, Any]:
        """Return the job as plain values, fit to be sent."""
        return asdict(self)


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    `status` is finished, failed, stopped by a search, known (it had its result already), busy
    (another process trains it), interrupted (it has a checkpoint to go on from) or unwritable (the
    store is).
    """

    key: str
    status: str
    error: str = ""
    unexpected: bool = False  # an error of ours rather than the user's: renew the process
