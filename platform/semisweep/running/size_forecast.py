"""What trials take on disk and in memory, from their numbers of parameters, before any has run.

Methods are built without memory for their weights. What passes forward and backward need besides,
which is most of a GPU's memory, depends on crops and batches: it is known when it was measured.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from semisweep.core.cache_folder import cache_folder
from semisweep.core.config import digest
from semisweep.core.provenance import LIBRARIES, version
from semisweep.core.training_code import training_code
from semisweep.evaluation.kept_weights import untrained
from semisweep.running.job_sources import Reads
from semisweep.store.trial_folder import CHECKPOINTS_KEPT
from semisweep.training.trial import OptimizerConfig, Trial

if TYPE_CHECKING:
    from torch import nn


FORMAT = 1
REMEMBERED = "sizes.jsonl"  # in the user's cache folder, a line a kind of trial


@dataclass(frozen=True, kw_only=True)
class TrialSize:
    """What a trial takes, in bytes."""

    kept: int  # on disk, when it has finished
    checkpoint: int  # of one, on disk or in memory
    weights: int  # parameters and buffers of all networks
    gradients: int
    optimizer: int

    @property
    def resident(self) -> int:
        """Memory of the device that holds what outlives a step, gradients included."""
        return self.weights + self.gradients + self.optimizer

    @property
    def in_training(self) -> int:
        """Disk of a trial in training: its checkpoints, one more being written, and its weights."""
        return (CHECKPOINTS_KEPT + 1) * self.checkpoint + CHECKPOINTS_KEPT * self.kept


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What some trials take, in bytes; memory is that of the largest."""

    trials: int
    together: int  # in training at a time
    kept: int
    in_training: int
    host: int  # memory beside a GPU: a checkpoint that is being written
    resident: int
    weights: int
    gradients: int
    optimizer: int

    @property
    def disk(self) -> int:
        """The most that is on disk at a time."""
        return self.kept + self.in_training


def size_of(trial: Trial, classes: int, choice: str, reads: Reads) -> TrialSize:
    """Return what a trial takes that keeps its weights by a choice of `semisweep run --keep`."""
    import torch

    from semisweep.training.kept_state import keep_for, kept_state, state_bytes

    with torch.device("meta"):
        method = untrained(trial, classes)
    keep = keep_for(method, choice, reads.weights, labels=reads.labels)
    weights = state_bytes(method.state_dict())
    gradients = optimizer = 0
    for name, modules in method.groups().items():
        own = trial.training.group_optimizers.get(name, trial.training.optimizer)
        trained = _trained_bytes(modules)
        gradients += trained
        optimizer += _copies(own) * trained
    return TrialSize(
        kept=len(keep.names) * state_bytes(kept_state(method, whole=keep.whole)),
        checkpoint=weights + optimizer,
        weights=weights,
        gradients=gradients,
        optimizer=optimizer,
    )


def sizes_of(
    trials: Iterable[tuple[Trial, int, Reads]], choice: str, together: int
) -> Sizes | None:
    """Return what trials take of which so many train at a time; None of no trials.

    Each comes with its number of classes and what tables read of it.
    """
    known = _remembered()
    sizes = []
    for trial, classes, reads in trials:
        likeness = _likeness(trial, classes, reads, choice)
        if likeness not in known:
            known[likeness] = size_of(trial, classes, choice, reads)
            _remember(likeness, known[likeness])
        sizes.append(known[likeness])
    if not sizes:
        return None
    largest = max(sizes, key=lambda size: size.resident)
    together = min(together, len(sizes))
    running = sorted((size.in_training for size in sizes), reverse=True)[:together]
    return Sizes(
        trials=len(sizes),
        together=together,
        kept=sum(size.kept for size in sizes),
        in_training=sum(running),
        host=max(size.checkpoint for size in sizes),
        resident=largest.resident,
        weights=largest.weights,
        gradients=largest.gradients,
        optimizer=largest.optimizer,
    )


def size_lines(sizes: Sizes, device: str) -> list[str]:
    """Return what some trials take, for people."""
    parts = (
        f"weights {_gib(sizes.weights)}, gradients {_gib(sizes.gradients)}, "
        f"optimizer {_gib(sizes.optimizer)}"
    )
    snapshot = f"a checkpoint on its way to the disk {_gib(sizes.host)}"
    on_gpu = device != "cpu"
    disk = (
        f"kept by {sizes.trials} trials when finished {_gib(sizes.kept)}, "
        f"of {sizes.together} in training {_gib(sizes.in_training)}"
    )
    total = sizes.resident + (0 if on_gpu else sizes.host)
    lines = [
        "from the numbers of parameters, GiB:",
        f"  {'disk':30} {_gib(sizes.disk):>8}  {disk}",
        f"  {'GPU memory of a process' if on_gpu else 'memory of a process':30} "
        f"{_gib(total):>8}  {parts if on_gpu else f'{parts}, {snapshot}'}; "
        "activations come on top",
    ]
    if on_gpu:
        lines.append(f"  {'host memory of a process':30} {_gib(sizes.host):>8}  {snapshot}")
    return lines


def _gib(count: float) -> str:
    return f"{count / 2**30:.3g}"


def _copies(config: OptimizerConfig) -> int:
    """Return how many numbers an optimizer remembers for each parameter."""
    return 2 if config.name == "adamw" else int(config.momentum > 0)


def _trained_bytes(modules: Iterable[nn.Module]) -> int:
    found = {id(own): own for module in modules for own in module.parameters() if own.requires_grad}
    return sum(own.numel() * own.element_size() for own in found.values())


def _likeness(trial: Trial, classes: int, reads: Reads, choice: str) -> str:
    """Return a digest that is equal for trials of equal sizes: rates and weights do not matter.

    It is of the code and of the libraries, too: what was found out is remembered.
    """
    whole = trial.encoded()
    training = trial.training
    optimizers = {"": training.optimizer, **training.group_optimizers}
    copies = {name: _copies(own) for name, own in optimizers.items()}
    code = training_code(trial.method) or os.getpid()  # of a method that no file holds: known here
    libraries = [version(name) for name in LIBRARIES]
    own = [trial.method, _coarse(whole["config"]), copies, classes, list(reads), choice]
    return digest([FORMAT, *own, code, *libraries])


def _remembered() -> dict[str, TrialSize]:
    """Return the sizes that earlier forecasts on this machine have found, by likeness."""
    found: dict[str, TrialSize] = {}
    with suppress(OSError, UnicodeDecodeError):
        for line in (cache_folder() / REMEMBERED).read_text(encoding="utf-8").splitlines():
            with suppress(ValueError, TypeError, AttributeError):  # torn
                likeness, numbers = json.loads(line)
                found[str(likeness)] = TrialSize(**{name: int(n) for name, n in numbers.items()})
    return found


def _remember(likeness: str, size: TrialSize) -> None:
    path = cache_folder() / REMEMBERED
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write("\n" + json.dumps([likeness, vars(size)]))


def _coarse(value: object) -> object:
    """Return a configuration in which a number that is no count is only zero or not."""
    if isinstance(value, Mapping):
        return {str(name): _coarse(own) for name, own in value.items()}
    return bool(value) if isinstance(value, float) else value
