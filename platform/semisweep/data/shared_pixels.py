"""Decoded images and masks in memory that a process shares with the processes that it forks.

The memory has no name: it is gone with the last process that holds it, however that ends.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np

from semisweep.data.base import CACHE_BYTES, DataSet
from semisweep.data.reading import Decoded, PixelCache, Pixels

SHARE = 16  # one part in so many of the memory that is available; a machine may have several slots
SMALLEST_BYTES = 64 * 2**20
SHAPE = np.dtype("<i8")
MEMINFO = Path("/proc/meminfo")
CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")

_OF_DATA_SETS: WeakKeyDictionary[DataSet, SharedPixels] = WeakKeyDictionary()


class SharedPixels:
    """A cache of arrays under names that are known before, in `limit_bytes` of memory.

    What does not fit is not held, and nothing is dropped: every image is as likely to be wanted
    next. Memory is taken as it is filled. A process must use it from one thread. Raises `OSError`
    where the system does not give such memory.
    """

    def __init__(self, names: Sequence[tuple[str, str]], limit_bytes: int) -> None:
        self._numbers = {name: number for number, name in enumerate(names, start=1)}
        start = SHAPE.itemsize * (len(names) + 1)
        self._file = os.memfd_create("semisweep-pixels")
        try:
            os.ftruncate(self._file, start + limit_bytes)
            self._memory = mmap.mmap(self._file, start + limit_bytes)
        except (OSError, ValueError):
            os.close(self._file)
            raise
        # Where each array starts, 0 where it is not held; first, where the next one will.
        self._places = np.frombuffer(self._memory, SHAPE, len(names) + 1)
        self._places[0] = start

    def __del__(self) -> None:
        if hasattr(self, "_places"):
            os.close(self._file)

    def __reduce__(self) -> tuple[type[PixelCache], tuple[int]]:
        """Travel to processes that are not forked as a cache of their own, empty."""
        return PixelCache, (CACHE_BYTES,)

    @property
    def used_bytes(self) -> int:
        """Return how much memory is taken."""
        return int(self._places[0])

    def get(self, name: tuple[str, str]) -> Pixels | None:
        """Return the array of that name, which cannot be written to, or None where it has none."""
        number = self._numbers.get(name)
        if number is None:
            return None
        with self._locked():  # so that the pixels were written before their place
            place = int(self._places[number])
        if not place:
            return None
        dimensions, *shape = np.frombuffer(self._memory, SHAPE, 4, place).tolist()
        shape = shape[:dimensions]
        count = int(np.prod(shape))
        pixels = np.frombuffer(self._memory, np.uint8, count, place + 4 * SHAPE.itemsize)
        pixels.flags.writeable = False
        return pixels.reshape(shape)

    def put(self, name: tuple[str, str], decoded: Decoded) -> None:
        """Hold a mask [H, W] or an image [H, W, 3] where there is room for it."""
        number = self._numbers.get(name)
        if number is None:
            return
        pixels = np.asarray(decoded)
        header = np.zeros(4, dtype=SHAPE)
        header[: 1 + pixels.ndim] = pixels.ndim, *pixels.shape
        size = header.nbytes + -(-pixels.nbytes // SHAPE.itemsize) * SHAPE.itemsize
        with self._locked():
            place = int(self._places[0])
            if self._places[number] or place + size > len(self._memory):
                return
            self._places[0] = place + size
        first = place + header.nbytes
        self._memory[place:first] = header.tobytes()
        self._memory[first : first + pixels.nbytes] = pixels.tobytes()
        with self._locked():
            self._places[number] = place

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes out; one that is killed does so no longer."""
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)


def shared_pixels(dataset: DataSet) -> SharedPixels | None:
    """Return the shared memory of a data set's training images, one as long as it lives.

    None where memory is short, or the system has none of this kind.
    """
    if dataset not in _OF_DATA_SETS:
        limit = available_memory() // SHARE
        if limit < SMALLEST_BYTES or not hasattr(os, "memfd_create"):
            return None
        names = [(kind, own) for kind in ("image", "mask") for own in dataset.part("train")]
        try:
            _OF_DATA_SETS[dataset] = SharedPixels(names, limit)
        except (OSError, ValueError):
            return None
    return _OF_DATA_SETS[dataset]


def available_memory() -> int:
    """Return the bytes of memory that are available, at most a container's limit; 0: unknown."""
    try:
        lines = MEMINFO.read_text().splitlines()
        (found,) = (line.split()[1] for line in lines if line.startswith("MemAvailable:"))
        available = int(found) * 1024
    except (OSError, ValueError):
        return 0
    return min([available, *_container_limits()])


def _container_limits() -> Iterator[int]:
    """Yield the limits of memory of this process' control group and of those around it."""
    try:
        lines = OWN_CGROUP.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        home = CGROUPS / controllers
        name = "memory.limit_in_bytes" if controllers else "memory.max"
        own = home / path.lstrip("/")
        for group in (own, *own.parents):
            if group.is_relative_to(home):
                with suppress(OSError, ValueError):  # "max" is no limit
                    yield int((group / name).read_text())
