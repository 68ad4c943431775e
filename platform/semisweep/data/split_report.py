"""What is known of splits and which of them are here: for reading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from semisweep.core.errors import SemisweepError
from semisweep.data.base import DataSet
from semisweep.data.known_splits import KNOWN, known_split
from semisweep.data.reading import read_list
from semisweep.data.split_lists import DRAW_FOLDER, Origin
from semisweep.data.splits import (
    SPLITS,
    DataConfig,
    Split,
    ids_digest,
    is_own_list,
    list_files,
    make_split,
    own_training_list,
    plain_id,
)

HEADING = ("data set", "family", "labelled", "draw", "unlabelled", "digest", "high quality", "here")
NOTHING = "–"


@dataclass(frozen=True)
class Here:
    """A split on disk: its ids as digests take them, or what is wrong with it."""

    origin: Origin
    split: Split | None
    high_quality: float | None = None
    problem: str = ""


def splits_here(dataset: DataSet) -> Iterator[Here]:
    """Yield every split of lists on disk of a data set, sorted, whole or not."""
    own = _own(dataset)
    for family, count, draw in sorted(_places(dataset.root / SPLITS)):
        origin = Origin(dataset.name, family, count, draw)
        data = DataConfig(name=dataset.name, family=family, labelled=count, draw=draw)
        try:
            found = make_split(dataset, data)
        except SemisweepError as error:
            yield Here(origin, None, problem=str(error))
            continue
        split = Split(*(tuple(map(plain_id, ids)) for ids in (found.labelled, found.unlabelled)))
        share = len(own & set(split.labelled)) / count if own else None
        yield Here(origin, split, share)


def _places(folder: Path) -> Iterator[tuple[str, int, int]]:
    """Yield family, count and draw of every folder that holds at least one list."""
    for counted in (path for path in folder.glob("*/*") if path.name.isdigit()):
        for path in (counted, *counted.iterdir()):
            draw = DRAW_FOLDER.fullmatch(path.name) if path != counted else None
            if (path == counted or draw) and any(file.is_file() for file in list_files(path)):
                number = int(draw.group(1)) if draw else 0
                yield counted.parent.name, int(counted.name), number


def _own(dataset: DataSet) -> set[str]:
    """Return Pascal VOC's own training images, whose masks are the better ones."""
    if dataset.name != "voc" or not own_training_list(dataset).is_file():
        return set()
    own = read_list(own_training_list(dataset))
    return set(own) if is_own_list(own, dataset.part("train")) else set()


def split_lines(here: Sequence[Here]) -> list[list[str]]:
    """Return a heading and a line for every published split and for every other that is here."""
    found: Mapping[Origin, Here] = {item.origin: item for item in here}
    lines = [list(HEADING)]
    for known in KNOWN:
        origin = Origin(*known[:4])
        share = None if known.high_quality is None else known.high_quality / known.labelled
        item = found.get(origin)
        lines.append(_line(origin, item, known.digest, share, "yes" if item else NOTHING))
    published = {Origin(*known[:4]) for known in KNOWN}
    for item in here:
        if item.origin not in published:
            digest = item.split.labelled_digest if item.split else NOTHING
            lines.append(_line(item.origin, item, digest, item.high_quality, "yes"))
    return lines


def _line(
    origin: Origin, item: Here | None, digest: str, share: float | None, state: str
) -> list[str]:
    split = item.split if item else None
    if item is not None and split is None:
        state = "broken"
    elif split is not None and split.labelled_digest != digest:
        state = f"other images: {split.labelled_digest}"
    return [
        *(origin.dataset, origin.family, str(origin.labelled), str(origin.draw)),
        str(len(split.unlabelled)) if split else NOTHING,
        digest,
        NOTHING if share is None else f"{100 * share:.0f} %",
        state,
    ]


def split_notes(here: Sequence[Here]) -> Iterator[str]:
    """Yield what is wrong with the splits that are here, and how they overlap."""
    for item in here:
        if item.problem:
            yield f"{item.origin}: {item.problem}"
        elif item.split is not None:
            yield from _false_name(item.origin, item.split)
    for first, second in combinations([item for item in here if item.split], 2):
        assert first.split is not None
        assert second.split is not None
        one, other = first.origin, second.origin
        if (one.dataset, one.labelled) == (other.dataset, other.labelled):
            common = len(set(first.split.labelled) & set(second.split.labelled))
            yield f"{one} and {other}: {common} of {one.labelled} labelled images in common"


def _false_name(origin: Origin, split: Split) -> Iterator[str]:
    """Yield a line where lists go by the name of a published split that they are not."""
    same = [known for known in KNOWN if Origin(*known[:4]) == origin]
    if same and same[0].digest != split.labelled_digest:
        known = known_split(ids_digest(split.labelled))
        really = f"; they are {Origin(*known[:4])}" if known else ""
        yield (
            f"{origin}: the labelled images must have digest {same[0].digest}, "
            f"got {split.labelled_digest}{really}; cells are compared only within one digest"
        )
