"""The check of a data set on disk, file by file, and the digest of its content."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from semisweep.core.errors import DataError
from semisweep.data.base import DataSet
from semisweep.data.content import (
    Content,
    ImageContent,
    ListProgress,
    content_of,
    listed_images,
    whole_contents,
)
from semisweep.data.known_splits import WHOLE
from semisweep.data.reading import duplicates


@dataclass
class Inspection:
    """What a check found: `problems` are to be mended, `notes` to be known; one line each."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check(dataset: DataSet, progress: ListProgress | None = None) -> list[str]:
    """Return what is wrong with a data set, one line a problem; empty where nothing is.

    Every image and mask of every part that was not decoded before, or has changed, is decoded;
    `progress` is told images done and in all.
    """
    return inspect(dataset, progress).problems


def inspect(
    dataset: DataSet, progress: ListProgress | None = None, *, content: Content | None = None
) -> Inspection:
    """Return problems and notes of a data set, as `check` does; `content` knows its files."""
    lists, problems = read_lists(dataset)
    ids = sorted({image_id for listed in lists.values() for image_id in listed})
    found = (content or content_of(dataset)).of(ids, progress)
    problems += [problem for image in found.values() for problem in image.problems]
    problems += [*_colour_problems(dataset, found), *_ignored_class(dataset, found)]
    notes = list(_notes(dataset, found))
    if dataset.unique_images:
        problems += _equal_images(dataset, lists, found)
        notes += _repeated_images(lists, found)
    return Inspection(list(dict.fromkeys(problems)), notes)


