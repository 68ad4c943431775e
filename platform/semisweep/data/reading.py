"""Reading images, masks and lists from disk; what is wrong becomes one clear line."""

from __future__ import annotations

import struct
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from semisweep.core.errors import DataError

Pixels = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]
Colours = tuple[tuple[int, Colour], ...]  # by index
Decoded = Image.Image | Pixels

IGNORE = 255
SUFFIXES = (".jpg", ".jpeg", ".png")
CITYSCAPES_SUFFIX = "_leftImg8bit"  # of its images, and no part of an id: masks lack it
MASK_MODES = ("P", "L")
ORIENTATION = 0x0112  # a tag of EXIF
DEEP_MODES = ("I", "F")  # 16 or 32 bits a pixel
PAGED = ("TIFF", "GIF", "PNG", "WEBP")  # formats whose files may hold several pictures
PICTURE_PIXEL_BYTES = 4  # of PIL's own RGB

_BROKEN = (
    *(OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error),
    Image.DecompressionBombError,
)


def read_image(path: Path, page: int | None = None) -> Pixels:
    """Return an image [H, W, 3]; raise `DataError` where it is missing or does not decode.

    `page`: which image of a file of many, which is refused without. More than 8 bits a channel
    are refused, as their range is unknown.
    """
    return np.asarray(read_picture(path, page))


def read_picture(path: Path, page: int | None = None) -> Image.Image:
    """Return an image as `read_image`, in mode RGB as PIL has decoded it: without a copy."""
    try:
        with Image.open(path) as opened:
            _turn_to(opened, page, path)
            mode = opened.mode
            if not mode.startswith(DEEP_MODES):
                if mode != "RGB":
                    return opened.convert("RGB")
                opened.load()
                return opened
    except _BROKEN as error:
        raise _unreadable("an image", path, error) from None
    raise DataError(
        f"an image must have 8 bits a channel, got mode={mode}, file={path}; convert it"
    )


def _turn_to(opened: Image.Image, page: int | None, path: Path) -> None:
    """Turn to a page; without one there must be one alone. Raises `DataError`."""
    if page is not None:
        opened.seek(page)
    elif opened.format in PAGED and (pages := getattr(opened, "n_frames", 1)) > 1:
        raise DataError(
            f"a file must hold one picture, got pages={pages}, file={path}; "
            "write each page to a file of its own"
        )


def decoded_size(decoded: Decoded) -> tuple[int, int]:
    """Return height and width."""
    if isinstance(decoded, Image.Image):
        return decoded.height, decoded.width
    return decoded.shape[0], decoded.shape[1]


def read_size(path: Path, page: int = 0) -> tuple[int, int]:
    """Return height and width of an image from its header alone."""
    try:
        with Image.open(path) as opened:
            opened.seek(page)
            return opened.height, opened.width
    except _BROKEN as error:
        raise _unreadable("an image", path, error) from None


def read_orientation(path: Path) -> int:
    """Return the EXIF orientation of an image, 1 where it has none or is upright."""
    try:
        with Image.open(path) as opened:
            return int(opened.getexif().get(ORIENTATION, 1))
    except _BROKEN as error:
        raise _unreadable("an image", path, error) from None


def read_pages(path: Path) -> int:
    """Return how many images a file holds: 1, but for a TIFF of many."""
    try:
        with Image.open(path) as opened:
            return int(getattr(opened, "n_frames", 1))
    except _BROKEN as error:
        raise _unreadable("a stack of images", path, error) from None


def read_mask(path: Path, classes: int, palette: Sequence[Colour] = ()) -> Pixels:
    """Return a mask [H, W] of class indices below `classes`, or 255; raise `DataError`.

    Where the colours of the classes are given, a mask that has a palette must have them, or greys:
    the indices of any other palette may stand for other classes.
    """
    values, colours = _read_indices(path)
    if colours is not None and palette:
        _check_palette(values, colours, palette, path)
    return check_classes(values, classes, path)


def read_values(path: Path, page: int | None = None) -> Pixels:
    """Return the values [H, W] of a mask as they stand in its file; raise `DataError`."""
    return _read_indices(path, page)[0]


def read_colours(path: Path) -> Colours:
    """Return the colours that a mask's palette gives to the indices it shows.

    Nothing where it has no palette, or one of greys; raises `DataError`.
    """
    values, palette = _read_indices(path)
    if palette is None:
        return ()
    used = np.flatnonzero(np.bincount(values.ravel(), minlength=256)[: len(palette)]).tolist()
    found = tuple((index, _colour(palette[index])) for index in used)
    return () if all(len(set(colour)) == 1 for _, colour in found) else found


def _colour(values: Pixels) -> Colour:
    red, green, blue = values.tolist()
    return red, green, blue


def _read_indices(path: Path, page: int | None = None) -> tuple[Pixels, Pixels | None]:
    """Return the values [H, W] of a mask and its palette [N, 3], None where it has none."""
    try:
        with Image.open(path) as opened:
            _turn_to(opened, page, path)
            mode = opened.mode
            if mode in MASK_MODES:
                values = np.asarray(opened)
                palette = opened.getpalette("RGB") if mode == "P" else None
                colours = np.array(palette, dtype=np.uint8).reshape(-1, 3) if palette else None
                return values, colours
    except _BROKEN as error:
        raise _unreadable("a mask", path, error) from None
    remedy = "its 16 bits" if mode.startswith(DEEP_MODES) else "its colours"
    raise DataError(
        f"a mask must hold one class index a pixel (PNG mode P or L), got mode={mode}, "
        f"file={path}; convert {remedy} to class indices"
    )


