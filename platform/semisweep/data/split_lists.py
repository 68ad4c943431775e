"""Reading the split lists of public repositories, whatever their format, into ours.

Found by their names beneath a folder, the unlabelled list beside the labelled one:

labeled.txt, unlabeled.txt                          UniMatch, ST++: paths of image and mask
labeled.txt, unlabeled.txt                          U2PL: a bare id, or the path of an image
train_aug_labeled_1-16.txt, ..._unlabeled_...       CPS: a bare id, or two paths and a tab
labeled_filename.txt, unlabeled_filename.txt        PRCL and CSS, one folder a seed: a bare id

What a list is, its content says: the digest of its plain ids.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from semisweep.core.errors import ConfigError, DataError, SemisweepError
from semisweep.data.base import DataSet
from semisweep.data.known_splits import (
    FAMILIES,
    PSEUDOSEG,
    VOC_OWN,
    WHOLE,
    Pool,
    known_pool,
    known_split,
)
from semisweep.data.reading import duplicates, read_list
from semisweep.data.splits import (
    DRAWN_FAMILIES,
    LIST_FILES,
    ids_digest,
    list_files,
    lists_folder,
    plain_id,
)
from semisweep.store.files import replacing

LABELLED_FILE = re.compile(r"(?<!un)(label+ed)(?=[._])", re.IGNORECASE)
PLAIN_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
DRAW_FOLDER = re.compile(r"(?:split_|draw_|seed_)?(\d+)")

Opener = Callable[[str], DataSet | None]


@dataclass(frozen=True)
class Lists:
    """The lists of one split as somebody's files have them; ids are plain."""

    file: Path
    labelled: tuple[str, ...]
    unlabelled: tuple[str, ...] | None  # None: there is no such list

    @property
    def digest(self) -> str:
        """Return the digest of the labelled ids."""
        return ids_digest(set(self.labelled))

    @property
    def pool(self) -> Pool | None:
        """Return the known set of training images that both lists make up, or None."""
        both = {*self.labelled, *(self.unlabelled or ())}
        return known_pool(ids_digest(both)) if self.unlabelled is not None else None

    @property
    def shared(self) -> list[str]:
        """Return the ids in both lists."""
        return sorted(set(self.labelled) & set(self.unlabelled or ()))


@dataclass(frozen=True)
class Origin:
    """Which split some lists are."""

    dataset: str
    family: str
    labelled: int
    draw: int

    def __str__(self) -> str:
        """Return the words for it."""
        draw = f" draw {self.draw}" if self.draw else ""
        return f"{self.dataset} {self.family} {self.labelled}{draw}"


@dataclass(frozen=True)
class Imported:
    """What became of one labelled list: `state` is imported, there, skipped or refused."""

    file: Path
    origin: Origin | None
    digest: str
    state: str
    reason: str = ""


def find_lists(folder: Path) -> Iterator[Path]:
    """Yield the lists of labelled images beneath a folder, sorted; links are not followed."""
    if not folder.is_dir():
        raise DataError(f"a checkout to read split lists from must be a folder, got {folder}")
    for path, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.lower().endswith(".txt") and LABELLED_FILE.search(name):
                yield Path(path) / name


def read_lists(file: Path) -> Lists:
    """Return a labelled list and the unlabelled one beside it; raise `DataError`."""
    beside = file.with_name(LABELLED_FILE.sub(r"un\1", file.name, count=1))
    labelled = tuple(map(plain_id, read_list(file)))
    unlabelled = tuple(map(plain_id, read_list(beside))) if beside.is_file() else None
    return Lists(file, labelled, unlabelled)


def recognise(lists: Lists) -> Origin | None:
    """Return which published split some lists are, by their content alone, or None."""
    known = known_split(lists.digest)
    if known is None:
        return None
    own = lists.pool == VOC_OWN and lists.unlabelled
    family = PSEUDOSEG if own else known.family
    return Origin(known.dataset, family, known.labelled, known.draw)


def list_problems(lists: Lists) -> Iterator[str]:
    """Yield what is wrong within the lists of a split, one line a problem."""
    if not lists.labelled:
        yield f"a list must name at least one image, got 0, file={lists.file}"
    for kind, ids in (("labelled", lists.labelled), ("unlabelled", lists.unlabelled or ())):
        if twice := duplicates(ids):
            yield (
                f"a list must name each image once, got {twice[0]!r} twice "
                f"({len(twice)} such in all) among the {kind}, file={lists.file}"
            )
    if shared := lists.shared:
        yield (
            f"labelled and unlabelled lists must not overlap, got {len(shared)} images in both, "
            f"such as {shared[0]!r}, file={lists.file}; --drop-shared leaves them labelled only"
        )
    count = lists.file.parent.name
    if count.isdigit() and LABELLED_FILE.match(lists.file.name) and _misnamed(lists, int(count)):
        yield (
            f"a folder that is named after a number of labelled images must hold so many, "
            f"got folder={count}, images={len(lists.labelled)}, file={lists.file}"
        )


def _misnamed(lists: Lists, number: int) -> bool:
    """Return whether a folder's number is a wrong count, rather than that of a seed."""
    if lists.file.parent.parent.name.isdigit() or known_split(lists.digest) is not None:
        return False
    return number != len(lists.labelled)