def read_lists(dataset: DataSet) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Return the image ids of each part, and what is wrong with the lists and the layout."""
    lists, problems = _read_lists(dataset)
    problems.extend(_list_problems(lists, dataset.same_parts))
    try:
        problems.extend(dataset.layout_problems())
    except DataError as error:
        problems.append(str(error))
    return lists, problems


def header_problems(dataset: DataSet, ids: Iterable[str]) -> list[str]:
    """Return what is wrong by the headers of files alone, which are read in seconds."""
    with ThreadPoolExecutor() as pool:
        return [problem for problem in pool.map(lambda own: _header(dataset, own), ids) if problem]


def _header(dataset: DataSet, image_id: str) -> str:
    try:
        dataset.read_size(image_id)
    except DataError as error:
        return str(error)
    if dataset.has_mask(image_id) and not dataset.mask_file(image_id).exists():
        try:
            dataset.read_mask_uncached(image_id)
        except DataError as error:
            return str(error)
    return ""


def count_problems(dataset: DataSet, *, of_papers: bool = False) -> list[str]:
    """Return a line for each part that has not as many images as the published data set.

    `of_papers`: as the papers train on, of Pascal VOC with SBD.
    """
    found = []
    counts = dataset.counts()
    if of_papers and dataset.name in WHOLE:
        counts |= {"train": WHOLE[dataset.name].images}
    remedy = "".join(f"{remark}; " for remark in dataset.remarks())
    for part, count in counts.items():
        images = len(dataset.part(part)) if part in dataset.parts else 0
        if images != count:
            found.append(
                f"{part} of {dataset.name} must have {count} images, got {images}, "
                f"file={dataset.list_file(part)}; {remedy if part == 'train' else ''}restore those "
                "that are missing, or accept a reduced copy: --any-count"
            )
    return found


def _notes(dataset: DataSet, found: Mapping[str, ImageContent]) -> Iterator[str]:
    """Yield a line for sizes, classes that no mask shows, images without a mask, and remarks."""
    yield from dataset.remarks()
    sizes = {content.size for content in found.values() if any(content.size)}
    if sizes:
        smallest, largest = (f(sizes, key=math.prod) for f in (min, max))
        both = dict.fromkeys(f"{width}x{height}" for height, width in (smallest, largest))
        yield f"sizes: {' to '.join(both)} pixels"
    shown = {index for content in found.values() for index in content.shown}
    absent = [name for index, name in enumerate(dataset.classes) if index not in shown]
    if absent:
        count = len(dataset.classes)
        yield f"no mask shows {len(absent)} of {count} classes: {', '.join(absent)}"
    unlabelled = sum(not dataset.has_mask(image_id) for image_id in found)
    if unlabelled:
        yield f"without a mask, so never labelled: {unlabelled} images"


def _equal_images(
    dataset: DataSet,
    lists: Mapping[str, tuple[str, ...]],
    found: Mapping[str, ImageContent],
) -> Iterator[str]:
    """Yield a line for each file of a part that holds an image of another part.

    What is trained on is then tested on, whatever the files' names.
    """
    first: dict[str, tuple[str, Path]] = {}
    for part, ids in lists.items():
        for image_id in ids:
            path, content = dataset.image_file(image_id), found[image_id].image
            other_part, other = first.setdefault(content, (part, path))
            if content and other_part != part and other != path:
                yield (
                    f"parts must not share images, got file={path} of {part}, equal to {other} "
                    f"of {other_part}; remove one"
                )


def _repeated_images(
    lists: Mapping[str, tuple[str, ...]], found: Mapping[str, ImageContent]
) -> Iterator[str]:
    """Yield a line for each part of which several files hold one image, such as blank tiles."""
    for part, ids in lists.items():
        digests = [found[image_id].image for image_id in dict.fromkeys(ids)]
        repeated = len(digests) - len(set(digests))
        if repeated:
            yield f"{part} has {repeated} images that are equal to another one of it"


def _colour_problems(dataset: DataSet, found: Mapping[str, ImageContent]) -> Iterator[str]:
    """Yield a line for each mask whose palette has another colour for an index than one before.

    Software that makes palettes numbers colours in the order in which they come, file by file.
    """
    first: dict[int, tuple[tuple[int, int, int], Path]] = {}
    for image_id, content in found.items():
        for index, colour in content.colours:
            path = dataset.mask_file(image_id)
            other, where = first.setdefault(index, (colour, path))
            if other != colour:
                yield (
                    f"masks with palettes must agree in what an index is, got index={index} of "
                    f"colour {colour} in file={path}, {other} in {where}; map colours to class "
                    "indices, or save masks as grey (mode L) if their indices are right"
                )
                break


def _ignored_class(dataset: DataSet, found: Mapping[str, ImageContent]) -> Iterator[str]:
    """Yield a line where 255 may be the class that no mask shows, as in masks of 0 and 255."""
    shown = {index for content in found.values() for index in content.shown}
    absent = [name for index, name in enumerate(dataset.classes) if index not in shown]
    ignored = [image_id for image_id, content in found.items() if content.ignored]
    if dataset.assumes_ignore and absent and ignored:
        yield (
            f"masks must show every class where they hold 255, got none of {', '.join(absent)} "
            f"and 255 in {len(ignored)} masks, such as {dataset.mask_file(ignored[0])}; say in "
            "dataset.toml what 255 is: a class, values = [0, 255], or none, ignore = 255"
        )


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


def content_digest(dataset: DataSet) -> str:
    """Return 20 hexadecimal digits of the SHA-256 of all lists, images, masks and descriptions.

    Covers the files' paths relative to the root, in sorted order, and their bytes. A part that is
    a folder rather than a list is covered by the paths of its files.
    """
    lists = {dataset.list_file(part) for part in dataset.parts}
    described = {path for path in lists if not path.is_dir()} | set(dataset.description_files())
    digests = {path: _file_digest(path) for path in described}
    for image_id, content in whole_contents(dataset, listed_images(dataset)).items():
        digests[dataset.image_file(image_id)] = content.image
        if content.mask:
            digests[dataset.mask_file(image_id)] = content.mask
    total = hashlib.sha256()
    for name, content_of_file in sorted((_name(p, dataset.root), d) for p, d in digests.items()):
        total.update(f"{name}\n{content_of_file}\n".encode())
    return total.hexdigest()[:20]


def _file_digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(
            f"every listed file must be readable, got file={path} ({error.strerror})"
        ) from None


def _name(path: Path, root: Path) -> str:
    return Path(os.path.relpath(path, root)).as_posix()
