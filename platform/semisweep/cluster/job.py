"""A job, one trial to be trained somewhere, and the outcome that comes back of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from semisweep.search.halving import RungRule


class GroupRenewed(RuntimeError):
    """Ends a group's processes after an error of ours, so that Ray Train starts fresh ones."""


class Wait:
    """What a source says that has no job until one has ended; it is false, as None is."""

    def __bool__(self) -> bool:
        return False


WAIT: Final = Wait()

Status = Literal[
    "finished", "failed", "stopped", "known", "busy", "interrupted", "unwritable", "broken"
]


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a worker needs to know: the trial and the facts of the machine."""

    key: str
    trial: Mapping[str, object]  # Trial.encoded()
    store: str
    data_root: str  # on the driver's machine; `semisweep.cluster.machine_data` knows that of others
    seen: str = ""  # fingerprint of the data that the trial is to see; nothing where not known
    test: str = ""  # and of those that it is tested on
    scored_from: str = ""  # a trial that has its weights, and was tested on other images
    device: str = "cpu"
    threads: int = 1
    data_workers: int = 0  # processes that make its batches
    compiled: bool | None = None  # whether its networks are, on a GPU
    label: str = ""  # study, row and replicate, for people
    keep: str = "both"  # one of `semisweep.study.request.KEEP`
    read_weights: Sequence[str] = ()  # names of weights that tables read of it, such as "best"
    reads_labels: bool = False  # whether tables read the quality of its pseudo-labels
    halving: RungRule | None = None  # where a search may stop it
    code: Sequence[str] = ()  # folders of the user's own code, on the driver's machine


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    `status` is finished, failed, stopped by a search, known (it had its result already), busy
    (another process trains it), interrupted (it has a checkpoint to go on from), unwritable (the
    store is) or broken (what carried the job has a fault of its own).
    """

    key: str
    status: Status
    error: str = ""
    unexpected: bool = False  # an error of ours rather than the user's: renew the process
