"""What a user asks for: which trials, where they live, and how the machine is used."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from semisweep.core.errors import ConfigError, unknown
from semisweep.store.object_requests import check_endpoint
from semisweep.store.object_storage import ObjectPath
from semisweep.store.store import Store, locate
from semisweep.study.catalogue import default_scale, is_listed, is_shipped
from semisweep.study.data_roots import Roots

if TYPE_CHECKING:
    from semisweep.study.catalogue import Named

STORE = "semisweep-store"
AUTO = "auto"
LOGGERS = ("tensorboard", "wandb", "mlflow")
LOG_DIR = "semisweep-logs"
KEEP = (AUTO, "both", "best", "last", "all")  # which weights of a finished trial, and how much


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
    logger: tuple[str, ...] = ()  # of LOGGERS: where each trial is a run while it trains
    log_dir: str = LOG_DIR  # their files, where the variables of their tools do not say
    optuna_storage: str | None = None  # a file that Optuna opens while a search runs
    any_scale: bool = False  # show a study that lacks the scale at the one it has

    @property
    def stored_scale(self) -> str:
        """The scale under which a store has the resolved study."""
        return f"{self.scale}-smoke" if self.smoke else self.scale


class RunOptions(TypedDict, total=False):
    """The options of a run, as those of the command line: see `semisweep run --help`.

    `data`: where data sets lie, by name. `set`: fields that are changed in every arm.
    """

    scale: str | None
    data: Mapping[str, str | Path]
    seeds: int | None
    draws: int | None
    set: Mapping[str, object]
    slots: int | None
    workers: int
    address: str | None
    threads: int
    data_workers: int | None
    compiled: bool | None
    gpus: float | str | None
    fresh_workers: bool
    hung_minutes: float
    retry_failed: bool
    trials: int | None
    deterministic: bool
    continue_stopped: bool
    race: bool
    check: bool
    smoke: bool
    top_up: bool
    looks: int | None
    keep: str
    any_count: bool
    verify_data: bool
    retrain: Sequence[str]
    logger: str | Sequence[str]
    log_dir: str | Path
    optuna_storage: str | Path | None


RANGES: Mapping[str, tuple[int, int]] = {
    "seeds": (1, 1_000),
    "draws": (1, 1_000),
    "looks": (1, 10),
    "trials": (1, 1_000_000),
    "slots": (1, 100_000),
    "workers": (1, 10_000),
    "threads": (1, 1_024),
    "data_workers": (0, 1_024),
    "gpus": (0, 1_024),
    "hung_minutes": (0, 1_000_000),
}
FRACTIONS = ("gpus", "hung_minutes")  # the others are whole numbers

LIVE = ("logger", "log_dir", "optuna_storage")
DEFAULTS = {own.name: own.default for own in (*fields(Request), *fields(Resources))}


def default_store() -> str:
    """Return the store that is meant where none is named."""
    return os.environ.get("SEMISWEEP_STORE", STORE)


def make_request(
    store: str | Path | None, options: RunOptions, names: Sequence[Named] = ()
) -> Request:
    """Return what options ask for; raise `StoreError`, `ConfigError`.

    `names` are the studies that it is of, whose scale is meant where none is given.
    """
    store = default_store() if store is None else str(store)
    if isinstance(locate(store), ObjectPath):
        check_endpoint()
    given: dict[str, object] = {**options}
    if given.get("scale") is None:
        given["scale"] = scale_of(names, store)
    for name, value in given.items():
        _check(name, value)
    roots = roots_of(options.get("data", {}))
    machine = {own.name for own in fields(Resources)} & given.keys()
    others = given.keys() - machine - {"data", "set", "retrain", *LIVE}
    logger, storage = options.get("logger", ()), options.get("optuna_storage")
    return Request(
        roots=roots,
        store=store,
        changes=dict(options.get("set", {})),
        retrain=tuple(options.get("retrain", ())),
        logger=(logger,) if isinstance(logger, str) else tuple(logger),
        log_dir=str(options.get("log_dir", LOG_DIR)),
        optuna_storage=None if storage is None else str(storage),
        resources=Resources(**{name: given[name] for name in machine}),  # type: ignore[arg-type]
        **{name: given[name] for name in others},  # type: ignore[arg-type]
    )


def scale_of(names: Sequence[Named], store: str | None = None) -> str:
    """Return the scale that is meant of some studies where none is given.

    A store is opened only for names that it alone can know.
    """
    asks = any(is_listed(name) and not is_shipped(name) for name in names)
    known = Store.open(store) if store and asks and Store.exists(store) else None
    return default_scale(names, known)


def roots_of(data: Mapping[str, str | Path]) -> Roots:
    """Return where data sets lie, by what is given of them and by the environment."""
    default = Path(os.environ.get("SEMISWEEP_DATA", "semisweep-data"))
    return Roots(default, {name: Path(path) for name, path in data.items()})


def _check(name: str, value: object) -> None:
    """Refuse an option that does not exist, a number out of its range, a text for a list."""
    known = RunOptions.__annotations__
    if name not in known:
        raise unknown("option", name, known)
    if name in RANGES and value is not None and value != AUTO:
        low, high = RANGES[name]
        kind = (int, float) if name in FRACTIONS else int
        if not isinstance(value, kind) or isinstance(value, bool) or not low <= value <= high:
            what = "a number" if name in FRACTIONS else "a whole number"
            raise ConfigError(
                f"an option must be {what} from {low} to {high}, got {name}={value!r:.80}"
            )
    if name in ("data", "set") and not isinstance(value, Mapping):
        raise ConfigError(f"an option must be a dictionary, got {name}={value!r}")
    if name == "retrain" and isinstance(value, str):
        raise ConfigError(f"an option must be a list of rows, got {name}={value!r}")
    if isinstance(DEFAULTS.get(name), bool) and not isinstance(value, bool):
        raise ConfigError(f"an option must be True or False, got {name}={value!r}")
    if name == "logger":
        for own in (value,) if isinstance(value, str) else _listed(name, value):
            if own not in LOGGERS:
                raise unknown("logger", str(own), LOGGERS)
    if name == "keep" and value not in KEEP:
        raise unknown("weights to keep", str(value), KEEP)


def _listed(name: str, value: object) -> Sequence[object]:
    if not isinstance(value, (list, tuple)):
        raise ConfigError(f"an option must be a name or a list of names, got {name}={value!r}")
    return value