def _check_palette(values: Pixels, colours: Pixels, palette: Sequence[Colour], path: Path) -> None:
    count = min(len(palette), len(colours))
    wanted_colours, greys = np.array(palette[:count]), np.arange(count)[:, None]
    first = colours[:count]
    strange = (first != wanted_colours).any(axis=1) & (first != greys).any(axis=1)
    if not strange.any():
        return
    used = np.flatnonzero(np.bincount(values.ravel(), minlength=256))
    for index in used[used < count].tolist():
        found, wanted = tuple(colours[index].tolist()), tuple(palette[index])
        if found not in (wanted, (index, index, index)):
            raise DataError(
                f"a mask with a palette must have the colours of the classes, got index={index} "
                f"of colour {found} where the class has {wanted}, file={path}; map its colours to "
                "class indices, or save it as grey (mode L) if its indices are right"
            )


def check_classes(mask: Pixels, classes: int, path: Path) -> Pixels:
    """Return a mask that holds class indices below `classes`, or 255; raise `DataError`."""
    strange = (mask >= classes) & (mask != IGNORE)
    if strange.any():
        wrong = mask[strange]
        raise DataError(
            f"a mask must hold class ids up to {classes - 1}, or {IGNORE} to ignore, "
            f"got id={wrong.max()} at {wrong.size} pixels, file={path}; "
            "correct the mask, or name the data set it belongs to"
        )
    return mask


def _unreadable(what: str, path: Path, error: Exception) -> DataError:
    if isinstance(error, FileNotFoundError):
        others = (path.with_suffix(suffix) for suffix in (path.suffix.upper(), *SUFFIXES))
        other = next((f"rename {other.name}, " for other in others if other.is_file()), "")
        return DataError(
            f"{what} in a list must exist, missing file={path}; "
            f"{other}restore it or take its name off the lists"
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
    text, and for a line of any other kind or that leads out of the data set.
    """
    return tuple(_image_id(line, path) for line in read_lines(path))


def read_lines(path: Path) -> tuple[str, ...]:
    """Return the lines of a text file that are not blank, stripped; raise `DataError`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        if "\0" in text:
            raise ValueError("a zero byte")
    except FileNotFoundError:
        raise DataError(f"a list of images must exist, missing file={path}; restore it") from None
    except (OSError, ValueError) as error:
        raise DataError(
            f"a list must be readable text, got file={path} ({error}); save it as UTF-8"
        ) from None
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _image_id(line: str, path: Path) -> str:
    words = [word.replace("\\", "/") for word in line.split()]
    if words[2:] or (words[1:] and not words[0].lower().endswith(SUFFIXES)):
        raise DataError(
            f"a line of a list must be an id, or the paths of an image and its mask, got "
            f"line={line!r}, file={path}; rename files whose names hold white space"
        )
    if any(".." in word.split("/") for word in words):
        raise DataError(
            f"a list must name images beneath the root of its data set, got line={line!r}, "
            f"file={path}; take it off the list"
        )
    name = words[0].rpartition("/")[2]
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
            break
    return name.removesuffix(CITYSCAPES_SUFFIX)


def duplicates(ids: Iterable[str]) -> list[str]:
    """Return the ids that occur more than once, in the order of their second occurrence."""
    seen: set[str] = set()
    twice: dict[str, None] = {}
    for image_id in ids:
        if image_id in seen:
            twice[image_id] = None
        seen.add(image_id)
    return list(twice)


class DecodedCache(Protocol):
    """What keeps decoded images and masks, by kind and image id."""

    def get(self, name: tuple[str, str]) -> Decoded | None:
        """Return what has that name, or None where it is not held."""

    def put(self, name: tuple[str, str], decoded: Decoded) -> None:
        """Hold an image or a mask, if there is room."""


class PixelCache:
    """Decoded images and masks by name, the least recently used dropped beyond `limit_bytes`.

    Threads may use it at the same time.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._held: OrderedDict[tuple[str, str], Decoded] = OrderedDict()
        self._guard = threading.Lock()

    def __reduce__(self) -> tuple[type[PixelCache], tuple[int]]:
        """Travel to other processes empty."""
        return PixelCache, (self.limit_bytes,)

    def get(self, name: tuple[str, str]) -> Decoded | None:
        """Return what has that name, or None where it is not held."""
        with self._guard:
            if name not in self._held:
                return None
            self._held.move_to_end(name)
            return self._held[name]

    def put(self, name: tuple[str, str], decoded: Decoded) -> None:
        """Hold an image or a mask, unless it alone is larger than the limit."""
        size = _decoded_bytes(decoded)
        with self._guard:
            if name in self._held or size > self.limit_bytes:
                return
            self._held[name] = decoded
            self.used_bytes += size
            while self.used_bytes > self.limit_bytes:
                self.used_bytes -= _decoded_bytes(self._held.popitem(last=False)[1])


def _decoded_bytes(decoded: Decoded) -> int:
    if isinstance(decoded, Image.Image):
        return PICTURE_PIXEL_BYTES * decoded.width * decoded.height
    return decoded.nbytes
