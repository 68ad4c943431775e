"""A journal for places where nothing can be appended to: numbered files that are never changed.

<folder>/history-000003.jsonl   the rows of the fourth call of `append`

One process writes at a time. Rows are as in `semisweep.store.history_file`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from semisweep.store import files
from semisweep.store.files import Location, plain
from semisweep.store.history_file import parse
from semisweep.store.trial_records import Evaluation

_NAME = re.compile(r"history-(\d+)\.jsonl")
_READERS = 8


def append(
    folder: Location, rows: Sequence[Mapping[str, object]], number: int | None = None
) -> int:
    """Add rows, all of them and durably, or none; return the number of the next segment.

    That is the `number` to give next time, which saves a look at what is there.
    """
    if number is None:
        number = max(map(_number, names(folder)), default=-1) + 1
    while not files.create(folder / f"history-{number:06d}.jsonl", encode(rows)):
        number += 1
    return number + 1


def read(folder: Location) -> list[Evaluation]:
    """Return the rows; a folder without segments has none."""
    found = names(folder)
    if not found:
        return []

    def rows(name: str) -> list[Evaluation]:
        return parse(files.read(folder / name), folder / name)

    with ThreadPoolExecutor(min(_READERS, len(found))) as pool:
        return [row for part in pool.map(rows, found) for row in part]


def cut(folder: Location, step: int) -> None:
    """Drop the rows whose "step" is beyond `step`, the last ones first."""
    for name in reversed(names(folder)):
        path = folder / name
        rows = parse(files.read(path), path)
        kept = [row for row in rows if row.step <= step]
        if not kept:
            path.unlink(missing_ok=True)
        elif len(kept) < len(rows):
            with files.replacing(path) as file:
                file.write(encode(row.values for row in kept))


def names(folder: Location) -> list[str]:
    """Return the names of the segments in their order."""
    return sorted(filter(is_one, (entry.name for entry in files.scan(folder))), key=_number)


def is_one(name: str) -> bool:
    """Return whether a file of this name is a segment."""
    return _NAME.fullmatch(name) is not None


def encode(rows: Iterable[Mapping[str, object]]) -> bytes:
    """Return rows as lines of JSON; NaN and Inf are null."""
    return "".join(json.dumps(plain(row), allow_nan=False) + "\n" for row in rows).encode()


def _number(name: str) -> int:
    match = _NAME.fullmatch(name)
    assert match
    return int(match[1])
