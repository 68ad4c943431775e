"""The check of a data set on disk, file by file, and the digest of its content."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt

from semisweep.core.errors import DataError
from semisweep.data.base import DataSet
from semisweep.data.reading import Pixels, duplicates

ListProgress = Callable[[int, int], None]


@dataclass
class Inspection:
    """What a check found: `problems` are to be mended, `notes` to be known; one line each."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check(dataset: DataSet, progress: ListProgress | None = None) -> list[str]:
    """Return what is wrong with a data set, one line a problem; empty where nothing is.

    Every image and mask of every part is decoded; `progress` is told images done and in all.
    """
    return inspect(dataset, progress).problems


def inspect(dataset: DataSet, progress: ListProgress | None = None) -> Inspection:
    """Return problems and notes of a data set; every image and mask is decoded, as in `check`."""
    lists, problems = _read_lists(dataset)
    problems.extend(_list_problems(lists, dataset.same_parts))
    try:
        problems.extend(dataset.layout_problems())
    except DataError as error:
        problems.append(str(error))
    ids = sorted({image_id for listed in lists.values() for image_id in listed})
    seen = _Seen(np.zeros(len(dataset.classes), dtype=np.int64))
    for done, image_id in enumerate(ids, start=1):
        problems += _file_problems(dataset, image_id, seen)
        if progress is not None:
            progress(done, len(ids))
    return Inspection(list(dict.fromkeys(problems)), list(seen.notes(dataset)))


def count_problems(dataset: DataSet) -> list[str]:
    """Return a line for each part that has not as many images as the published data set."""
    found = []
    for part, count in dataset.counts().items():
        images = len(dataset.part(part)) if part in dataset.parts else 0
        if images != count:
            found.append(
                f"{part} of {dataset.name} must have {count} images, got {images}, "
                f"file={dataset.list_file(part)}; restore those that are missing, or accept a "
                "reduced copy: --any-count"
            )
    return found


@dataclass
class _Seen:
    """What the readable files of a data set hold."""

    masks: npt.NDArray[np.int64]  # [C], the number of masks that show each class
    sizes: set[tuple[int, ...]] = field(default_factory=set)
    unlabelled: int = 0

    def add(self, pixels: Pixels) -> None:
        """Count an image [H, W, 3] or a mask [H, W]."""
        if pixels.ndim == 3:
            self.sizes.add(pixels.shape[:2])
        else:
            classes = len(self.masks)
            self.masks += np.bincount(pixels.ravel(), minlength=256)[:classes] > 0

    def notes(self, dataset: DataSet) -> Iterator[str]:
        """Yield a line for sizes, classes that no mask shows, and images without a mask."""
        if self.sizes:
            smallest, largest = (f(self.sizes, key=math.prod) for f in (min, max))
            both = dict.fromkeys(f"{width}x{height}" for height, width in (smallest, largest))
            yield f"sizes: {' to '.join(both)} pixels"
        absent = [
            name for name, count in zip(dataset.classes, self.masks, strict=True) if not count
        ]
        if absent:
            yield f"no mask shows {len(absent)} of {len(self.masks)} classes: {', '.join(absent)}"
        if self.unlabelled:
            yield f"without a mask, so never labelled: {self.unlabelled} images"


def _read_lists(dataset: DataSet) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    lists: dict[str, tuple[str, ...]] = {}
    problems = []
    for part in dict.fromkeys(("train", "val", *dataset.parts)):
        try:
            lists[part] = dataset.listed(part)
        except DataError as error:
            problems.append(str(error))
    return lists, problems


def _list_problems(
    lists: dict[str, tuple[str, ...]], same: frozenset[tuple[str, str]]
) -> Iterator[str]:
    for part, ids in lists.items():
        if not ids:
            yield f"a list must name at least one image, got 0 in {part}"
        for image_id in duplicates(ids):
            yield f"a list must name each image once, got {image_id!r} twice in {part}"
    for (first, ids), (second, others) in combinations(lists.items(), 2):
        shared = sorted(set(ids) & set(others))
        if shared and (first, second) not in same:
            yield (
                f"parts must not share images, got {len(shared)} in both {first} and {second}, "
                f"such as {shared[0]!r}"
            )


def _file_problems(dataset: DataSet, image_id: str, seen: _Seen) -> list[str]:
    problems: dict[str, None] = {}  # a broken image is also met on the way to its mask: say it once
    readers = [dataset.image]
    if dataset.has_mask(image_id):
        readers.append(dataset.mask)
    else:
        seen.unlabelled += 1
    for read in readers:
        try:
            seen.add(read(image_id))
        except DataError as error:
            problems[str(error)] = None
    return list(problems)


def content_digest(dataset: DataSet) -> str:
    """Return 20 hexadecimal digits of the SHA-256 of all lists, images, masks and descriptions.

    Covers the files' paths relative to the root, in sorted order, and their bytes. A part that is
    a folder rather than a list is covered by the paths of its files.
    """
    files = {dataset.list_file(part) for part in dataset.parts}
    files = {path for path in files if not path.is_dir()}
    files |= set(dataset.description_files())
    for image_id in {image_id for part in dataset.parts for image_id in dataset.part(part)}:
        files.add(dataset.image_file(image_id))
        if dataset.has_mask(image_id):
            files.add(dataset.mask_file(image_id))
    total = hashlib.sha256()
    for name, path in sorted((_name(path, dataset.root), path) for path in files):
        try:
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise DataError(
                f"every listed file must be readable, got file={path} ({error.strerror})"
            ) from None
        total.update(f"{name}\n{content}\n".encode())
    return total.hexdigest()[:20]


def _name(path: Path, root: Path) -> str:
    return Path(os.path.relpath(path, root)).as_posix()
