"""What running some studies would take, before anything runs; and how good that guess was.

`remember` keeps the guess in the store when a study starts, `scores` compares it with the truth.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from semisweep.cluster.connection import places, worker_resources
from semisweep.cluster.gpu_sharing import gpu_here, gpu_share
from semisweep.running.cost_estimate import Estimate, PlannedTrial, Range, estimate
from semisweep.running.cost_history import here, history_of, kind_of_trial, probe
from semisweep.running.design_forecast import design_lines
from semisweep.running.job_sources import Reads, metrics_of, reads_of
from semisweep.running.size_forecast import Sizes, size_lines, sizes_of
from semisweep.store import files
from semisweep.store.json_fields import Fields
from semisweep.store.resolved_search import StudyOrSearch
from semisweep.store.store import Store, locate
from semisweep.store.study_files import StudyPlace, variant_of
from semisweep.store.trial_name import reasons
from semisweep.study.plan import Plan, plan
from semisweep.study.request import AUTO, Request
from semisweep.tables.table_looks import TableLooks

if TYPE_CHECKING:
    from semisweep.study.resolve import Splits
    from semisweep.training.trial import Trial

MEASURES = {"device_seconds": "device hours", "seconds": "hours"}
Tables = Sequence[StudyOrSearch]


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """The plan of some studies, what is shared between them, and what the rest will cost."""

    plan: Plan
    studies: int
    between: int  # trainings saved because several studies want them
    suggested: int  # trials that searches will still choose
    following: int  # replicates of tuned rows, which wait for their search
    estimate: Estimate
    problems: tuple[str, ...]  # what would not fit
    device: str = "cpu"
    sizes: Sizes | None = None  # of what is to run
    again: tuple[str, ...] = ()  # why trials run that were trained before
    designs: tuple[str, ...] = ()  # what a table would find, and which look it would be


def forecast(
    names: Sequence[str],
    request: Request,
    say: Callable[[str], object] = lambda text: None,
    *,
    probing: bool = False,
) -> Forecast:
    """Return what running some studies would cost; raises what running them would raise.

    `say` is told, once the first study has been found right, that there is a while to wait.
    With `probing`, kinds of trials without history are trained for a few steps in this process.
    """
    from semisweep.checks.validation import check_study
    from semisweep.running.preparation import resolved_at, stored_tunings
    from semisweep.running.search_forecast import (
        following_trials,
        search_forecast,
        tuning_forecasts,
    )
    from semisweep.study.catalogue import find_study
    from semisweep.study.declaration import Search
    from semisweep.study.resolve import Splits, planned_units

    store = Store.open(request.store) if Store.exists(request.store) else None
    tables: list[StudyOrSearch] = []
    designs: list[str] = []
    trials: dict[str, Trial] = {}
    further: list[Trial] = []  # of searches, for what it costs any of its trials
    suggested = following = 0
    read: dict[str, set[str]] = {}
    read_further: list[Reads] = []
    splits = Splits(request.roots, store.keys() if store else ())
    for name in names:
        study = find_study(name)
        check_study(study, request, splits)
        if name == names[0]:
            what = name if len(names) == 1 else f"{len(names)} studies"
            say(f"planning {what} at {request.scale} scale")
        if isinstance(study, Search):
            wanted = request.trials or study.trials or 0
            searches = [(study, search_forecast(study, wanted, request, splits, store))]
        else:
            place = StudyPlace(study.name, request.scale, variant_of(request.changes))
            looks = TableLooks(store, place) if store else None
            planned = planned_units(study, request.scale, request.seeds, request.draws)
            units = looks.kept_units(planned) if looks else {}
            stored = looks.stored if looks else None
            tuning = stored_tunings(study, request, splits, store, stored)
            found = resolved_at(study, request, splits, units, tuning)
            tables.append(found.table)
            several = f"{name}: " if len(names) > 1 else ""
            designs += [several + line for line in design_lines(found.table, looks, request.looks)]
            trials |= found.trials
            for key, metrics in metrics_of(found.table).items():
                read.setdefault(key, set()).update(metrics)
            searches = tuning_forecasts(study, request, splits, store, stored) if tuning else []
            waiting = list(following_trials(study, request, tuning, units)) if tuning else []
            further += waiting
            following += len(waiting)
            read_further += [reads_of([found.table.metric])] * len(waiting)
        for search, own in searches:
            tables += [own.stored] if own.stored else []
            further += own.trials
            suggested += own.left
            read_further += [reads_of([search.metric])] * len(own.trials)
    state = plan(tables, store)
    again = state.failed if request.retry_failed else ()
    keys = [key for key in (*state.missing, *again) if key in trials]
    missing = [trials[key] for key in keys] + further
    reads = [reads_of(read[key]) for key in keys] + read_further
    # What a search will ask for is not known, and so how much memory it needs.
    request = with_share(request, [] if further else missing, store)
    device, slots = slots_of(request)
    past, workers = history_of(store), request.resources.workers
    if probing:
        known = {own.kind for own in past}
        new = [t for t in missing if kind_of_trial(t, device, workers) not in known]
        past += list(probe(new, splits, device, workers))
    classes = [len(splits.dataset(trial.data.name).classes) for trial in missing]
    sizes = sizes_of(zip(missing, classes, reads, strict=True), request.keep, slots)
    guess = estimate(past, planned_trials(missing, splits, device, workers), slots)
    return Forecast(
        plan=state,
        studies=len(names),
        between=between(tables),
        suggested=suggested,
        following=following,
        estimate=guess,
        problems=tuple(problems(guess, request, device, sizes)),
        device=device,
        sizes=sizes,
        again=tuple(again_lines(splits, state)),
        designs=tuple(designs),
    )


def again_lines(splits: Splits, state: Plan) -> Iterator[str]:
    """Yield why trials run though their key was trained before, and which results lack a reason."""
    for why, count in reasons(splits.names, state.missing).items():
        yield f"{count:8} of them {why}"
    unknown = splits.names.unknown.intersection(state.finished)
    if unknown:
        yield (
            f"{len(unknown):8} of those finished are of unknown data, by an earlier version; "
            "run --retrain ROW trains a row anew"
        )


def at_scale(names: Sequence[str], scale: str) -> list[str]:
    """Return the names, or in place of "all" every study that comes along and has the scale."""
    from semisweep.study.catalogue import find_study, study_names

    if tuple(names) != ("all",):
        return list(names)
    return [name for name in study_names() if scale in find_study(name).presets]


def slots_of(request: Request) -> tuple[str, int]:
    """Return the device here and how many trials would run on it at a time."""
    resources = request.resources
    worker = worker_resources([machine_here()], resources)
    device = "cuda" if "GPU" in worker else "cpu"
    return device, resources.slots or max(1, room_here(worker) // resources.workers)


def machine_here() -> dict[str, float]:
    """Return this machine's CPUs and GPUs under Ray's names."""
    device, count = here()
    gpus = {"GPU": float(count)} if device == "cuda" else {}
    return {"CPU": float(os.cpu_count() or 1)} | gpus


def room_here(worker: Mapping[str, float]) -> int:
    """Return how many such workers fit this machine."""
    return places([machine_here()], worker)


def with_share(request: Request, trials: Sequence[Trial], store: Store | None) -> Request:
    """Return a request whose share of a GPU is a number, as a sweep here would choose it."""
    resources = request.resources
    if resources.gpus != AUTO:
        return request
    share = None
    if store is not None and resources.workers == 1:
        share = gpu_share(trials, store, gpu_here())
    return replace(request, resources=replace(resources, gpus=share))


def planned_trials(
    trials: Iterable[Trial], splits: Splits, device: str, workers: int
) -> list[PlannedTrial]:
    """Return kind and steps of some trials."""
    from semisweep.training.trial import total_steps

    return [
        PlannedTrial(
            kind_of_trial(trial, device, workers),
            total_steps(trial, splits.of(trial.data)),
        )
        for trial in trials
    ]


def between(tables: Tables) -> int:
    """Return how many trainings are saved because more than one study wants them."""
    own = [set(table.keys) for table in tables]
    return sum(map(len, own)) - len(set().union(*own))


def problems(
    guess: Estimate, request: Request, device: str, sizes: Sizes | None = None
) -> Iterator[str]:
    """Yield what would not fit here: disk, memory, slots."""
    wanted = max(guess.disk_bytes or 0, sizes.disk if sizes else 0)
    folder = locate(request.store)
    while isinstance(folder, Path) and not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free if isinstance(folder, Path) else math.inf
    if wanted > free:
        yield (
            f"disk: {size(wanted)} wanted, {size(free)} free at {folder}; "
            "semisweep gc frees weights, run --keep best keeps fewer"
        )
    worker = worker_resources([machine_here()], request.resources)
    together, have = guess.slots * request.resources.workers, memory_here()
    if device == "cuda":
        least = max(guess.memory_bytes or 0, sizes.resident if sizes else 0)
        yield from _on_a_gpu(least, worker.get("GPU", 1.0), gpu_here())
    needed = (guess.memory_bytes or 0) * together if device == "cpu" else 0
    if needed > have:
        yield (
            f"memory: {size(needed)} wanted by {together} processes, {size(have)} here; "
            f"--slots {max(1, int(have // (needed / guess.slots)))} would fit"
        )
    room = room_here(worker)
    if together > room and request.resources.address is None:
        asked = f", {worker['GPU']:g} GPUs each" if "GPU" in worker else ""
        yield f"slots: {guess.slots} x {request.resources.workers} workers{asked}, {room} fit here"


def _on_a_gpu(memory_bytes: float, share: float, have: float) -> Iterator[str]:
    """Yield what would not fit where several trials, of so many bytes each, share a GPU."""
    together = max(1, int(1 / share + 1e-9))
    needed = memory_bytes * together
    if have and needed > have:
        fit = int(have // (needed / together))
        mend = f"--gpus {int(10_000 / fit) / 10_000:g} would fit" if fit else "make trials smaller"
        yield (
            f"memory: {size(needed)} wanted by {together} processes on a GPU, "
            f"{size(have)} there; {mend}"
        )


def memory_here() -> int:
    """Return the memory of this machine in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def to_text(found: Forecast, names: Sequence[str], scale: str) -> str:
    """Return a forecast for people."""
    state, guess = found.plan, found.estimate
    shown = ", ".join(names) if len(names) <= 4 else f"{len(names)} studies"
    lines = [
        f"wanted   {state.wanted:6} trials by {shown} at {scale} scale",
        f"shared   {state.shared:6} equal ones that run once for several cells, "
        f"{found.between} of them between studies",
        f"finished {len(state.finished):6}",
        f"failed   {len(state.failed):6}",
        f"to run   {len(state.missing):6}",
        *found.again,
        *found.designs,
    ]
    if found.suggested:
        lines.append(f"searches {found.suggested:6} more trials, chosen as they go")
    if found.following:
        lines.append(f"tuned    {found.following:6} replicates of the best that searches choose")
    lines += _cost_lines(guess)
    if found.sizes is not None:
        lines += size_lines(found.sizes, found.device)
    lines += [f"does not fit: {problem}" for problem in found.problems]
    return "\n".join(lines)


