"""A finished trial's kept weights, and the method they belong to, ready to predict."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from semisweep.core.config import is_configuration, replace, settings
from semisweep.core.errors import StoreError
from semisweep.store import checkpoint_file
from semisweep.store.trial_folder import TrialFolder

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from semisweep.data.base import DataSet
    from semisweep.study.request import Roots
    from semisweep.training.method import Method
    from semisweep.training.trial import Trial


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
            f"kept={', '.join(sorted(kept)) or 'none'}; semisweep gc may have freed them"
        )
    return found[0]


def opened_trial(folder: TrialFolder, roots: Roots) -> tuple[Trial, DataSet]:
    """Return a trial and its data set, from what its folder says of it."""
    from semisweep.data.registry import open_dataset
    from semisweep.training.trial import decode_trial

    trial = decode_trial(folder.description().trial)
    return trial, open_dataset(trial.data.name, roots.of(trial.data.name))


def rebuild(
    trial: Trial, classes: int, file: checkpoint_file.CheckpointFile, device: str
) -> Method:
    """Return a trial's method with kept weights, in evaluation mode; raise `StoreError`.

    Pretrained weights are not looked for: all of them would be replaced.
    """
    import torch

    from semisweep.training.precision import set_switches
    from semisweep.training.trainer import from_bytes
    from semisweep.training.trial import method_class

    data = file.read()
    if data is None:
        raise StoreError(f"weights must match their checksum, got path={file.path}")
    config = replace(trial.config, dict(_random_weights(trial.config)))
    method = method_class(trial.method)(config, classes, trial.seed)
    try:
        method.load_state_dict(from_bytes(data))
    except RuntimeError as error:
        raise StoreError(
            f"weights must fit the method that they are of, got path={file.path}, "
            f"method={trial.method}: {' '.join(str(error).split())[:200]}; "
            "use the version of the method that was trained"
        ) from None
    set_switches(trial.training.precision, device)
    method.to(device)
    method.to(memory_format=torch.channels_last)  # as in training, for the same rounding
    return method.eval()


def _random_weights(config: DataclassInstance, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield the changes with which the networks of a configuration start from random weights."""
    from semisweep.networks.network import NetworkConfig

    for name, value, _ in settings(config):
        if isinstance(value, NetworkConfig):
            yield from ((f"{prefix}{name}.pretrained", False), (f"{prefix}{name}.weights", None))
        elif is_configuration(value):
            yield from _random_weights(value, f"{prefix}{name}.")
