"""The kernel's locks: a right that one process holds, and that is free when the process is dead."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from semisweep.store import files

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)


def are_possible(folder: Path) -> bool:
    """Return whether the file system of a folder that exists has locks."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return False
        raise
    finally:
        os.close(descriptor)
    return True


@contextmanager
def held(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold the lock that `path` stands for and yield True; yield False where another has it.

    With `wait`, wait for it instead. The kernel frees it when this process and those it forked
    meanwhile are dead.
    """
    with files.writing(path.parent):
        files.make_folder(path.parent)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        is_ours = True
        with files.writing(path.parent):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                is_ours = False
        yield is_ours
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Return whether some process holds the lock that `path` stands for; asking writes nothing."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:  # nobody has ever asked for it, or none may look
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
