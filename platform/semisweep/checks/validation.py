"""What is refused before anything is trained: wrong names, fields, folders, networks and images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from semisweep.core.config import digest, replace, settings
from semisweep.core.errors import ConfigError, DataError, unknown
from semisweep.data.check import check
from semisweep.data.registry import open_dataset
from semisweep.data.shapes import make
from semisweep.store.files import replacing
from semisweep.store.store import Store, locate
from semisweep.study.catalogue import check_study_name
from semisweep.study.declaration import Search, Study
from semisweep.study.request import Request, Roots
from semisweep.study.resolve import Splits, check_changes, make_trial, preset_of, replicates
from semisweep.study.scales import PROXY, SCALES, at_scale
from semisweep.study.search_space import SAMPLERS, check_space, samples
from semisweep.training.trial import Trial, method_class

FEWEST_REPLICATES = 3  # of a race: with two there is no look before the last


def check_place(name: str, request: Request) -> None:
    """Refuse a name, scale or data folder that will not do; imports nothing heavy."""
    check_study_name(name)
    if ":" not in name and request.scale not in (*SCALES, PROXY):
        raise unknown("scale", request.scale, (*SCALES, PROXY))
    check_roots(request.roots)


def check_study(study: Study | Search, request: Request) -> Splits:
    """Refuse all that a study cannot run with; return the splits of its images.

    Fields, values, networks and workers come first, which need no look at the images.
    """
    check_roots(request.roots)
    check_changes(study, request.scale, request.changes)
    check_mode(study, request)
    trials = list(sample_trials(study, request))
    if request.smoke:
        from semisweep.study.smoke import shortened

        trials = [shortened(trial) for trial in trials]
    if not trials:
        return Splits(request.roots)  # a table that is computed needs no images
    check_networks(trials)
    check_workers(trials, request.resources.workers)
    prepare_data((trial.data.name for trial in trials), request)
    splits = Splits(request.roots)
    check_batches(trials, splits)
    return splits


def check_roots(roots: Roots) -> None:
    """Refuse unknown data sets, and folders that hold none."""
    for name, root in roots.named.items():
        if not is_to_be_made(name, root):
            open_dataset(name, root)


def sample_trials(study: Study | Search, request: Request) -> Iterator[Trial]:
    """Yield a trial of every trained cell of a study, or the one that a search changes."""
    scale, changes = request.scale, request.changes
    if isinstance(study, Search):
        fields = at_scale(study.set, scale, {})
        yield make_trial(preset_of(study, scale), study.method, fields, changes)
        return
    for row in study.rows:
        for column in study.columns:
            if column.exists(scale):
                found = replicates(study, scale, row, column, changes)
                yield from (trial for _, trial in islice(found, 1))


def check_mode(study: Study | Search, request: Request) -> None:
    """Refuse what only a search or only a table can do, and a search or race that cannot be run."""
    if isinstance(study, Search):
        if request.race:
            raise ConfigError(
                f"a race is one of a table's rows, got study={study.name!r}, which is a search; "
                "a search stops trials where it declares halving"
            )
        check_search(study, request)
        return
    asked = {
        "--trials": request.trials,
        "--deterministic": request.deterministic,
        "--continue-stopped": request.continue_stopped,
    }
    for option, value in asked.items():
        if value:
            raise ConfigError(f"{option} is for a search, got study={study.name!r}, a table")
    if request.race:
        check_race(study, request)


def check_race(study: Study, request: Request) -> None:
    """Raise `ConfigError` for a table without rows to compare or replicates to save."""
    trained = sum(row.method is not None for row in study.rows)
    count = (request.seeds or study.seeds) * study.draws
    if trained < 2 or count < FEWEST_REPLICATES:
        raise ConfigError(
            f"a race needs at least 2 rows that are trained and {FEWEST_REPLICATES} replicates, "
            f"got rows={trained}, replicates={count}, study={study.name!r}; --seeds gives more"
        )


def check_search(search: Search, request: Request) -> None:
    """Raise `ConfigError` for a search that could not be run to its end at a scale."""
    from semisweep.search.halving import rung_steps
    from semisweep.search.sampling import describe, grid_size

    space = at_scale(search.space, request.scale, {})
    check_space(space)
    (template,) = sample_trials(search, request)
    for fields in samples(space):
        replace(template, fields)
    if search.sampler not in SAMPLERS:
        raise unknown("sampler", search.sampler, SAMPLERS)
    for direction in (search.direction, *(item.direction for item in search.also)):
        if direction not in ("maximize", "minimize"):
            raise unknown("direction", direction, ("maximize", "minimize"))
    if search.sampler == "grid":
        grid_size(describe(space))
    elif (search.trials or request.trials or 0) < 1:
        raise ConfigError(
            f"a search must have a number of trials, got trials={search.trials}, "
            f"sampler={search.sampler!r}; only a grid ends by itself"
        )
    if search.halving is not None:
        if search.also:
            raise ConfigError(
                "trials can be stopped by one objective only, got halving and "
                f"also={[item.metric for item in search.also]}"
            )
        count, rungs = template.training.evaluations, search.halving.rungs
        if not rung_steps(rungs, range(1, count + 1), count):
            raise ConfigError(
                "a rung must have an evaluation before the end, got "
                f"rungs={tuple(rungs)}, training.evaluations={count}"
            )


def check_workers(trials: Iterable[Trial], workers: int) -> None:
    """Raise `ConfigError` unless so many workers can share the global batch of every trial."""
    from semisweep.training.loader import worker_counts

    counts = [
        worker_counts(trial.training, method_class(trial.method).uses_unlabelled)
        for trial in trials
    ]
    works = sorted(set.intersection(*map(set, counts))) if counts else [workers]
    if workers not in works:
        raise ConfigError(
            "the number of workers must divide the global batches, unlabelled images into whole "
            f"pairs, got workers={workers}; numbers that work: {', '.join(map(str, works))}"
        )


def check_batches(trials: Iterable[Trial], splits: Splits) -> None:
    """Raise `ConfigError` unless every trial has images enough for its batches."""
    from semisweep.training.loader import check_lists

    for trial in trials:
        uses_unlabelled = method_class(trial.method).uses_unlabelled
        check_lists(trial.training, splits.of(trial.data), uses_unlabelled)


def check_networks(trials: Iterable[Trial]) -> None:
    """Raise `ConfigError` for backbones and weights that do not exist, before any trial does."""
    from semisweep.networks.network import NetworkConfig

    found: dict[NetworkConfig, None] = {}
    for trial in trials:
        values = (value for _, value, _ in settings(trial.config))
        found |= dict.fromkeys(value for value in values if isinstance(value, NetworkConfig))
    for network in found:
        network.check()


def prepare_data(names: Iterable[str], request: Request) -> None:
    """Make the embedded data set if it is wanted and not there; refuse data sets with faults.

    A data set found whole is remembered beside the store's trials, where there is a store, by its
    files' sizes and times.
    """
    for name in dict.fromkeys(names):
        root = request.roots.of(name)
        if is_to_be_made(name, root):
            make(root)
        dataset = open_dataset(name, root)
        stamp = stamp_of(root)
        seen = locate(request.store) / "checked" / f"{name}-{stamp}.json"
        if seen.is_file():
            continue
        problems = check(dataset)
        if problems:
            more = f" (and {len(problems) - 1} more: semisweep data check)" if problems[1:] else ""
            raise DataError(problems[0] + more)
        if Store.exists(request.store):
            with replacing(seen) as file:
                file.write(b"{}\n")


def is_to_be_made(dataset: str, root: Path) -> bool:
    """Return whether a data set is the embedded one and not there yet."""
    return dataset == "shapes" and not root.exists()


def stamp_of(root: Path) -> str:
    """Return a digest of names, sizes and times of all files below a folder."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return digest(
        [
            [str(path.relative_to(root)), path.stat().st_size, path.stat().st_mtime_ns]
            for path in files
        ]
    )
