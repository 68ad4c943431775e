"""Files that are either whole or absent, however the writer dies.

Every file is written beside its place under a temporary name, brought to disk, and renamed. A
failed or killed writer leaves the old file as it was, and at worst a temporary that nobody reads.
"""

from __future__ import annotations

import errno
import json
import math
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from semisweep.errors import StoreError

TEMPORARY = ".tmp"

_REMEDIES = {
    errno.ENOSPC: "free some space and run again, nothing finished is lost",
    errno.EDQUOT: "free some space and run again, nothing finished is lost",
    errno.EROFS: "choose another folder",
    errno.EACCES: "choose another folder or mend its permissions",
    errno.EEXIST: "a file stands where a folder should",
    errno.ENOTDIR: "a file stands where a folder should",
    errno.EPERM: "choose a folder whose file system has hard links",
    errno.EOPNOTSUPP: "choose a folder whose file system has hard links",
}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an `OSError` of the body into a `StoreError` of one line that names `path`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        remedy = _REMEDIES.get(error.errno or 0)
        hint = f"; {remedy}" if remedy else ""
        raise StoreError(f"a store must be writable, got path={path}: {reason}{hint}") from error


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a binary file that takes the place of `path` when the body ends without an error.

    The folder is made where it is missing. Raises `StoreError` when the disk is full or read-only;
    the old file is then as it was.
    """
    with writing(path), temporary_beside(path) as temporary:
        with open(temporary, "xb") as file:
            yield file
            sync_file(file)
        os.replace(temporary, path)
        sync_folder(path.parent)


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """Yield a new name in the folder of `path`, and remove what is left under it at the end."""
    make_folder(path.parent)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(6)}{TEMPORARY}")
    try:
        yield temporary
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, so that they outlive a loss of power."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_file(file: BinaryIO) -> None:
    """Bring what was written to `file` to the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Bring names made, renamed or removed in `folder` to the disk, where its file system can."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace `path` by the JSON of `value`, in the order of its names."""
    with replacing(path) as file:
        file.write((json.dumps(plain(value), indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> dict[str, Any] | None:
    """Return what `write_json` wrote, or None without a file; raise `StoreError` when damaged."""
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(f"a store must be readable, got path={path}: {error.strerror}") from error
    except ValueError as error:
        raise StoreError(f"a file of a store must be JSON, got path={path}: {error}") from error
    if not isinstance(value, dict):
        raise StoreError(f"a file of a store must hold a JSON object, got path={path}")
    return value


def plain(value: Any) -> Any:
    """Return `value` as standard JSON can hold it: arrays unpacked, NaN and Inf as None."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def scan(folder: Path) -> list[os.DirEntry[str]]:
    """Return the entries of a folder, none where it does not exist; raise `StoreError`."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StoreError(
            f"a store must be readable, got path={folder}: {error.strerror}"
        ) from error


def remove(folder: Path, unwanted: Callable[[str], bool]) -> None:
    """Remove the files of a folder whose names are unwanted."""
    with writing(folder):
        for entry in scan(folder):
            if unwanted(entry.name):
                Path(entry.path).unlink(missing_ok=True)


def is_temporary(name: str) -> bool:
    """Return whether a file of this name was left half written, or is being written."""
    return name.endswith(TEMPORARY)
