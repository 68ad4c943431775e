"""Pretrained weights of timm's backbones: a local file, the hub's cache, or the hub.

$SEMISWEEP_WEIGHTS may name a folder of files BACKBONE.safetensors (or .bin, .pth, .pt), which go
before the hub's. Without a network nothing waits: the error says at once which file of which
repository to fetch and how to point to it.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from semisweep.core import background
from semisweep.core.errors import ConfigError

ANSWER_SECONDS = 3.0
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
FOLDER_VARIABLE = "SEMISWEEP_WEIGHTS"
SUFFIXES = (".safetensors", ".bin", ".pth", ".pt")


def located(path: str) -> Path:
    """Return the file that `path` names: a file, or package:file for one that a package ships.

    The second is the same text on every machine. Raises `ConfigError` where there is no such file.
    """
    file = Path(path)
    package, colon, name = path.partition(":")
    if colon and not file.is_file() and all(part.isidentifier() for part in package.split(".")):
        specification = find_spec(package.partition(".")[0])
        if specification is not None and specification.origin is not None:
            folder = Path(specification.origin).parent.joinpath(*package.split(".")[1:])
            file = folder / name
    if not file.is_file():
        raise ConfigError(f"weights must be an existing file, got weights={path!r}")
    return file


def file_digest(path: str) -> str:
    """Return 20 hexadecimal digits of the SHA-256 of a file's content."""
    file = located(path)
    status = file.stat()
    return _digest(file.absolute(), status.st_size, status.st_mtime_ns)


@cache
def _digest(path: Path, size: int, changed_nanoseconds: int) -> str:
    """Return the digest of a file as it is by its size and time of change."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:20]


def read(path: str, backbone: str) -> dict[str, Tensor]:
    """Return a backbone's weights by name, from a torch or safetensors file; no classifier.

    Never unpickles code. Raises `ConfigError` for a file that holds no tensors by name.
    """
    from safetensors import SafetensorError
    from timm.models import get_pretrained_cfg, load_state_dict

    file = located(path)
    try:
        weights = load_state_dict(str(file), weights_only=True)
        names = [name for name, value in weights.items() if isinstance(value, Tensor)]
    except (
        AttributeError,
        EOFError,
        KeyError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
        pickle.UnpicklingError,
        SafetensorError,
    ) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            f"weights must be a safetensors file or a torch file of tensors by name, "
            f"got weights={path!r}: {reason}"
        ) from None
    described = get_pretrained_cfg(backbone)
    classifier = (described.classifier if described is not None else None) or ()
    heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    prefixes = tuple(f"{head}." for head in heads)
    kept = {name: weights[name] for name in names if not name.startswith(prefixes)}
    if not kept:  # timm would take no weights for none given, and turn to the hub
        raise ConfigError(
            f"weights must hold the backbone's parameters, got weights={path!r} with none, "
            f"backbone={backbone!r}"
        )
    return kept


@contextmanager
def named(path: str | None, backbone: str) -> Iterator[None]:
    """Turn torch's refusal of weights inside the block into a `ConfigError` that names the file."""
    try:
        yield
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        detail = lines[1] if len(lines) > 1 else lines[0]
        raise ConfigError(
            f"weights must hold the backbone's parameters and no others, got "
            f"weights={path or 'those of the hub'!r}, backbone={backbone!r}: {detail[:300]}"
        ) from None


class HubFiles(NamedTuple):
    """Where the hub keeps a backbone's weights: the first of the files that is there."""

    repository: str
    revision: str | None
    files: tuple[str, ...]


def hub_files(backbone: str) -> HubFiles:
    """Return where the hub keeps a backbone's weights; raise `ConfigError` where it has none."""
    from timm.models import get_pretrained_cfg

    described = get_pretrained_cfg(backbone)
    if described is None or not described.hf_hub_id:
        raise ConfigError(
            f"no pretrained weights are known for backbone={backbone!r}; use "
            f"pretrained=false of that network, or weights=FILE, such as "
            f"--set config.network.weights=FILE"
        )
    repository, _, revision = str(described.hf_hub_id).partition("@")
    files = (str(described.hf_hub_filename),) if described.hf_hub_filename else HUB_FILES
    return HubFiles(repository, revision or None, files)


def local_file(backbone: str, folder: Path | None = None) -> Path | None:
    """Return a backbone's file in a folder, by default that of $SEMISWEEP_WEIGHTS; None without."""
    named = os.environ.get(FOLDER_VARIABLE)
    place = folder or (Path(named) if named else None)
    if place is None:
        return None
    if not place.is_dir():
        raise ConfigError(
            f"the folder of weights must exist, got folder={place} "
            f"(--weights-dir or ${FOLDER_VARIABLE}); make it or leave it out"
        )
    files = (place / f"{backbone}{suffix}" for suffix in SUFFIXES)
    return next((file for file in files if file.is_file()), None)


def cached_file(backbone: str) -> Path | None:
    """Return a backbone's file in the hub's cache on this machine, None without; asks nobody."""
    import huggingface_hub

    repository, revision, files = hub_files(backbone)
    for file in files:
        cached = huggingface_hub.try_to_load_from_cache(
            repo_id=repository, filename=file, revision=revision
        )
        if isinstance(cached, str):
            return Path(cached)
    return None


def fetch(backbone: str) -> str:
    """Return the path of a backbone's file: a local one, the hub's cached, or downloaded.

    Raises `ConfigError` where it is nowhere to be had.
    """
    here = local_file(backbone) or cached_file(backbone)
    if here is not None:
        return str(here)
    repository = hub_files(backbone).repository
    found = download(backbone) if hub_answers(repository) else None
    if found is None:
        raise unavailable([backbone])
    return str(found)


def download(backbone: str) -> Path | None:
    """Return a backbone's file from the hub, kept in its cache; None where the hub has it not."""
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    repository, revision, files = hub_files(backbone)
    for file in files:
        try:
            return Path(
                huggingface_hub.hf_hub_download(
                    repo_id=repository, filename=file, revision=revision
                )
            )
        except EntryNotFoundError:
            continue
        except (HfHubHTTPError, OSError):
            break
    return None


def unavailable(backbones: Sequence[str]) -> ConfigError:
    """Return the error that names what to fetch for backbones whose weights cannot be had."""
    places = []
    for backbone in backbones:
        repository, _, files = hub_files(backbone)
        places.append(f"{files[0]} of {repository} from {endpoint()}/{repository}")
    names = ", ".join(map(repr, backbones))
    return ConfigError(
        f"pretrained weights of backbone={names} are neither in the hub's cache nor to be had "
        f"over the network; fetch {', '.join(places)} and set weights=FILE of that network, such "
        f"as --set config.network.weights=FILE, or put it into a folder as "
        f"{backbones[0]}{Path(hub_files(backbones[0]).files[0]).suffix} and set "
        f"{FOLDER_VARIABLE} to that folder"
    )


def endpoint() -> str:
    """Return the address of the hub."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def hub_answers(repository: str) -> bool:
    """Return whether the hub answers within seconds; never where HF_HUB_OFFLINE is set."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return False
    answers: list[int] = []
    problems: list[BaseException] = []

    def ask() -> None:
        address = f"{endpoint()}/api/models/{repository}"
        with (
            suppress(OSError, HTTPException),
            urllib.request.urlopen(address, timeout=ANSWER_SECONDS) as answer,
        ):
            answers.append(answer.status)

    # In a thread, as looking up a host name takes no time limit.
    background.start(ask, name="hub", on_error=problems.append).join(ANSWER_SECONDS + 1)
    if problems:
        raise problems[0]
    return bool(answers)
