"""Files that are either whole or absent, however the writer dies, on disks and in object storage.

On a disk every file is written beside its place under a temporary name, brought to disk, and
renamed. A failed or killed writer leaves the old file as it was, and at worst a temporary that
nobody reads. An object is whole or absent by itself. All that a store does to its place is here, in
`semisweep.store.history_file`, and in reading a path's bytes.
"""

from __future__ import annotations

import errno
import io
import json
import math
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from semisweep.core.errors import StoreError
from semisweep.store.object_storage import ObjectEntry, ObjectPath

Location = Path | ObjectPath

TEMPORARY = ".tmp"
DEPTH = 60  # of JSON at most
# A trial's name, as `semisweep.store.trial_name` makes it.
_TRIAL = re.compile(r"[0-9a-f]{20}(-[0-9a-f]{8}){0,2}(-r\d+)?")

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
def writing(path: Location) -> Iterator[None]:
    """Turn an `OSError` of the body into a `StoreError` of one line that names `path`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        remedy = _REMEDIES.get(error.errno or 0)
        hint = f"; {remedy}" if remedy else ""
        raise StoreError(f"a store must be writable, got path={path}: {reason}{hint}") from error


@contextmanager
def replacing(
    path: Location, *, sync_content: bool = True, sync_name: bool = True
) -> Iterator[BinaryIO]:
    """Yield a binary file that takes the place of `path` when the body ends without an error.

    The folder is made where it is missing. Raises `StoreError` when the disk is full or read-only;
    the old file is then as it was.

    Content and name outlive a loss of power from then on. Without `sync_name` the name does from
    the next `sync_folder` on; without `sync_content` too, the file may be lost.
    """
    if isinstance(path, ObjectPath):
        whole = io.BytesIO()
        yield whole
        path.write_bytes(whole.getvalue())
        return
    with writing(path), temporary_beside(path) as temporary:
        with open(temporary, "xb") as file:
            yield file
            if sync_content:
                sync_file(file)
        os.replace(temporary, path)
        if sync_name:
            sync_folder(path.parent)


def write_and_name(
    folder: Location, start: str, write: Callable[[BinaryIO], str], *, sync_name: bool = True
) -> str:
    """Write a file under a name that is known when it is written; return the name.

    `write` gets a binary file and returns the name, which begins with `start`, as that of the
    temporary file does. Otherwise as `replacing`.
    """
    if isinstance(folder, ObjectPath):
        whole = io.BytesIO()
        name = write(whole)
        (folder / name).write_bytes(whole.getvalue())
        return name
    with writing(folder / start), temporary_beside(folder / start) as temporary:
        with open(temporary, "xb") as file:
            name = write(file)
            sync_file(file)
        os.replace(temporary, folder / name)
        if sync_name:
            sync_folder(folder)
    return name


def link(source: Location, target: Location) -> None:
    """Give a file a second name, in place of what had it; an object is copied by its storage."""
    if isinstance(source, ObjectPath) and isinstance(target, ObjectPath):
        source.copy(target)
        return
    assert isinstance(source, Path)
    assert isinstance(target, Path)
    with writing(target), temporary_beside(target) as temporary:
        os.link(source, temporary)
        os.replace(temporary, target)


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """Yield a new name in the folder of `path`, and remove what is left under it at the end.

    Raises `StoreError` for a path that names no file.
    """
    if not path.name:
        raise StoreError(f"a file to write must have a name, got path={str(path)!r}; name one")
    make_folder(path.parent)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(6)}{TEMPORARY}")
    try:
        yield temporary
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, so that they outlive a loss of power.

    Raises `StoreError` for a trial's in a store that has been moved away: it would make another.
    """
    if folder.is_dir():
        return
    root = folder.parent.parent
    if folder.parent.name == "trials" and _TRIAL.fullmatch(folder.name) and not root.is_dir():
        raise StoreError(
            f"a store must stay where it is while a sweep runs, got no store={root}; name it so "
            "again, or give the same command its new place"
        ) from FileNotFoundError(str(root))
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_file(file: BinaryIO) -> None:
    """Bring what was written to `file` to the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Location) -> None:
    """Bring names made, renamed or removed in `folder` to the disk, where its file system can."""
    if isinstance(folder, ObjectPath) or not folder.is_dir():
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def create(path: Location, data: bytes) -> bool:
    """Make a file, whole and durably, and return True; return False if there is one already.

    In object storage what different processes write must differ (see `ObjectPath.create`).
    """
    if isinstance(path, ObjectPath):
        return path.create(data)
    with writing(path), temporary_beside(path) as temporary:
        with open(temporary, "xb") as file:
            file.write(data)
            sync_file(file)
        is_first = _link(temporary, path)
        sync_folder(path.parent)
    return is_first


def write_json(path: Location, value: Mapping[str, Any], *, sync_name: bool = True) -> None:
    """Replace `path` by the JSON of `value`, in the order of its names; see `replacing`."""
    with replacing(path, sync_name=sync_name) as file:
        file.write((json.dumps(plain(value), indent=1, allow_nan=False) + "\n").encode())


def read(path: Location, *, most: int | None = None) -> bytes:
    """Return a file's content; raise `OSError`, or `StoreError` for a link or over `most` bytes.

    What a link leads to may lie outside the store, which may be a stranger's.
    """
    if isinstance(path, ObjectPath):
        data = path.read_bytes()
        _check_size(len(data), most, path)
        return data
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise StoreError(f"a file of a store must not be a link, got path={path}") from None
        raise
    with open(descriptor, "rb") as file:
        _check_size(os.fstat(descriptor).st_size, most, path)
        return file.read()


def _check_size(size: int, most: int | None, path: Location) -> None:
    if most is not None and size > most:
        raise StoreError(f"a file must have at most {most} bytes, got bytes={size}, path={path}")


def read_json(path: Location) -> dict[str, Any] | None:
    """Return what `write_json` wrote, or None without a file; raise `StoreError` when damaged."""
    try:
        value = json.loads(read(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(f"a store must be readable, got path={path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"a file of a store must be JSON, got path={path}: {error}") from error
    if not isinstance(value, dict):
        raise StoreError(f"a file of a store must hold a JSON object, got path={path}")
    if is_deep(value):
        raise StoreError(f"a file of a store must be nested {DEPTH} deep at most, got path={path}")
    return value


def is_deep(value: object) -> bool:
    """Return whether JSON is nested deeper than what a store writes, and recursion has room for."""
    level = [value]
    for _ in range(DEPTH):
        inner = [own for own in level if isinstance(own, dict | list)]
        level = [item for own in inner for item in (own.values() if type(own) is dict else own)]
    return any(isinstance(own, dict | list) for own in level)


def plain(value: Any) -> Any:
    """Return `value` as standard JSON can hold it: arrays unpacked, NaN and Inf as None."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def scan(folder: Location) -> list[os.DirEntry[str]] | list[ObjectEntry]:
    """Return the entries of a folder, none where it does not exist; raise `StoreError`.

    Links are none of them: what they lead to may lie outside the store.
    """
    if isinstance(folder, ObjectPath):
        return folder.children()
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.is_symlink()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StoreError(
            f"a store must be readable, got path={folder}: {error.strerror}"
        ) from error