def _cost_lines(guess: Estimate) -> Iterator[str]:
    if guess.known:
        yield f"expected, {guess.slots} trials at a time:"
    for label, time_range in (("hours", guess.seconds), ("device hours", guess.device_seconds)):
        if time_range is not None:
            low, middle, high = (value / 3600 for value in time_range)
            yield f"  {label:30} {middle:8.3g}  [{low:.3g}, {high:.3g}]"
    for label, count in (
        ("disk, GiB", guess.disk_bytes),
        ("peak memory of a process, GiB", guess.memory_bytes),
    ):
        if count is not None:
            yield f"  {label:30} {count / 2**30:8.3g}"
    if guess.unknown:
        trials = f"{guess.unknown} trials of kinds that were not measured"
        yield f"unknown: what {trials} cost; --probe times them"


def size(count: float) -> str:
    """Return a number of bytes in MiB or GiB."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


@dataclass(frozen=True, kw_only=True)
class KeptEstimate:
    """What some trials were expected to cost before they ran; a file in `plans/` of a store."""

    study: str
    scale: str
    made_at: float  # seconds since 1970
    keys: tuple[str, ...]
    seconds: Range | None
    device_seconds: Range | None
    unknown: int  # trials that it leaves out


def remember(
    store: Store, name: str, trials: Mapping[str, Trial], splits: Splits, request: Request
) -> None:
    """Keep what `trials` (by key), which are about to run, are expected to cost."""
    request = with_share(request, list(trials.values()), store)
    device, slots = slots_of(request)
    wanted = planned_trials(trials.values(), splits, device, request.resources.workers)
    guess = estimate(history_of(store), wanted, slots)
    made = {"format": 1, "study": name, "scale": request.scale, "made_at": time.time()}
    folder = store.root / "plans"
    number = len(files.scan(folder)) + 1
    while (folder / f"{number:04d}.json").exists():
        number += 1
    files.write_json(
        folder / f"{number:04d}.json", made | {"keys": list(trials), "estimate": asdict(guess)}
    )


def kept_estimates(store: Store) -> Iterator[KeptEstimate]:
    """Yield the estimates that a store keeps, in order; raise `StoreError` for another file."""
    for name in sorted(entry.name for entry in files.scan(store.root / "plans")):
        path = store.root / "plans" / name
        found = files.read_json(path) if name.endswith(".json") else None
        if found is not None:
            fields = Fields(found, "an estimate of costs", path)
            guess = fields.inner("estimate", "what it expects")
            yield KeptEstimate(
                study=fields.text("study"),
                scale=fields.text("scale"),
                made_at=fields.number("made_at"),
                keys=fields.texts("keys"),
                seconds=_range(guess, "seconds"),
                device_seconds=_range(guess, "device_seconds"),
                unknown=guess.integer("unknown"),
            )


def _range(fields: Fields, name: str) -> Range | None:
    if fields.values.get(name) is None:
        return None
    low, middle, high = fields.numbers(name)
    return Range(low, middle, high)


class Score(NamedTuple):
    """An estimate and what came of it."""

    study: str
    measure: str
    guess: Range
    truth: float


def scores(store: Store) -> list[Score]:
    """Return the scores of all estimates whose trials have finished, in order."""
    return [score for made in kept_estimates(store) for score in _scored(store, made)]


def _scored(store: Store, made: KeptEstimate) -> Iterator[Score]:
    from semisweep.store.query import results

    rows = list(results(store, made.keys).values())
    if not rows or len(rows) < len(made.keys) or made.unknown:
        return
    name = f"{made.study} {made.scale}"
    if made.device_seconds is not None:
        truth = sum(row.needed("run.device_seconds") for row in rows)
        yield Score(name, "device_seconds", made.device_seconds, truth)
    if made.seconds is not None:
        truth = max(row.needed("run.finished_at") for row in rows) - made.made_at
        yield Score(name, "seconds", made.seconds, truth)


def score_lines(store: Store) -> Iterator[str]:
    """Yield how good the estimates of finished runs were: nothing where there are none."""
    found = scores(store)
    if found:
        yield ""
        yield f"{'estimates of finished runs':32} {'expected':>9} {'range':>20} {'took':>9}"
    for study, measure, guess, truth in found:
        low, middle, high, own = (value / 3600 for value in (*guess, truth))
        inside = "inside" if guess.covers(truth) else "outside"
        bounds = f"[{low:.3g}, {high:.3g}] h"
        what = f"{study}, {MEASURES[measure]}"
        yield f"{what:32} {middle:9.3g} {bounds:>20} {own:9.3g} {inside}"
    if found:
        inside_count = sum(score.guess.covers(score.truth) for score in found)
        yield f"{inside_count} of {len(found)} within their ranges"
