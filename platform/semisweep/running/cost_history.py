"""The cost of trials as measured: by a store's results, or a probe in this process."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from semisweep.core.config import flatten
from semisweep.running.cost_estimate import Kind, MeasuredCost
from semisweep.store import checkpoint_file, files
from semisweep.store.files import Location
from semisweep.store.snapshot import Snapshot
from semisweep.store.store import Store
from semisweep.store.trial_records import Result

if TYPE_CHECKING:
    from semisweep.study.resolve import Splits
    from semisweep.training.trainer import Training
    from semisweep.training.trial import Trial

NETWORK_FIELDS = ("backbone", "decoder", "channels", "output_stride")
DISK_TRIALS = 3  # of a kind, whose folders are measured
PROBE_STEPS = 3
PROBE_IMAGES = 8  # evenly spaced in their list


def kind_of(row: Result, device: str, workers: int) -> Kind:
    """Return the kind of a trial from a row that has its configuration."""
    from semisweep.training.trial import current_path

    networks = ",".join(
        f"{name.removeprefix('config.')}={row[name]}"
        for name in sorted(row)
        if name.startswith("config.")
        and name.rpartition(".")[2] in NETWORK_FIELDS
        and row[name] is not None
    )
    return Kind(
        method=current_path(row.method or ""),
        networks=networks,
        crop_pixels=row.count("training.crop_pixels"),
        labelled_batch=row.count("training.labelled_batch"),
        unlabelled_batch=row.count("training.unlabelled_batch"),
        precision=row.text("training.precision") or "",
        device=device.partition(":")[0],
        workers=workers,
    )


def kind_of_trial(trial: Trial, device: str, workers: int) -> Kind:
    """Return the kind of a trial that is to run."""
    return kind_of(Result("", flatten(trial.encoded())), device, workers)


def history_of(store: Store | None) -> list[MeasuredCost]:
    """Return what each finished trial of a store cost, in order of their keys."""
    if store is None:
        return []
    measured: dict[Kind, int] = {}
    found = []
    for key, row in Snapshot(store, store.keys()).results.items():
        if not _tells(row):
            continue
        kind = kind_of(row, row.text("run.device") or "", row.count("run.workers"))
        size = 0
        if measured.get(kind, 0) < DISK_TRIALS:
            size = disk_bytes(store.trial(key).path)
            measured[kind] = measured.get(kind, 0) + (size > 0)
        found.append(
            MeasuredCost(
                kind=kind,
                steps=row.total_steps,
                seconds=row.needed("run.seconds"),
                memory_bytes=float(row.peak_memory_bytes or 0.0),
                disk_bytes=float(size),
            )
        )
    return found


def _tells(row: Result) -> bool:
    needed = ("method", "training.crop_pixels", "training.precision", "total_steps")
    times = ("run.device", "run.workers", "run.seconds")
    whole = all(row.get(name) is not None for name in (*needed, *times))
    return whole and row.needed("run.seconds") > 0 and row.total_steps > 0


def disk_bytes(folder: Location) -> int:
    """Return what a finished trial takes on disk; 0 where its weights have been freed."""
    found = files.below(folder)
    if not any("weights-" in name for name in found):
        return 0
    sizes = {checkpoint_file.content_of(name): size for name, (size, _) in found.items()}
    return sum(sizes.values())


def here() -> tuple[str, int]:
    """Return the device that trials would run on here, and how many there are of it."""
    gpus = gpus_here()
    return ("cuda", gpus) if gpus else ("cpu", os.cpu_count() or 1)


def gpus_here() -> int:
    """Return how many GPUs this process may use, without importing torch."""
    found = [name for name in os.listdir("/dev") if name[:6] == "nvidia" and name[6:].isdigit()]
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    if shown is None:
        return len(found)
    return min(len(found), len([name for name in shown.split(",") if name.strip()]))


def probe(
    trials: Iterable[Trial], splits: Splits, device: str, workers: int
) -> Iterator[MeasuredCost]:
    """Train one trial of each kind for a few steps in this process, and yield what that cost.

    The first step, which also builds what the others find, is not timed; an evaluation's share is.
    Raises `ConfigError` where torch cannot use the device.
    """
    from semisweep.core.device import initialise, usable

    initialise(usable(device))
    seen: dict[Kind, Trial] = {}
    for trial in trials:
        seen.setdefault(kind_of_trial(trial, device, workers), trial)
    for kind, trial in seen.items():
        yield _probed(trial, kind, splits, device)


def _probed(trial: Trial, kind: Kind, splits: Splits, device: str) -> MeasuredCost:
    from semisweep.core.device import begin_measuring, peak_memory, synchronise
    from semisweep.training.kept_state import kept_state, state_bytes
    from semisweep.training.trainer import SELECTION_PART, Training

    dataset, split = splits.dataset(trial.data.name), splits.of(trial.data)
    gc.collect()  # what is left of the trial before is no part of this one's peak
    begin_measuring(device)
    training = Training(trial, dataset, split, device)
    total = training.total_steps
    batches = training.loader.batches(0, min(total, PROBE_STEPS + 1), 0)
    times = []
    for batch in batches:
        started = time.perf_counter()
        training.advance(batch)
        synchronise(device)
        times.append(time.perf_counter() - started)
    image = _seconds_an_image(training, device)
    evaluating = image * len(dataset.part(SELECTION_PART)) * len(training.evaluation_steps())
    step = sum(times[1:]) / len(times[1:]) if len(times) > 1 else times[0]
    return MeasuredCost(
        kind=kind,
        steps=total,
        seconds=step * total + evaluating,
        memory_bytes=float(peak_memory(device)),
        disk_bytes=2.0 * state_bytes(kept_state(training.method)),
    )


def _seconds_an_image(training: Training, device: str) -> float:
    """Return what evaluating an image takes, over a few of them after a first one."""
    from semisweep.core.device import synchronise
    from semisweep.training.metric import evaluate
    from semisweep.training.trainer import SELECTION_PART

    dataset, protocol = training.dataset, training.trial.training.evaluation
    ids = dataset.part(SELECTION_PART)
    some = ids[:: max(1, len(ids) // PROBE_IMAGES)][:PROBE_IMAGES]
    evaluate(training.method, dataset, SELECTION_PART, protocol, device, ids=some[:1])
    synchronise(device)
    started = time.perf_counter()
    evaluate(training.method, dataset, SELECTION_PART, protocol, device, ids=some)
    synchronise(device)
    return (time.perf_counter() - started) / len(some)