def stamp(path: Location) -> tuple[int, int] | None:
    """Return a file's size and a number that changes when it does; None without a file.

    The number is the time of change in nanoseconds, or a digest of an object's time and content.
    """
    try:
        if isinstance(path, ObjectPath):
            found = path.stat()
            return found.st_size, found.version
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_size, status.st_mtime_ns


def below(folder: Location) -> dict[str, tuple[int, int]]:
    """Return the stamps of all files below a folder, at any depth, by names such as a/b."""
    if isinstance(folder, ObjectPath):
        return {name: (found.st_size, found.version) for name, found in folder.below().items()}
    found = {}
    for start, _, names in os.walk(folder):
        for name in names:
            path = Path(start) / name
            own = stamp(path)
            if own is not None:
                found[path.relative_to(folder).as_posix()] = own
    return found


def remove(folder: Location, unwanted: Callable[[str], bool]) -> None:
    """Remove the files of a folder whose names are unwanted."""
    with writing(folder):
        remove_all(folder, [entry.name for entry in scan(folder) if unwanted(entry.name)])


def remove_all(folder: Location, names: Sequence[str]) -> None:
    """Remove files below a folder by names such as a/b, if they are there."""
    if isinstance(folder, ObjectPath):
        folder.remove(names)
        return
    with writing(folder):
        for name in names:
            (folder / name).unlink(missing_ok=True)


def is_temporary(name: str) -> bool:
    """Return whether a file of this name was left half written, or is being written."""
    return name.endswith(TEMPORARY)


def _link(source: Path, target: Path) -> bool:
    """Give `source` a second name and return True; return False if `target` exists."""
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    except FileNotFoundError:  # whoever was first has removed all temporaries
        if target.exists():
            return False
        raise
    return True
