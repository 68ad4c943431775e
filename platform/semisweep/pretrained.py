"""Pretrained weights of timm's backbones: a local file, the hub's cache, or the hub.

Without a network nothing waits: the error says at once which file of which repository to fetch and
how to point to it.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import Tensor

from semisweep.errors import ConfigError

ANSWER_SECONDS = 3.0
HUB_FILES = ("model.safetensors", "pytorch_model.bin")


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
    with located(path).open("rb") as file:
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


def fetch(backbone: str) -> str:
    """Return the path of the hub's file for a backbone, from its cache or downloaded."""
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError
    from timm.models import get_pretrained_cfg

    described = get_pretrained_cfg(backbone)
    if described is None or not described.hf_hub_id:
        raise ConfigError(
            f"no pretrained weights are known for backbone={backbone!r}; use "
            f"pretrained=false of that network, or weights=FILE, such as "
            f"--set config.network.weights=FILE"
        )
    repository, _, revision = str(described.hf_hub_id).partition("@")
    files = (described.hf_hub_filename,) if described.hf_hub_filename else HUB_FILES
    where: dict[str, Any] = {"repo_id": repository, "revision": revision or None}
    for file in files:
        cached = huggingface_hub.try_to_load_from_cache(filename=file, **where)
        if isinstance(cached, str):
            return cached
    if hub_answers(repository):
        for file in files:
            try:
                return str(huggingface_hub.hf_hub_download(filename=file, **where))
            except EntryNotFoundError:
                continue
            except (HfHubHTTPError, OSError):
                break
    raise ConfigError(
        f"pretrained weights of backbone={backbone!r} are neither in the hub's cache nor to be had "
        f"over the network; fetch {files[0]} of {repository} from {endpoint()}/{repository} and "
        f"set weights=FILE of that network, such as --set config.network.weights=FILE"
    )


def endpoint() -> str:
    """Return the address of the hub."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def hub_answers(repository: str) -> bool:
    """Return whether the hub answers within seconds; never where HF_HUB_OFFLINE is set."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return False
    asked = threading.Event()
    answers: list[int] = []

    def ask() -> None:
        address = f"{endpoint()}/api/models/{repository}"
        try:
            with urllib.request.urlopen(address, timeout=ANSWER_SECONDS) as answer:
                answers.append(answer.status)
        except (OSError, HTTPException):
            pass
        finally:
            asked.set()

    # In a thread, as looking up a host name takes no time limit.
    threading.Thread(target=ask, daemon=True).start()
    return asked.wait(ANSWER_SECONDS + 1) and bool(answers)
