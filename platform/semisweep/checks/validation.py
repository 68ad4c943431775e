"""What is refused before anything is trained: wrong names, fields, folders, networks and images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from semisweep.checks.data_preparation import is_to_be_made, prepare_data, refuse
from semisweep.core.config import replace, settings
from semisweep.core.errors import ConfigError, unknown
from semisweep.data.check import count_problems
from semisweep.data.registry import open_dataset
from semisweep.study.catalogue import check_study_name, is_listed
from semisweep.study.data_roots import Roots
from semisweep.study.declaration import Search, Study
from semisweep.study.request import Request
from semisweep.study.resolve import (
    Splits,
    check_changes,
    make_trial,
    planned_units,
    preset_of,
    replicates,
)
from semisweep.study.scales import PROXY, SCALES, at_scale
from semisweep.study.search_space import SAMPLERS, bundled, check_space, samples
from semisweep.study.tuned_rows import tuned_rows
from semisweep.training.trial import Trial, method_class, method_path

if TYPE_CHECKING:
    from semisweep.study.catalogue import Named


def check_place(name: Named, request: Request) -> None:
    """Refuse a name, scale or data folder that will not do; imports nothing heavy."""
    check_study_name(name)
    if is_listed(name) and request.scale not in (*SCALES, PROXY):
        raise unknown("scale", request.scale, (*SCALES, PROXY))
    check_roots(request.roots)


def check_study(study: Study | Search, request: Request, splits: Splits) -> None:
    """Refuse all that a study cannot run with.

    Fields, values, networks and workers come first, which need no look at the images.
    """
    check_roots(request.roots)
    check_methods(study)
    check_changes(study, request.scale, request.changes)
    check_mode(study, request)
    check_columns(study, request.scale)
    trials = list(sample_trials(study, request))
    if request.smoke:
        from semisweep.study.smoke import shortened

        trials = [shortened(trial) for trial in trials]
    if not trials:
        return  # a table that is computed needs no images
    check_networks(trials)
    check_workers(trials, request.resources.workers)
    if request.scale != SCALES[0] and not (request.smoke or request.any_count):
        check_counts(trials, splits)
    prepare_data((trial.data for trial in trials), splits, verify=request.verify_data)
    check_batches(trials, splits)


def check_columns(study: Study | Search, scale: str) -> None:
    """Refuse a scale at which a table has no column, so that nothing would be trained or shown."""
    if isinstance(study, Search) or any(column.exists(scale) for column in study.columns):
        return
    scales = dict.fromkeys(own for column in study.columns for own in column.set)
    raise ConfigError(
        f"a column must exist at the scale that is asked for, got study={study.name}, "
        f"scale={scale}, scales of its columns={', '.join(scales) or 'none'}"
    )


def check_roots(roots: Roots) -> None:
    """Refuse unknown data sets, and folders that hold none."""
    for name, root in roots.named.items():
        if not is_to_be_made(name, root):
            open_dataset(name, root)


def check_methods(study: Study | Search) -> None:
    """Raise `ConfigError` for a method that exists in this process alone, as in a notebook's cell.

    Workers are processes of their own, which import it.
    """
    rows = () if isinstance(study, Search) else study.rows
    methods = [study.own_method] if isinstance(study, Search) else [row.method for row in rows]
    for method in methods:
        if method is not None and (
            method.__module__ == "__main__" or "<locals>" in method.__qualname__
        ):
            raise ConfigError(
                "a method must be importable by workers, got "
                f"method={method_path(method)}; write its class at the top of a file beside, such "
                f"as mine.py, and import it: from mine import {method.__name__}"
            )


def check_counts(trials: Iterable[Trial], splits: Splits) -> None:
    """Refuse copies of published data sets that lack images: an epoch has fewer steps on them."""
    for name in dict.fromkeys(trial.data.name for trial in trials):
        if not is_to_be_made(name, splits.roots.of(name)):
            refuse(count_problems(splits.dataset(name), of_papers=True))


def sample_trials(study: Study | Search, request: Request) -> Iterator[Trial]:
    """Yield a trial of every trained cell of a study, or the one that a search changes."""
    scale, changes = request.scale, request.changes
    if isinstance(study, Search):
        fields = at_scale(study.set, scale, {})
        yield make_trial(preset_of(study, scale), study.own_method, fields, changes)
        return
    for row in study.rows:
        for column in study.columns:
            if column.exists(scale):
                found = replicates(study, scale, row, column, changes)
                yield from (trial for _, trial in islice(found, 1))


def bundled_trials(study: Study | Search, request: Request) -> Iterator[Trial]:
    """Yield a trial of every option of the bundles of a search, such as its pairs of backbones."""
    if isinstance(study, Search):
        scale, changes = request.scale, request.changes
        fields = at_scale(study.set, scale, {})
        for own in bundled(at_scale(study.space, scale, {})):
            yield make_trial(preset_of(study, scale), study.own_method, {**fields, **own}, changes)


def check_mode(study: Study | Search, request: Request) -> None:
    """Refuse what only a search or only a table can do, and a search or race that cannot be run."""
    if isinstance(study, Search):
        if request.race:
            raise ConfigError(
                f"a race is one of a table's rows, got study={study.name!r}, which is a search; "
                "a search stops trials where it declares halving"
            )
        if request.retrain:
            raise ConfigError(
                f"rows are trained anew, got study={study.name!r}, which is a search; "
                "a higher version of its method trains all anew"
            )
        check_search(study, request)
        return
    if request.retrain and request.race:
        raise ConfigError(
            f"rows are trained anew before they race, got retrain={request.retrain[0]!r}, "
            "race=True; give --race without --retrain afterwards"
        )
    if tuned_rows(study, request.scale):
        from semisweep.checks.tuning_validation import check_tuned

        for search in check_tuned(study, request):
            check_search(search, request)
        return
    asked = {
        "--trials": request.trials,
        "--deterministic": request.deterministic,
        "--continue-stopped": request.continue_stopped,
    }
    for option, value in asked.items():
        if value:
            raise ConfigError(
                f"{option} is for a search, got study={study.name!r}, a table without tuned rows"
            )
    if request.race:
        check_race(study, request)


def check_race(study: Study, request: Request) -> None:
    """Raise `ConfigError` for a table without rows to compare or replicates to save."""
    from semisweep.statistics.race_stops import LEAST

    if request.top_up:
        raise ConfigError(
            "a race and a top-up are a run each, got --race --top-up; run the race to its end first"
        )
    if not can_race(study, request):
        trained = sum(row.method is not None for row in study.rows)
        units = planned_units(study, request.scale, request.seeds, request.draws)
        raise ConfigError(
            f"a race needs at least 2 rows that are trained, and {LEAST} replicates (draws, where "
            f"there are several) within the first three quarters, got rows={trained}, "
            f"draws={len(units)}, seeds={max(units)}, study={study.name!r}; --draws 8 is enough"
        )


def can_race(study: Study, request: Request) -> bool:
    """Return whether a table has rows to compare, and replicates that a race could save."""
    from semisweep.statistics.race_stops import in_rounds, looks_of

    trained = sum(row.method is not None for row in study.rows)
    units = planned_units(study, request.scale, request.seeds, request.draws)
    names = [f"{draw}/{seed}" for draw, seeds in enumerate(units) for seed in range(seeds)]
    return trained > 1 and bool(looks_of(in_rounds(names)))


def check_search(search: Search, request: Request) -> None:
    """Raise `ConfigError` for a search that could not be run to its end at a scale."""
    from semisweep.search.halving import rung_steps
    from semisweep.search.sampling import describe, grid_size

    space = at_scale(search.space, request.scale, {})
    check_space(space)
    (template,) = sample_trials(search, request)
    for fields in samples(space):
        replace(template, fields)
    if search.confirm < 0 or search.confirm_seeds < 1:
        raise ConfigError(
            "the best must be confirmed on at least 1 seed, or not at all with confirm=0, got "
            f"confirm={search.confirm}, confirm_seeds={search.confirm_seeds}"
        )
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
