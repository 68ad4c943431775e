"""The pretrained weights that studies start from: which there are, and fetching the others."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from semisweep.core.config import settings
from semisweep.core.errors import ConfigError
from semisweep.networks import pretrained
from semisweep.networks.network import NetworkConfig
from semisweep.training.trial import Trial


@dataclass(frozen=True)
class NeededWeights:
    """Weights that a network starts from: those of the hub, or the file that it names."""

    backbone: str
    file: str | None = None


@dataclass(frozen=True)
class FoundWeights:
    """Where wanted weights are on this machine; no path where they are not."""

    wanted: NeededWeights
    place: str
    path: Path | None

    @property
    def digest(self) -> str:
        """Return 20 hexadecimal digits of the SHA-256 of the file; "" without one."""
        return pretrained.file_digest(str(self.path)) if self.path else ""

    @property
    def bytes(self) -> int:
        """Return the size of the file; 0 without one."""
        return self.path.stat().st_size if self.path else 0


def needed_weights(trials: Iterable[Trial]) -> list[NeededWeights]:
    """Return the weights that the networks of trials start from, each once, by backbone."""
    networks = {
        value
        for trial in trials
        for _, value, _ in settings(trial.config)
        if isinstance(value, NetworkConfig) and (value.weights or value.pretrained)
    }
    found = {NeededWeights(network.backbone, network.weights) for network in networks}
    return sorted(found, key=lambda own: (own.backbone, own.file or ""))


def find_weights(wanted: NeededWeights, folder: Path | None = None) -> FoundWeights:
    """Return where weights are on this machine, without asking anybody; raise `ConfigError`.

    A file that is there is read: one that holds no tensors of the backbone is refused by name.
    """
    if wanted.file is not None:
        found = FoundWeights(wanted, "the file named", pretrained.located(wanted.file))
    elif local := pretrained.local_file(wanted.backbone, folder):
        found = FoundWeights(wanted, "local folder", local)
    elif cached := pretrained.cached_file(wanted.backbone):
        found = FoundWeights(wanted, "hub's cache", cached)
    else:
        return FoundWeights(wanted, "", None)
    pretrained.read(str(found.path), wanted.backbone)
    return found


def fetch_missing(
    wanted: Iterable[NeededWeights], folder: Path | None = None
) -> Iterator[FoundWeights]:
    """Yield where weights are after those that are missing have been downloaded.

    With a folder, what is in the hub's cache is copied there as well. The hub is asked once whether
    it answers; raises `ConfigError` that names all that is missing where it does not.
    """
    here = [find_weights(own, folder) for own in wanted]
    missing = [own.wanted.backbone for own in here if own.path is None]
    if missing and not pretrained.hub_answers(pretrained.hub_files(missing[0]).repository):
        raise pretrained.unavailable(missing)
    for own in here:
        path, place = own.path, own.place
        if path is None:
            path, place = pretrained.download(own.wanted.backbone), "hub's cache"
            if path is None:
                raise pretrained.unavailable([own.wanted.backbone])
        if folder is not None and place == "hub's cache":
            path, place = _copied(path, own.wanted.backbone, folder), "local folder"
        yield (
            find_weights(own.wanted, folder)
            if own.path is None
            else FoundWeights(own.wanted, place, path)
        )


def _copied(file: Path, backbone: str, folder: Path) -> Path:
    target = folder / f"{backbone}{file.suffix}"
    part = folder / f".{target.name}.{uuid.uuid4().hex}"
    try:
        shutil.copyfile(file, part)
        os.replace(part, target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ConfigError(
            f"the folder of weights must take another file, got file={target} "
            f"({error.strerror}); make room, or name another folder"
        ) from None
    return target
