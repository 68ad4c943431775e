"""A first dataset.toml for a folder of images and masks, from what lies there and what masks hold.

Folders are told apart by their names and by their files: masks are named like images. A part that
is not found stands in the draft with empty folders, to be filled in, or is drawn from the images of
the only one that is there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from os.path import commonpath
from pathlib import Path

import numpy as np

from semisweep.core.errors import DataError
from semisweep.data.folder_data import IMAGE_SUFFIXES, MASK_SUFFIXES
from semisweep.data.reading import IGNORE, read_values

PART_WORDS: Mapping[str, tuple[str, ...]] = {
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
    "train": ("train", "training"),
}
MASK_WORDS = ("mask", "annot", "label", "gt", "groundtruth", "ground_truth", "seg")
SAMPLE = 64  # masks that are read


@dataclass(frozen=True)
class Pair:
    """A folder of images and that of their masks, relative to the root; `end` of masks' names."""

    part: str
    images: Path
    masks: Path
    end: str


@dataclass(frozen=True)
class Draft:
    """The text of a manifest, and the lists that it names: file name -> names of images."""

    text: str
    lists: Mapping[str, Sequence[str]]


def draft(root: Path, drawn: Mapping[str, int] | None = None, seed: int = 0) -> Draft:
    """Return a manifest for a folder; raise `DataError` where nothing fits.

    `drawn` are parts that have no folders, of so many images with masks of those of "train".
    """
    if not root.is_dir():
        raise DataError(f"the folder of a data set must exist, got root={root}")
    pairs = find_pairs(root)
    if not pairs:
        raise DataError(
            "a folder of images must have one of masks beside it with the same file names (or "
            f"names and an end, such as cat_mask.png), found none beneath root={root}"
        )
    lists = _drawn(root, pairs, drawn, seed) if drawn else {}
    return Draft("\n".join(_lines(root, pairs, lists)) + "\n", lists)


def find_pairs(root: Path) -> dict[str, Pair]:
    """Return the folders of each part that has some: train, val, test."""
    folders = {
        folder: files for folder in sorted([root, *_folders(root)]) if (files := _pictures(folder))
    }
    masks = [folder for folder, files in folders.items() if _are_masks(folder, files, root)]
    found: dict[str, Pair] = {}
    for images, files in folders.items():
        if images in masks:
            continue
        fitting = [(own, end) for own in masks if (end := _end(files, folders[own])) is not None]
        if not fitting:
            continue
        own, end = max(fitting, key=lambda item: len(commonpath([images, item[0]])))
        part = _part_of(images.relative_to(root))
        found.setdefault(
            part, Pair(part, images.relative_to(root), own.relative_to(root), end or "")
        )
    return found


def _drawn(
    root: Path, pairs: Mapping[str, Pair], drawn: Mapping[str, int], seed: int
) -> dict[str, list[str]]:
    """Return the lists of all parts, of which some are drawn from the images of "train"."""
    given = ", ".join(f"{part}={count}" for part, count in drawn.items())
    there = [part for part in drawn if part in pairs]
    if there or "train" not in pairs:
        raise DataError(
            "a part can be drawn where it has no folder of its own and train has one, got "
            f"{given}, with folders of {', '.join(pairs)}; leave it out"
        )
    own = pairs["train"]
    images, masks = _pictures(root / own.images), _pictures(root / own.masks)
    masked = [name for name in images if name + own.end in masks]
    if sum(drawn.values()) >= len(masked):
        raise DataError(
            f"images must be left to train on, got {given} of {len(masked)} with masks; draw fewer"
        )
    order = iter(np.random.default_rng(seed).permutation(masked).tolist())
    chosen = {part: sorted(islice(order, count)) for part, count in drawn.items()}
    taken = {name for names in chosen.values() for name in names}
    parts = {"train": [name for name in images if name not in taken], **chosen}
    return {f"{part}.txt": [images[name].name for name in names] for part, names in parts.items()}


def _folders(root: Path) -> Iterator[Path]:
    for path in root.rglob("*"):
        if path.is_dir() and not any(own.startswith(".") for own in path.relative_to(root).parts):
            yield path


def _pictures(folder: Path) -> dict[str, Path]:
    """Return the pictures of a folder by name without suffix."""
    return {
        path.stem: path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    }


def _are_masks(folder: Path, files: Mapping[str, Path], root: Path) -> bool:
    """Return whether files are masks: by the folder's name or theirs, and that they are grey."""
    words = str(folder.relative_to(root)).lower()
    named = any(word in words for word in MASK_WORDS)
    named = named or all(any(word in name.lower() for word in MASK_WORDS) for name in files)
    first = next(iter(files.values()))
    if not named or first.suffix.lower() not in MASK_SUFFIXES:
        return False
    try:
        read_values(first)
    except DataError:
        return False
    return True


def _end(images: Mapping[str, Path], masks: Mapping[str, Path]) -> str | None:
    """Return what names of masks have behind those of images; None where they do not fit."""
    for name in images:
        for mask in masks:
            if mask.startswith(name):
                end = mask.removeprefix(name)
                if all(own.removesuffix(end) in images for own in masks):
                    return end
    return None


def _part_of(folder: Path) -> str:
    words = [word.lower() for word in folder.parts]
    for part, known in PART_WORDS.items():
        if any(word.startswith(known) for word in words):
            return part
    return "train"


def _lines(
    root: Path, pairs: Mapping[str, Pair], lists: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    values = _values(root, pairs.values())
    classes = [value for value in values if value != IGNORE or len(values) == 2]
    yield f"# {root.name}: what its files mean. Correct what is guessed; then"
    yield f"#   semisweep data check {root.name} --root {root}"
    yield ""
    yield f"# Of masks {_told(values)} were found. A name for each class, in the order of values:"
    names = ", ".join(f'"class{value}"' for value in classes)
    yield f"classes = [{names}]"
    if classes != list(range(len(classes))):
        yield f"values = {classes}"
    if IGNORE in values and IGNORE not in classes:
        yield f"ignore = {IGNORE}  # guessed: pixels of no class"
    yield "# colours = [[0, 0, 0], ...]  # one a class, for pictures of masks"
    for part in ("train", "val", "test"):
        yield ""
        listed = f"{part}.txt" in lists
        yield from _part_lines(part, pairs["train"] if listed else pairs.get(part))
        if listed:
            yield f'list = "{part}.txt"'


def _part_lines(part: str, pair: Pair | None) -> Iterator[str]:
    if pair is None:
        hint = " # optional" if part == "test" else ""
        beginning = "# " if part == "test" else ""
        yield f"{beginning}[{part}]{hint}"
        yield f'{beginning}images = ""  # not found: a folder; or init --{part} COUNT draws them'
        yield f'{beginning}masks = ""'
        yield f'{beginning}# list = "{part}.txt"  # or the folders of [train], and a list of names'
        return
    yield f"[{part}]"
    yield f'images = "{pair.images.as_posix()}"'
    yield f'masks = "{pair.masks.as_posix()}"'
    if pair.end:
        yield f'mask_suffix = "{pair.end}"'


def _values(root: Path, pairs: Iterable[Pair]) -> list[int]:
    """Return the values that a sample of masks hold, sorted."""
    found: Counter[int] = Counter()
    for pair in pairs:
        files = list(_pictures(root / pair.masks).values())
        for path in files[:: max(1, len(files) // SAMPLE)]:
            found.update(np.unique(read_values(path)).tolist())
    return sorted(found)


def _told(values: Sequence[int]) -> str:
    return "the values " + ", ".join(map(str, values[:20])) + (" ..." if values[20:] else "")
