"""Which training images are labelled: drawn at random, stratified, or read from lists on disk.

Families "random" and "stratified" draw from all training images, "random-own" and "stratified-own"
from Pascal VOC's own training list (1,464 images) while all other training images stay unlabelled.
Any other family is lists on disk, in one plain format, one id a line:

ROOT/splits/FAMILY/LABELLED/{labelled,unlabelled}.txt            draw 0
ROOT/splits/FAMILY/LABELLED/draw_K/{labelled,unlabelled}.txt     draw K
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Literal

import numpy as np

from semisweep.core.config import Count, NonNegativeCount, config, setting
from semisweep.core.errors import ConfigError, DataError
from semisweep.core.seeding import numbers
from semisweep.data.base import DataSet
from semisweep.data.content import train_presence
from semisweep.data.known_splits import VOC_AUGMENTED, VOC_OWN
from semisweep.data.reading import CITYSCAPES_SUFFIX, duplicates, read_list
from semisweep.data.voc_folder import LISTS

OWN = "-own"  # ends the families that draw from Pascal VOC's own training list
DRAWN_FAMILIES = ("random", "stratified", f"random{OWN}", f"stratified{OWN}")

SPLITS = "splits"
MOST_DRAWS = 1000  # of lists on disk that are looked for
LIST_FILES = ("labelled.txt", "unlabelled.txt")
OTHER_SPELLING = ("labeled.txt", "unlabeled.txt")


@config
class DataConfig:
    """Which images are labelled, and which are not.

    `unlabelled`: the rest, or "all", the labelled ones without their labels as well, which are then
    part of an epoch.
    """

    name: str = "shapes"
    family: str = "stratified"
    labelled: Count | None = None  # None: every training image
    draw: NonNegativeCount = 0
    unlabelled: Literal["rest", "all"] = setting("rest", neutral="rest")


def is_stratified(data: DataConfig) -> bool:
    """Return whether drawing a split takes what all training masks show."""
    return data.labelled is not None and data.family.startswith("stratified")


@dataclass(frozen=True)
class Split:
    """The labelled and the unlabelled image ids."""

    labelled: tuple[str, ...]
    unlabelled: tuple[str, ...]

    @cached_property
    def labelled_digest(self) -> str:
        """Return the digest of the labelled ids, whatever their order or file format."""
        return ids_digest(self.labelled)

    @cached_property
    def unlabelled_digest(self) -> str:
        """Return the digest of the unlabelled ids, whatever their order or file format."""
        return ids_digest(self.unlabelled)


def ids_digest(ids: Iterable[str]) -> str:
    """Return 20 hexadecimal digits of the SHA-256 of the sorted ids."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()[:20]


def plain_id(image_id: str) -> str:
    """Return an id as digests take it: without folders and without Cityscapes' suffix of images."""
    return image_id.rpartition("/")[2].removesuffix(CITYSCAPES_SUFFIX)


def lists_folder(root: Path, family: str, labelled: int, draw: int) -> Path:
    """Return the folder of the two lists of a split beneath the root of its data set."""
    folder = root / SPLITS / family / str(labelled)
    return folder / f"draw_{draw}" if draw else folder


def draws_there(dataset: DataSet, data: DataConfig) -> float:
    """Return how many draws of labelled images there are: infinite where they are drawn here."""
    if data.labelled is None:
        return 1
    if data.family in DRAWN_FAMILIES:
        return math.inf
    draws = (
        lists_folder(dataset.root, data.family, data.labelled, draw) for draw in range(MOST_DRAWS)
    )
    return sum(1 for _ in takewhile(lambda folder: list_files(folder)[0].is_file(), draws))


def own_training_list(dataset: DataSet) -> Path:
    """Return where the official layout of Pascal VOC keeps its own list of training images."""
    return dataset.root / LISTS / "train.txt"


def make_split(dataset: DataSet, data: DataConfig) -> Split:
    """Return the split that `data` asks for.

    Without a labelled count every training image that has a mask is labelled, and all training
    images are unlabelled as well. Raises `ConfigError` where more images are asked for than there
    are, and `DataError` where lists on disk are missing, overlap or name other images.
    """
    split = _partition(dataset, data)
    if data.unlabelled == "rest":
        return split
    return Split(split.labelled, tuple(sorted({*split.labelled, *split.unlabelled})))


def _partition(dataset: DataSet, data: DataConfig) -> Split:
    train = tuple(sorted(dataset.part("train")))
    masked = tuple(image_id for image_id in train if dataset.has_mask(image_id))
    if data.labelled is None:
        return Split(masked, train)
    drawn = data.family in DRAWN_FAMILIES
    candidates = _own(dataset, data, masked) if drawn and data.family.endswith(OWN) else masked
    if data.labelled > len(candidates):
        raise ConfigError(
            f"labelled must be at most the number of training images, "
            f"got labelled={data.labelled}, training images={len(candidates)}"
            + (f" to draw from in family={data.family!r}" if len(candidates) < len(train) else "")
        )
    if not drawn:
        return _listed(dataset, data, train)
    generator = numbers("split", data.family, data.labelled, data.draw)
    order = [candidates[index] for index in generator.permutation(len(candidates))]
    if is_stratified(data):
        labelled = _stratified(dataset, order, data.labelled)
    else:
        labelled = order[: data.labelled]
    rest = sorted(set(train) - set(labelled))
    return Split(tuple(sorted(labelled)), tuple(rest))


