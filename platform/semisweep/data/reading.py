"""Reading images, masks and lists from disk; what is wrong becomes one clear line."""

from __future__ import annotations

import struct
import zlib
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from semisweep.errors import DataError

Pixels = npt.NDArray[np.uint8]

IGNORE = 255
SUFFIXES = (".jpg", ".jpeg", ".png")
MASK_MODES = ("P", "L")

_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)


def read_image(path: Path) -> Pixels:
    """Return an image [H, W, 3]; raise `DataError` where it is missing or does not decode."""
    try:
        with Image.open(path) as opened:
            return np.asarray(opened.convert("RGB"))
    except _BROKEN as error:
        raise _unreadable("an image", path, error) from None


def read_size(path: Path) -> tuple[int, int]:
    """Return height and width of an image from its header alone."""
    try:
        with Image.open(path) as opened:
            return opened.height, opened.width
    except _BROKEN as error:
        raise _unreadable("an image", path, error) from None


def read_mask(path: Path, classes: int) -> Pixels:
    """Return a mask [H, W] of class indices below `classes`, or 255; raise `DataError`."""
    try:
        with Image.open(path) as opened:
            mode = opened.mode
            mask = np.asarray(opened)
    except _BROKEN as error:
        raise _unreadable("a mask", path, error) from None
    if mode not in MASK_MODES:
        raise DataError(
            f"a mask must hold one class index a pixel (PNG mode P or L), got mode={mode}, "
            f"file={path}; convert its colours to class indices"
        )
    wrong = mask[(mask >= classes) & (mask != IGNORE)]
    if wrong.size:
        raise DataError(
            f"a mask must hold class ids up to {classes - 1}, or {IGNORE} to ignore, "
            f"got id={wrong.max()} at {wrong.size} pixels, file={path}; "
            "correct the mask, or name the data set it belongs to"
        )
    return mask


def _unreadable(what: str, path: Path, error: Exception) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(
            f"{what} in a list must exist, missing file={path}; "
            "restore it or take its name off the lists"
        )
    reason = str(error).replace(f" {str(path)!r}", "").splitlines()
    return DataError(
        f"{what} must decode, got file={path} ({reason[0] if reason else type(error).__name__}); "
        "replace the file or take its name off the lists"
    )


def read_list(path: Path) -> tuple[str, ...]:
    """Return the image ids of a list file, in its order, duplicates kept.

    A line is a bare id, or the paths of an image and its mask; a byte order mark, carriage
    returns and blank lines are tolerated. Raises `DataError` where the file is missing or is not
    text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"a list of images must exist, missing file={path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"a list must be readable text, got file={path} ({error})") from None
    return tuple(_image_id(line) for line in text.splitlines() if line.strip())


def _image_id(line: str) -> str:
    name = line.split()[0].replace("\\", "/").rpartition("/")[2]
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def duplicates(ids: Iterable[str]) -> list[str]:
    """Return the ids that occur more than once, in the order of their second occurrence."""
    seen: set[str] = set()
    twice: dict[str, None] = {}
    for image_id in ids:
        if image_id in seen:
            twice[image_id] = None
        seen.add(image_id)
    return list(twice)


class PixelCache:
    """Decoded arrays by name, the least recently used ones dropped beyond `limit_bytes`."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._arrays: OrderedDict[tuple[str, str], Pixels] = OrderedDict()

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to other processes empty."""
        return PixelCache, (self.limit_bytes,)

    def get(self, name: tuple[str, str]) -> Pixels | None:
        """Return the array of that name, or None where it is not held."""
        if name not in self._arrays:
            return None
        self._arrays.move_to_end(name)
        return self._arrays[name]

    def put(self, name: tuple[str, str], pixels: Pixels) -> None:
        """Hold an array, unless it alone is larger than the limit."""
        if name in self._arrays or pixels.nbytes > self.limit_bytes:
            return
        self._arrays[name] = pixels
        self.used_bytes += pixels.nbytes
        while self.used_bytes > self.limit_bytes:
            self.used_bytes -= self._arrays.popitem(last=False)[1].nbytes