def import_lists(
    folder: Path,
    open_here: Opener,
    names: Sequence[str],
    *,
    family: str | None = None,
    drop_shared: bool = False,
) -> Iterator[Imported]:
    """Write every split found beneath `folder` beside its data set, and yield what became of each.

    `open_here` returns a data set of this machine, or None where it is not there: its lists are
    skipped. `names` of data sets, in whose order one is looked for that has the images of lists
    that no one published. Such lists are skipped too, unless a `family` is given to keep them
    under. Lists with a problem are refused; the others are imported nevertheless.
    """
    if family is not None:
        check_family(family)
    for file in list(find_lists(folder)):  # before any is written: the data may lie there too
        try:
            yield _import(read_lists(file), open_here, names, family, drop_shared)
        except SemisweepError as error:
            yield Imported(file, None, "", "refused", str(error))


def check_family(family: str) -> None:
    """Raise `ConfigError` unless `family` is a plain name that nothing else goes by."""
    if not PLAIN_NAME.fullmatch(family) or family in (*FAMILIES, *DRAWN_FAMILIES):
        raise ConfigError(
            f"a family of lists must have a plain name of its own, got family={family!r}; "
            f"taken: {', '.join((*FAMILIES, *DRAWN_FAMILIES))}"
        )


def _import(
    lists: Lists, open_here: Opener, names: Sequence[str], family: str | None, drop_shared: bool
) -> Imported:
    digest = lists.digest
    if drop_shared and lists.shared and lists.unlabelled is not None:
        kept = tuple(name for name in lists.unlabelled if name not in set(lists.labelled))
        lists = Lists(lists.file, lists.labelled, kept)
    origin = recognise(lists)
    if origin is None and family is not None:
        origin = _own_origin(lists, open_here, names, family)
    if problems := list(list_problems(lists)):
        return Imported(lists.file, origin, digest, "refused", "; ".join(problems))
    if origin is None:
        reason = "not a published split" + ("" if family else "; --family NAME keeps it")
        return Imported(lists.file, None, digest, "skipped", reason)
    dataset = open_here(origin.dataset)
    if dataset is None:
        reason = f"data set {origin.dataset} is not here: --data {origin.dataset}=PATH"
        return Imported(lists.file, origin, digest, "skipped", reason)
    train = {plain_id(name) for name in dataset.part("train")}
    unlabelled = _unlabelled(lists, origin, train, dataset.remarks())
    return Imported(lists.file, origin, digest, *_write(dataset.root, origin, lists, unlabelled))


def _own_origin(
    lists: Lists, open_here: Opener, names: Sequence[str], family: str
) -> Origin | None:
    """Return the origin of lists that no one published: of the data set that has the images."""
    folders = lists.file.parent
    draw = DRAW_FOLDER.fullmatch(folders.name)
    seeded = draw is not None and folders.parent.name == str(len(lists.labelled))
    for name in names:
        dataset = open_here(name)
        if dataset is not None and set(lists.labelled) <= set(map(plain_id, dataset.part("train"))):
            number = int(draw.group(1)) if draw is not None and seeded else 0
            return Origin(name, family, len(lists.labelled), number)
    return None


def _unlabelled(
    lists: Lists, origin: Origin, train: set[str], remarks: Iterable[str]
) -> tuple[str, ...]:
    """Return the unlabelled ids; without a list, all other training images."""
    whole = WHOLE.get(origin.dataset)
    if strange := sorted({*lists.labelled, *(lists.unlabelled or ())} - train):
        more = f"; the published lists are of {whole.name}, {whole.images} images" if whole else ""
        more += "".join(f"; {remark}" for remark in remarks)
        raise DataError(
            f"a split must list training images only, got {strange[0]!r} ({len(strange)} such in "
            f"all; training images here: {len(train)}), file={lists.file}{more}"
        )
    rest = tuple(sorted(train - set(lists.labelled)))
    known = known_split(lists.digest)
    if known is None or origin.family == PSEUDOSEG:
        return rest if lists.unlabelled is None else lists.unlabelled
    assert whole is not None
    found = rest if lists.unlabelled is None else lists.unlabelled
    if ids_digest(found) != known.rest_digest:
        raise DataError(
            f"the unlabelled images of {origin} must be the other "
            f"{whole.images - origin.labelled} of {whole.name}, got {len(found)} images with "
            f"digest {ids_digest(found)}, file={lists.file}; restore the lists or the data set"
        )
    return found


def _write(
    root: Path, origin: Origin, lists: Lists, unlabelled: tuple[str, ...]
) -> tuple[str, str]:
    """Write a split in our format; return its state and the reason of a refusal."""
    folder = lists_folder(root, origin.family, origin.labelled, origin.draw)
    wanted = [ids_digest(lists.labelled), ids_digest(unlabelled)]
    files = list_files(folder)
    if any(file.is_file() for file in files):
        there = [ids_digest(map(plain_id, read_list(file))) for file in files if file.is_file()]
        if there == wanted:
            return "there", ""
        if len(there) == 2:
            return "refused", f"other lists of that name must not be replaced, folder={folder}"
    # The labelled list last: a split that was interrupted is written anew.
    for name, ids in reversed([*zip(LIST_FILES, (lists.labelled, unlabelled), strict=True)]):
        with replacing(folder / name) as file:
            file.write("".join(f"{image_id}\n" for image_id in sorted(ids)).encode())
    return "imported", ""
