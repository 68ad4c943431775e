"""Which training images are labelled: drawn at random, stratified, or read from lists on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from semisweep.data.base import DataSet
from semisweep.data.reading import duplicates, read_list
from semisweep.errors import ConfigError, DataError
from semisweep.seeding import numbers

if TYPE_CHECKING:
    from semisweep.trial import DataConfig

DRAWN_FAMILIES = ("random", "stratified")


@dataclass(frozen=True)
class Split:
    """The labelled and the unlabelled image ids."""

    labelled: tuple[str, ...]
    unlabelled: tuple[str, ...]

    @property
    def labelled_digest(self) -> str:
        """Return the digest of the labelled ids, whatever their order or file format."""
        return ids_digest(self.labelled)

    @property
    def unlabelled_digest(self) -> str:
        """Return the digest of the unlabelled ids, whatever their order or file format."""
        return ids_digest(self.unlabelled)


def ids_digest(ids: Iterable[str]) -> str:
    """Return 20 hexadecimal digits of the SHA-256 of the sorted ids."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()[:20]


def make_split(dataset: DataSet, data: DataConfig) -> Split:
    """Return the split that `data` asks for.

    Families "random" and "stratified" are drawn; any other name means the lists
    ROOT/splits/FAMILY/LABELLED/{labeled,unlabeled}.txt, lines as `read_list` takes them. Without a
    labelled count every training image is labelled, and all of them are unlabelled as well.
    """
    train = tuple(sorted(dataset.part("train")))
    if data.labelled is None:
        return Split(train, train)
    if data.labelled > len(train):
        raise ConfigError(
            f"labelled must be at most the number of training images, "
            f"got labelled={data.labelled}, training images={len(train)}"
        )
    if data.family not in DRAWN_FAMILIES:
        return _listed(dataset, data, frozenset(train))
    generator = numbers("split", data.family, data.labelled, data.draw)
    order = [train[index] for index in generator.permutation(len(train))]
    if data.family == "stratified":
        labelled = _stratified(dataset, order, data.labelled)
    else:
        labelled = order[: data.labelled]
    rest = sorted(set(train) - set(labelled))
    return Split(tuple(sorted(labelled)), tuple(rest))


def _stratified(dataset: DataSet, order: list[str], count: int) -> list[str]:
    """Return `count` ids of `order` that show every class about equally often.

    Greedy: again and again the class seen least so far, the rarer in training first, gets the next
    image in the order that shows it.
    """
    presence = np.stack([dataset.train_presence[image_id] for image_id in order])  # [N, C]
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


def _listed(dataset: DataSet, data: DataConfig, train: frozenset[str]) -> Split:
    if data.draw != 0:
        raise ConfigError(
            f"a split family of lists on disk has draw 0 only, "
            f"got family={data.family!r}, draw={data.draw}; drawn families: "
            + ", ".join(DRAWN_FAMILIES)
        )
    folder = dataset.root / "splits" / data.family / str(data.labelled)
    files = folder / "labeled.txt", folder / "unlabeled.txt"
    for path in files:
        if not path.is_file():
            raise DataError(
                f"split family {data.family!r} with {data.labelled} labelled images must have its "
                f"lists on disk, missing file={path}; drawn families: {', '.join(DRAWN_FAMILIES)}"
            )
    labelled, unlabelled = (_read_ids(path, train) for path in files)
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
    return Split(labelled, unlabelled)


def _read_ids(path: Path, train: frozenset[str]) -> tuple[str, ...]:
    ids = read_list(path)
    if twice := duplicates(ids):
        raise DataError(
            f"a list must name each image once, got {twice[0]!r} twice "
            f"({len(twice)} such in all), file={path}"
        )
    if strange := [image_id for image_id in ids if image_id not in train]:
        raise DataError(
            f"a split must list training images only, got {strange[0]!r} "
            f"({len(strange)} such in all), file={path}"
        )
    return tuple(sorted(ids))
