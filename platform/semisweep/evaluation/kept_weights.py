"""A finished trial's kept weights, and the method they belong to, ready to predict."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from semisweep.core.errors import StoreError
from semisweep.evaluation.named_code import check_may_run
from semisweep.store import checkpoint_file
from semisweep.store.trial_folder import TrialFolder

if TYPE_CHECKING:
    from torch import Tensor

    from semisweep.data.base import DataSet
    from semisweep.study.data_roots import Roots
    from semisweep.training.method import Method
    from semisweep.training.trial import Trial

# What torch raises for bytes that are no tensors and plain values; it runs none of them.
UNREADABLE = (
    AttributeError, EOFError, IndexError, KeyError, OSError, pickle.UnpicklingError, RuntimeError,
    TypeError, ValueError,
)  # fmt: skip


def kept_names(folder: TrialFolder, names: Sequence[str]) -> list[str]:
    """Return which of some names a trial has weights under, in order; the first where none."""
    kept = {file.stem for file in checkpoint_file.find(folder.states)}
    return [name for name in names if f"weights-{name}" in kept] or [names[0]]


def weights_file(folder: TrialFolder, name: str) -> checkpoint_file.CheckpointFile:
    """Return the file of a finished trial's newest weights of a name; raise `StoreError`."""
    if not folder.finished:
        raise StoreError(
            f"a trial must have finished to be evaluated, got key={folder.key}; "
            "semisweep run goes on with it"
        )
    found = checkpoint_file.find(folder.states, f"weights-{name}")
    if not found:
        kept = {file.stem.partition("-")[2] for file in checkpoint_file.find(folder.states)}
        raise StoreError(
            f"weights must have been kept to be read, got weights={name}, key={folder.key}, "
            f"kept={', '.join(sorted(kept)) or 'none'}; semisweep gc may have freed "
            "them, and run --keep says which are kept"
        )
    return found[0]


def opened_trial(folder: TrialFolder, roots: Roots) -> tuple[Trial, DataSet]:
    """Return a trial and its data set, from what its folder says of it."""
    from semisweep.data.registry import open_dataset
    from semisweep.training.trial import decode_trial

    described = folder.description().trial
    check_may_run(folder, str(described.get("method", "")))
    trial = decode_trial(described)
    return trial, open_dataset(trial.data.name, roots.of(trial.data.name))


def rebuild(
    trial: Trial,
    classes: int,
    file: checkpoint_file.CheckpointFile,
    device: str,
    *,
    whole: bool = False,
) -> Method:
    """Return a trial's method with kept weights, in evaluation mode; raise `StoreError`.

    It can predict; whatever else its networks are for needs `whole`, which raises `StoreError`
    where not all of them were kept. Pretrained weights are not looked for: what counts of them
    would be replaced.
    """
    data = file.read()
    if data is None:
        raise StoreError(f"weights must match their checksum, got path={file.path}")
    return rebuilt(trial, classes, data, f"path={file.path}", device, whole=whole)


def rebuilt(
    trial: Trial, classes: int, data: bytes, source: str, device: str, *, whole: bool = False
) -> Method:
    """Return what `rebuild` does, of the bytes of weights; `source` tells errors where from."""
    import torch

    from semisweep.training.kept_state import load_kept
    from semisweep.training.precision import set_switches

    method = untrained(trial, classes)
    load_kept(method, _tensors(data, source), source, whole=whole)
    set_switches(trial.training.precision, device)
    method.to(device)
    method.to(memory_format=torch.channels_last)  # as in training, for the same rounding
    return method.eval()


def _tensors(data: bytes, source: str) -> dict[str, Tensor]:
    """Return tensors by name; raise `StoreError` for bytes that hold anything else."""
    from torch import Tensor

    from semisweep.training.trainer import from_bytes

    try:
        state: object = from_bytes(data)
    except UNREADABLE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise StoreError(f"weights must be readable, got {source}: {reason:.120}") from None
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise StoreError(f"weights must be tensors by name, got {source}")
    return dict(state)


def untrained(trial: Trial, classes: int) -> Method:
    """Return a trial's method with random weights in place of pretrained ones."""
    from semisweep.networks.network import without_weights
    from semisweep.training.trial import method_class

    with without_weights():
        return method_class(trial.method)(trial.config, classes, trial.seed)
