"""What a user asks for: which trials, where they live, and how the machine is used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

AUTO = "auto"
KEEP = (AUTO, "both", "best", "last", "all")  # which weights of a finished trial, and how much


@dataclass(frozen=True)
class Roots:
    """Where the data sets of this machine lie."""

    default: Path
    named: Mapping[str, Path] = field(default_factory=dict)

    def of(self, name: str) -> Path:
        """Return the absolute folder of a data set."""
        return Path(self.named.get(name, self.default / name)).absolute()


@dataclass(frozen=True, kw_only=True)
class Resources:
    """How the machine or cluster is used: `slots` trials at a time, each on `workers` workers.

    `gpus` a worker: a fraction lets several workers share one, None is one where there are any,
    AUTO as many trials on one as fit by what such trials were measured to need,
    and on a single GPU as raise the images a second. `data_workers`: as
    many as the machine's cores leave each worker on a GPU, none on a CPU, where they only cost.
    `compiled`: whether networks are compiled on a GPU; None where trainings are long enough.
    """

    slots: int | None = None
    workers: int = 1
    address: str | None = None
    threads: int = 1
    data_workers: int | None = None  # processes that make a worker's batches
    compiled: bool | None = None
    gpus: float | str | None = None
    fresh_workers: bool = False  # new processes for every trial
    hung_minutes: float = 30.0  # without progress, after which a worker is killed; 0 is never


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked of a study.

    `keep`: the best and last weights of a finished trial, or both, of what it needs to predict;
    "auto" keeps both where they are small, else those that the tables' metric is of; "all" keeps
    both of every network.
    """

    roots: Roots
    scale: str = "mini"
    store: str = "semisweep-store"
    seeds: int | None = None
    draws: int | None = None
    changes: Mapping[str, object] = field(default_factory=dict)
    resources: Resources = field(default_factory=Resources)
    retry_failed: bool = False
    trials: int | None = None  # of a search, instead of its own number
    deterministic: bool = False  # a search of several trials at a time is to repeat itself
    continue_stopped: bool = False  # those that a search stopped are to be trained to their end
    race: bool = False  # rows of a table that fall behind get no further replicates
    check: bool = True  # arms, before they are trained
    smoke: bool = False  # a few steps of everything
    top_up: bool = False
    looks: int | None = None
    keep: str = AUTO  # one of KEEP
    any_count: bool = False  # of images, where a paper's scale wants those that are published
    verify_data: bool = False  # read every image and mask again
    retrain: tuple[str, ...] = ()  # rows whose trials are trained anew though they have results
    any_scale: bool = False  # show a study that lacks the scale at the one it has

    @property
    def stored_scale(self) -> str:
        """The scale under which a store has the resolved study."""
        return f"{self.scale}-smoke" if self.smoke else self.scale
