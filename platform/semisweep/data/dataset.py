"""Data sets by name, the check of one on disk, and the digest of its content."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

from semisweep.data import shapes, voc
from semisweep.data.base import PARTS, DataSet, Palette
from semisweep.data.reading import duplicates, read_list
from semisweep.data.voc import VocFolder
from semisweep.errors import DataError, unknown

__all__ = ["DATA_SETS", "PARTS", "DataSet", "check", "content_digest", "open_dataset"]

ListProgress = Callable[[int, int], None]

DATA_SETS: dict[str, tuple[tuple[str, ...], Palette]] = {
    "shapes": (shapes.CLASSES, shapes.PALETTE),
    "voc": (voc.CLASSES, voc.PALETTE),
}

REMEDIES = {"shapes": "make it: semisweep data make shapes --root {root}"}


def open_dataset(name: str, root: Path) -> DataSet:
    """Return the data set of that name in the folder `root`.

    Raises `ConfigError` for an unknown name and `DataError` where the folder is missing or has
    another layout.
    """
    if name not in DATA_SETS:
        raise unknown("data set", name, DATA_SETS)
    root = Path(root)
    if not root.is_dir():
        remedy = REMEDIES.get(name, "point to it: --data {name}=PATH")
        raise DataError(
            f"the folder of data set {name} must exist, got root={root}; "
            + remedy.format(name=name, root=root)
        )
    classes, palette = DATA_SETS[name]
    return VocFolder(name, root, classes, palette)


def check(dataset: DataSet, progress: ListProgress | None = None) -> list[str]:
    """Return what is wrong with a data set, one line a problem; empty where nothing is.

    Every image and mask of every part is decoded; `progress` is told images done and in all.
    """
    lists, problems = _read_lists(dataset)
    problems.extend(_list_problems(lists))
    ids = sorted({image_id for listed in lists.values() for image_id in listed})
    for done, image_id in enumerate(ids, start=1):
        problems += _file_problems(dataset, image_id)
        if progress is not None:
            progress(done, len(ids))
    return problems


def _read_lists(dataset: DataSet) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    lists: dict[str, tuple[str, ...]] = {}
    problems = []
    for part in dict.fromkeys(("train", "val", *dataset.parts)):
        try:
            lists[part] = read_list(dataset.list_file(part))
        except DataError as error:
            problems.append(str(error))
    return lists, problems


def _list_problems(lists: dict[str, tuple[str, ...]]) -> Iterator[str]:
    for part, ids in lists.items():
        if not ids:
            yield f"a list must name at least one image, got 0 in {part}"
        for image_id in duplicates(ids):
            yield f"a list must name each image once, got {image_id!r} twice in {part}"
    for (first, ids), (second, others) in combinations(lists.items(), 2):
        if shared := sorted(set(ids) & set(others)):
            yield (
                f"parts must not share images, got {len(shared)} in both {first} and {second}, "
                f"such as {shared[0]!r}"
            )


def _file_problems(dataset: DataSet, image_id: str) -> list[str]:
    problems: dict[str, None] = {}  # a broken image is also met on the way to its mask: say it once
    for read in (dataset.image, dataset.mask):
        try:
            read(image_id)
        except DataError as error:
            problems[str(error)] = None
    return list(problems)


def content_digest(dataset: DataSet) -> str:
    """Return 20 hexadecimal digits of the SHA-256 of all lists, images and masks.

    Covers the files' paths relative to the root, in sorted order, and their bytes.
    """
    files = [dataset.list_file(part) for part in dataset.parts]
    for image_id in {image_id for part in dataset.parts for image_id in dataset.part(part)}:
        files += [dataset.image_file(image_id), dataset.mask_file(image_id)]
    total = hashlib.sha256()
    for name, path in sorted((path.relative_to(dataset.root).as_posix(), path) for path in files):
        try:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise DataError(
                f"every listed file must be readable, got file={path} ({error.strerror})"
            ) from None
        total.update(f"{name}\n{content}\n".encode())
    return total.hexdigest()[:20]
