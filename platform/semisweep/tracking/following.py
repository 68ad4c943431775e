"""What a run logs to: its followers, from its first trial to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from semisweep.core.errors import ConfigError
from semisweep.search.optuna_storage import check_ending
from semisweep.store.store import Store
from semisweep.store.study_files import StudyPlace, variant_of
from semisweep.tracking.follower import Follower, Say, Tracker
from semisweep.tracking.optuna_tracker import OptunaTracker
from semisweep.tracking.packages import check_loggers
from semisweep.tracking.run_tracker import RunTracker

if TYPE_CHECKING:
    from semisweep.study.declaration import Search, Study
    from semisweep.study.request import Request
    from semisweep.tracking.logged_run import RunLogger

Follow = Callable[[Sequence["Study | Search"]], None]


def check_logging(request: Request) -> None:
    """Raise `ConfigError` where a run could not be logged as it is asked to be."""
    check_loggers(request.logger)
    if request.optuna_storage is not None:
        check_ending(Path(request.optuna_storage))


def check_searches(studies: Sequence[Study | Search], request: Request) -> None:
    """Raise `ConfigError` where a storage of Optuna's is asked for and no study is a search."""
    from semisweep.study.declaration import Search

    if request.optuna_storage is None or any(isinstance(own, Search) for own in studies):
        return
    names = ", ".join(own.name for own in studies)
    raise ConfigError(
        f"a storage of Optuna's is for searches, got optuna_storage={request.optuna_storage} and "
        f"study={names}, which is none; for curves of any study: --logger tensorboard"
    )


@contextmanager
def following(request: Request, store: Store, say: Say) -> Iterator[Follow]:
    """Yield a function that begins to log studies; at the end, log what is left of them.

    Where an error or a signal ends the run, this takes some seconds at most.
    """
    followers: list[Follower] = []

    def follow(studies: Sequence[Study | Search]) -> None:
        variant = variant_of(request.changes)
        wanted = [StudyPlace(own.name, request.stored_scale, variant) for own in studies]
        for name, target, tracker in _trackers(request, store):
            followers.append(Follower(name, target, tracker, store, wanted, say))

    hurried = True
    try:
        yield follow
        hurried = False
    finally:
        for follower in followers:
            follower.end(hurried=hurried)


def _trackers(request: Request, store: Store) -> Iterator[tuple[str, str, Tracker]]:
    """Yield option, target and tracker of each tool that is asked for."""
    folder = Path(request.log_dir).absolute()
    for name in dict.fromkeys(request.logger):
        make = partial(_logger, name, folder / name)
        yield f"--logger {name}", str(folder / name), RunTracker(make, store, time.time)
    if request.optuna_storage is not None:
        path = Path(request.optuna_storage).absolute()
        yield "--optuna-storage", str(path), OptunaTracker(path, store)


def _logger(name: str, folder: Path) -> RunLogger:
    if name == "tensorboard":
        from semisweep.tracking.tensorboard_events import EventLogger

        return EventLogger(folder)
    if name == "wandb":
        from semisweep.tracking.wandb_runs import WandbLogger

        return WandbLogger(folder)
    from semisweep.tracking.mlflow_runs import MlflowLogger

    return MlflowLogger(folder)
