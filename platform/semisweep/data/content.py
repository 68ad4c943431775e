"""What the files of a data set hold: read once a machine, and remembered.

Of each image that a list names: the digests of its file and its mask's, its size, the classes that
the mask shows, and what is wrong. One reading serves the check of a data set, the drawing of splits
and the fingerprints of trials. It is remembered in the user's cache folder, a line an image, added
while files are read: a reading that was interrupted goes on. What is remembered counts while sizes
and times of the files are what they were; links are followed.

<cache>/data/<name>-<digest>.jsonl   the digest is of the root and of what the files mean
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from semisweep.core.cache_folder import VARIABLE, cache_folder
from semisweep.core.config import digest
from semisweep.core.errors import DataError
from semisweep.data.base import DataSet
from semisweep.data.reading import IGNORE, Colours, decoded_size

FORMAT = 2
FEW = 64  # images that are read between two writings, for each thread

# A class that fills less of an image than this is a sliver there, and does not count as present.
PRESENT_FRACTION = 0.005

Stamp = tuple[int, int, int] | None  # size, times of change of content and of entry
ListProgress = Callable[[int, int], None]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageContent:
    """What the files of one image hold; a digest is empty where there is no such file."""

    image: str  # SHA-256 of the file
    mask: str
    size: tuple[int, int]  # height, width
    shown: tuple[int, ...] = ()  # classes of at least one pixel
    present: tuple[int, ...] = ()  # classes of at least PRESENT_FRACTION of the pixels
    ignored: int = 0  # pixels of no class
    colours: Colours = ()  # of the indices that a mask with a palette shows, but for greys
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Remembered:
    stamps: tuple[Stamp, Stamp]
    content: ImageContent


class Content:
    """What is known of the files of one data set on this machine.

    With `verify`, nothing that was remembered is believed. Once it is `settled`, files that were
    looked at are not looked at again: for as long as a command takes.
    """

    def __init__(self, dataset: DataSet, *, verify: bool = False) -> None:
        self.dataset, self.verify = dataset, verify
        self.path = cache_folder() / "data" / f"{dataset.name}-{_place(dataset)}.jsonl"
        self.settled = False
        self._known: dict[str, _Remembered] = {}
        self._read_until = 0  # bytes of the file

    def unread(self, ids: Iterable[str]) -> list[str]:
        """Return which images have files that were never read, or have changed since."""
        wanted = list(ids)
        self._load()
        stamps = _stamps(self.dataset, wanted)
        return [
            image_id
            for image_id in wanted
            if (found := self._known.get(image_id)) is None or found.stamps != stamps[image_id]
        ]

    def of(
        self, ids: Iterable[str], progress: ListProgress | None = None
    ) -> dict[str, ImageContent]:
        """Return the content of some images; reads those that were never read or have changed.

        `progress` is told images done and in all. What is wrong with files is no error here.
        """
        wanted = list(dict.fromkeys(ids))
        if self.settled and self._known.keys() >= set(wanted):
            return {image_id: self._known[image_id].content for image_id in wanted}
        if self.unread(wanted):
            with self._alone():
                self._read(self.unread(wanted), progress)
        return {image_id: self._known[image_id].content for image_id in wanted}

    def _read(self, ids: Sequence[str], progress: ListProgress | None) -> None:
        threads = os.cpu_count() or 1
        stamps = _stamps(self.dataset, ids)
        file_digest = lru_cache(maxsize=threads)(_file_digest)  # stacks hold many images

        def read(image_id: str) -> tuple[str, ImageContent]:
            return image_id, _examined(self.dataset, image_id, file_digest)

        with ThreadPoolExecutor(threads) as pool:
            fresh: dict[str, _Remembered] = {}
            for done, (image_id, content) in enumerate(pool.map(read, ids), start=1):
                fresh[image_id] = _Remembered(stamps[image_id], content)
                if len(fresh) >= FEW * threads or done == len(ids):
                    self._remember(fresh)
                    fresh = {}
                if progress is not None:
                    progress(done, len(ids))

    def _load(self) -> None:
        """Read what was remembered since the last time, by any process."""
        if self.verify:
            return
        try:
            with self.path.open("rb") as file:
                file.seek(self._read_until)
                data = file.read()
        except OSError:  # there is none, or it cannot be read: then files are
            return
        whole = data[: data.rfind(b"\n") + 1]
        self._read_until += len(whole)
        for line in whole.splitlines():
            try:
                image_id, *remembered = json.loads(line)
                self._known[image_id] = _decoded(remembered)
            except (ValueError, TypeError):  # torn, or of another program: as if it were not there
                continue

    def _remember(self, fresh: dict[str, _Remembered]) -> None:
        self._known |= fresh
        lines = [json.dumps(_encoded(name, item)) + "\n" for name, item in fresh.items()]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+") as file:
                if file.tell() and file.seek(-1, os.SEEK_END) >= 0 and file.read(1) != b"\n":
                    lines.insert(0, "\n")  # ends a line that was torn
                file.write("".join(lines).encode())
        except OSError as error:
            logger.warning(
                "what was read of %s is not remembered (%s, file=%s); %s names a folder that can "
                "be written",
                *(self.dataset.name, error.strerror, self.path, VARIABLE),
            )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one process of this machine read a data set, while others wait for what it finds."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:  # nothing can be remembered
            yield
            return
        try:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


_OF_DATA_SETS: WeakKeyDictionary[DataSet, Content] = WeakKeyDictionary()


def content_of(dataset: DataSet) -> Content:
    """Return what is known of a data set's files, the same for as long as the data set is used."""
    if dataset not in _OF_DATA_SETS:
        _OF_DATA_SETS[dataset] = Content(dataset)
    return _OF_DATA_SETS[dataset]