def _own(dataset: DataSet, data: DataConfig, train: tuple[str, ...]) -> tuple[str, ...]:
    path = own_training_list(dataset)
    if not path.is_file():
        raise ConfigError(
            f"a split family that ends in {OWN!r} needs Pascal VOC's own training list, "
            f"got family={data.family!r}, data set={dataset.name!r}, missing file={path}; "
            f"without that list: family={data.family.removesuffix(OWN)!r}"
        )
    own = _read_ids(path, _names(train), dataset.remarks())
    if not is_own_list(own, dataset.part("train")):
        raise DataError(
            f"Pascal VOC's own training list must be the official one of {VOC_OWN.images} images, "
            f"got {len(own)}, file={path}; restore it from the official archive"
        )
    return own


def is_own_list(own: Iterable[str], train: Iterable[str]) -> bool:
    """Return whether a list can be Pascal VOC's own beside these training images.

    Some put the list with SBD in its place; a small copy of the layout may have any.
    """
    return ids_digest(train) != VOC_AUGMENTED.digest or ids_digest(own) == VOC_OWN.digest


def _stratified(dataset: DataSet, order: list[str], count: int) -> list[str]:
    """Return `count` ids of `order` that show every class about equally often.

    Greedy: again and again the class seen least so far, the rarer in training first, gets the next
    image in the order that shows it.
    """
    shown = train_presence(dataset)
    presence = np.stack([shown[image_id] for image_id in order])  # [N, C]
    frequency = presence.sum(axis=0)
    free = np.ones(len(order), dtype=np.bool_)
    seen = np.zeros_like(frequency)
    chosen = []
    for _ in range(count):
        left = presence[free].any(axis=0)
        wanted = min(np.flatnonzero(left), key=lambda c: (seen[c], frequency[c]), default=None)
        candidates = free if wanted is None else free & presence[:, wanted]
        pick = int(candidates.argmax())
        free[pick] = False
        seen += presence[pick]
        chosen.append(order[pick])
    return chosen


def _listed(dataset: DataSet, data: DataConfig, train: tuple[str, ...]) -> Split:
    assert data.labelled is not None
    if "/" in data.family or "\\" in data.family or data.family.startswith("."):
        raise ConfigError(f"a split family must have a plain name, got family={data.family!r}")
    files = list_files(lists_folder(dataset.root, data.family, data.labelled, data.draw))
    for path in files:
        if not path.is_file():
            raise DataError(
                f"split family {data.family!r} with {data.labelled} labelled images, "
                f"draw {data.draw}, must have its lists on disk, missing file={path}; "
                f"read them in: semisweep data splits import DIR; "
                f"drawn families: {', '.join(DRAWN_FAMILIES)}"
            )
    names = _names(train)
    labelled, unlabelled = (_read_ids(path, names, dataset.remarks()) for path in files)
    if len(labelled) != data.labelled:
        raise DataError(
            f"a split's folder must be named after its number of labelled images, "
            f"got labelled={data.labelled}, lines={len(labelled)}, file={files[0]}"
        )
    if shared := sorted(set(labelled) & set(unlabelled)):
        raise DataError(
            f"labelled and unlabelled lists must not overlap, got {len(shared)} images in both, "
            f"such as {shared[0]!r}, file={files[1]}; take them off one list"
        )
    if bare := [image_id for image_id in labelled if not dataset.has_mask(image_id)]:
        raise DataError(
            f"a labelled image must have a mask, got {bare[0]!r} ({len(bare)} such in all), "
            f"file={files[0]}; give it one or list it as unlabelled"
        )
    return Split(labelled, unlabelled)


def list_files(folder: Path) -> tuple[Path, Path]:
    """Return the paths of the labelled and the unlabelled list of a split, in either spelling."""
    found = [
        other if not (folder / ours).is_file() and (folder / other).is_file() else ours
        for ours, other in zip(LIST_FILES, OTHER_SPELLING, strict=True)
    ]
    return folder / found[0], folder / found[1]


def _names(train: tuple[str, ...]) -> Mapping[str, str]:
    """Return the training images by the names that a list may give them."""
    count = Counter(map(plain_id, train))
    plain = {plain_id(name): name for name in train if count[plain_id(name)] == 1}
    return plain | {name: name for name in train}


def _read_ids(path: Path, names: Mapping[str, str], remarks: Iterable[str]) -> tuple[str, ...]:
    listed = read_list(path)
    ids = [names.get(name) or names.get(plain_id(name), name) for name in listed]
    if twice := duplicates(ids):
        raise DataError(
            f"a list must name each image once, got {twice[0]!r} twice "
            f"({len(twice)} such in all), file={path}"
        )
    if strange := [name for name in ids if name not in names]:
        raise DataError(
            f"a split must list training images only, got {strange[0]!r} "
            f"({len(strange)} such in all; training images here: {len(set(names.values()))}), "
            f"file={path}" + "".join(f"; {remark}" for remark in remarks)
        )
    return tuple(sorted(ids))
