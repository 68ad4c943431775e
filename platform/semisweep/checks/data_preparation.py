"""Data sets before anything is trained on them: made, or looked at for what is wrong.

Cheapest first: lists and layout, lists of labelled images, headers of files that are new, and only
then every pixel of these. What was read stays known on this machine, with or without a store.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from semisweep.core.errors import DataError
from semisweep.data.base import DataSet
from semisweep.data.check import header_problems, inspect, read_lists
from semisweep.data.content import Content, content_of, listed_images
from semisweep.data.shapes import make
from semisweep.data.splits import DataConfig, is_stratified
from semisweep.study.resolve import Splits

MANY = 500  # images to read, from which on it is said
TELL_SECONDS = 5.0  # between lines where nobody watches a terminal, a tenth of it where one does


def prepare_data(configs: Iterable[DataConfig], splits: Splits, *, verify: bool = False) -> None:
    """Make the embedded data set if it is wanted and not there; refuse data sets with faults.

    With `verify`, every file is read again. Of a data set that was looked at for these `splits`
    already only lists of labelled images are new.
    """
    wanted = list(dict.fromkeys(configs))
    for name in dict.fromkeys(data.name for data in wanted):
        own = [data for data in wanted if data.name == name]
        is_new = name not in splits.prepared
        if is_new and is_to_be_made(name, splits.roots.of(name)):
            make(splits.roots.of(name))
        dataset = splits.dataset(name)
        if is_new:
            refuse(read_lists(dataset)[1])
        for data in own:
            if not is_stratified(data):
                splits.of(data)
        if is_new:
            read_data(dataset, verify=verify)
            known = content_of(dataset)
            known.of(listed_images(dataset))
            known.settled = True
            splits.prepared.add(name)


def read_data(dataset: DataSet, *, verify: bool = False) -> None:
    """Read the files of a data set that were never read or have changed; raise `DataError`."""
    content = Content(dataset, verify=True) if verify else content_of(dataset)
    unread = content.unread(listed_images(dataset))
    say = Reading(dataset, len(unread))
    refuse(header_problems(dataset, unread))
    problems = inspect(dataset, say.progress, content=content).problems
    say.done()
    refuse(problems)


def refuse(problems: Sequence[str]) -> None:
    """Raise `DataError` for the first of some problems."""
    if problems:
        more = f" (and {len(problems) - 1} more: semisweep data check)" if problems[1:] else ""
        raise DataError(problems[0] + more)


def is_to_be_made(dataset: str, root: Path) -> bool:
    """Return whether a data set is the embedded one and not there yet."""
    return dataset == "shapes" and not root.exists()


class Reading:
    """Lines on standard error that tell how far a long reading of a data set is."""

    def __init__(self, dataset: DataSet, images: int) -> None:
        self.what, self.images = f"reading {dataset.name}", images
        self.watched = sys.stderr.isatty()
        self.told = time.monotonic()
        if images >= MANY:
            self._say(
                f"{self.what} at {dataset.root}: {images:,} images, once on this machine",
                is_last=True,
            )

    def progress(self, done: int, total: int) -> None:
        """Tell how many images are read, now and then."""
        now = time.monotonic()
        if total >= MANY and now - self.told > TELL_SECONDS / (10 if self.watched else 1):
            self.told = now
            self._say(f"{self.what}: {done:,} of {total:,} images", is_last=False)

    def done(self) -> None:
        """Tell that it is over."""
        if self.images >= MANY:
            self._say(f"{self.what}: {self.images:,} images read", is_last=True)

    def _say(self, text: str, *, is_last: bool) -> None:
        end = "\n" if is_last or not self.watched else ""
        start = "\r\x1b[2K" if self.watched else ""
        print(f"{start}{text}", end=end, file=sys.stderr, flush=True)