def listed_images(dataset: DataSet) -> list[str]:
    """Return the ids of all parts, each once, sorted; raise `DataError`."""
    return sorted({image_id for part in dataset.parts for image_id in dataset.part(part)})


def whole_contents(dataset: DataSet, ids: Iterable[str]) -> dict[str, ImageContent]:
    """Return the content of some images; raise `DataError` where a file of theirs is not right."""
    found = content_of(dataset).of(ids)
    for content in found.values():
        if content.problems:
            raise DataError(content.problems[0])
    return found


def train_presence(dataset: DataSet) -> dict[str, np.ndarray]:
    """Return which classes [C] each training image shows; none where it is to have no mask."""
    found = whole_contents(dataset, dataset.part("train"))
    presence = {}
    for image_id, content in found.items():
        presence[image_id] = np.zeros(len(dataset.classes), dtype=np.bool_)
        presence[image_id][list(content.present)] = True
    return presence


def _examined(
    dataset: DataSet, image_id: str, file_digest: Callable[[Path, Stamp], str]
) -> ImageContent:
    """Return what the files of an image hold, every pixel decoded."""
    problems: dict[str, None] = {}  # a broken image is also met on the way to its mask: say it once
    path, masked = dataset.image_file(image_id), dataset.has_mask(image_id)
    mask_path = dataset.mask_file(image_id) if masked else None
    image = file_digest(path, _stamp(path))
    mask = file_digest(mask_path, _stamp(mask_path)) if mask_path else ""
    size = (0, 0)
    shown: tuple[int, ...] = ()
    present: tuple[int, ...] = ()
    ignored = 0
    colours: Colours = ()
    try:
        size = decoded_size(dataset.read_uncached(image_id))
    except DataError as error:
        problems[str(error)] = None
    if masked:
        try:
            pixels = dataset.read_mask_uncached(image_id, size if any(size) else None)
        except DataError as error:
            problems[str(error)] = None
        else:
            pixels_of = np.bincount(pixels.ravel(), minlength=256)
            ignored, counts = int(pixels_of[IGNORE]), pixels_of[: len(dataset.classes)]
            colours = dataset.mask_colours(image_id)
            shown = tuple(np.flatnonzero(counts).tolist())
            present = tuple(np.flatnonzero(counts >= PRESENT_FRACTION * pixels.size).tolist())
    return ImageContent(image, mask, size, shown, present, ignored, colours, tuple(problems))


def _file_digest(path: Path, stamp: Stamp) -> str:
    """Return the SHA-256 of a file that has a stamp; nothing where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _stamps(dataset: DataSet, ids: Iterable[str]) -> dict[str, tuple[Stamp, Stamp]]:
    """Return the stamps of the files of images: of the image, and of the mask where it has one."""
    known: dict[Path, Stamp] = {}

    def stamp(path: Path) -> Stamp:
        if path not in known:
            known[path] = _stamp(path)
        return known[path]

    return {
        image_id: (
            stamp(dataset.image_file(image_id)),
            stamp(dataset.mask_file(image_id)) if dataset.has_mask(image_id) else None,
        )
        for image_id in ids
    }


def _stamp(path: Path) -> Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _place(dataset: DataSet) -> str:
    """Return a digest of where a data set lies and what its files mean."""
    kind = f"{type(dataset).__module__}:{type(dataset).__qualname__}"
    return digest([FORMAT, kind, os.path.realpath(dataset.root), dataset.meaning()])


def _encoded(image_id: str, item: _Remembered) -> list[object]:
    return [image_id, item.stamps, *vars(item.content).values()]


def _decoded(found: Sequence[Any]) -> _Remembered:
    """Return what a line holds; raise `ValueError` or `TypeError` for one of another shape."""
    stamps, image, mask, size, shown, present, ignored, colours, problems = found
    content = ImageContent(
        str(image),
        str(mask),
        _numbers(size, 2),
        tuple(map(int, shown)),
        tuple(map(int, present)),
        int(ignored),
        tuple((int(index), _numbers(colour, 3)) for index, colour in colours),
        tuple(map(str, problems)),
    )
    first, second = (None if stamp is None else _numbers(stamp, 3) for stamp in stamps)
    return _Remembered((first, second), content)


def _numbers(found: Any, count: int) -> Any:
    """Return so many numbers as a tuple; raise `ValueError` for more or fewer."""
    numbers = tuple(map(int, found))
    if len(numbers) != count:
        raise ValueError(f"{count} numbers, got {found!r}")
    return numbers
