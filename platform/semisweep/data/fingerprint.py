"""Which data a trial sees: two digests beside its key, of what is in files rather than of names.

`seen` is of what decides the weights that are kept: labelled images with their masks, unlabelled
images where the method uses them, validation images with their masks, as these choose the best
weights, and what the values in masks mean. `test` is of the test images and their masks: where they
alone have changed, kept weights are scored again. Masks of unlabelled images are not looked at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from semisweep.core.config import digest
from semisweep.data.base import DataSet
from semisweep.data.content import whole_contents
from semisweep.data.shapes import is_standard
from semisweep.data.splits import DataConfig, Split, make_split

CHARACTERS = 8  # of each digest in the name of a trial


@dataclass(frozen=True)
class Fingerprint:
    """Digests of what a trial sees and of what it is tested on; the second may be empty."""

    seen: str
    test: str = ""
    is_standard: bool = False  # the embedded data set as it is made by default

    @property
    def suffix(self) -> str:
        """What a trial's name has after its key: nothing for the standard data set."""
        if self.is_standard:
            return ""
        return "".join(f"-{own[:CHARACTERS]}" for own in (self.seen, self.test) if own)


def fingerprint(dataset: DataSet, split: Split, *, uses_unlabelled: bool) -> Fingerprint:
    """Return the fingerprint of a trial on a split; reads files that were never read.

    A generated data set counts by what generates it: the bytes of its files differ between
    libraries. Raises `DataError` where a file is not right.
    """
    if made_by := dataset.generator():
        return Fingerprint(_digest([f"generated {made_by}"]), is_standard=is_standard(made_by))
    test = dataset.part("test") if "test" in dataset.parts else ()
    val = dataset.part("val") if "val" in dataset.parts else ()
    unlabelled = split.unlabelled if uses_unlabelled else ()
    found = whole_contents(dataset, {*split.labelled, *unlabelled, *val, *test})

    def lines(name: str, ids: Iterable[str], *, masks: bool = True) -> list[str]:
        return [
            f"{name} {image_id} {found[image_id].image} {found[image_id].mask if masks else ''}"
            for image_id in sorted(ids)
        ]

    seen = [f"meaning {digest(dataset.meaning())}", *lines("labelled", split.labelled)]
    seen += [*lines("unlabelled", unlabelled, masks=False), *lines("val", val)]
    return Fingerprint(_digest(seen), _digest(lines("test", test)) if test else "")


def whole_state(dataset: DataSet) -> str:
    """Return what tells all images and masks of a data set from earlier ones of its name.

    Nothing for the standard data set.
    """
    split = make_split(dataset, DataConfig(name=dataset.name))
    return fingerprint(dataset, split, uses_unlabelled=True).suffix


def masks_digest(dataset: DataSet, ids: Iterable[str]) -> str:
    """Return a digest of the masks of some images; of a generated data set, of its generator."""
    if made_by := dataset.generator():
        return _digest([f"generated {made_by}"])
    found = whole_contents(dataset, ids)
    return _digest(f"{image_id} {found[image_id].mask}" for image_id in sorted(found))


def _digest(lines: Iterable[str]) -> str:
    """Return 20 hexadecimal digits of the SHA-256 of some lines."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:20]
