"""A journal: one JSON object a line, append-only, cut back to a step when training resumes.

A row counts once its line ends: what a killed writer tore is no row. Numbers that are not finite
are written as null, which standard JSON has, and read back as NaN.
"""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Mapping, Sequence
from io import FileIO
from pathlib import Path

from semisweep.core.errors import StoreError
from semisweep.store import files
from semisweep.store.files import Location, make_folder, plain, replacing, writing
from semisweep.store.json_fields import Fields
from semisweep.store.trial_records import Evaluation


def append(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Add rows to the end of the journal, all of them, or none.

    They outlive a loss of power, from the next `files.sync_folder` on where the journal is new.
    """
    data = "".join(json.dumps(plain(row), allow_nan=False) + "\n" for row in rows).encode()
    with writing(path):
        make_folder(path.parent)
        with FileIO(path, "a+") as file:
            end = _cut_torn_line(file)
            try:
                if file.write(data) != len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise


def read(path: Path) -> list[Evaluation]:
    """Return the rows; an absent journal has none."""
    return [_evaluation(line, path) for line in _lines(path)]


def parse(data: bytes, path: Location) -> list[Evaluation]:
    """Return the rows of a whole journal, which `path` names in errors."""
    return [_evaluation(line, path) for line in data.splitlines()]


def cut(path: Path, step: int) -> None:
    """Drop the rows whose "step" is beyond `step`, and a torn last line."""
    lines = _lines(path)
    kept = b"".join(line for line in lines if _evaluation(line, path).step <= step)
    if path.exists() and path.stat().st_size != len(kept):
        with replacing(path) as file:
            file.write(kept)


def _cut_torn_line(file: FileIO) -> int:
    """Cut off a last line without an end, and return the size that is left."""
    size = file.seek(0, os.SEEK_END)
    if size:
        file.seek(size - 1)
        if file.read(1) != b"\n":
            file.seek(0)
            size = file.readall().rfind(b"\n") + 1
            file.truncate(size)
    return size


def _lines(path: Path) -> list[bytes]:
    data = files.read(path) if path.exists() else b""
    return data[: data.rfind(b"\n") + 1].splitlines(keepends=True)


def _evaluation(line: bytes, path: Location) -> Evaluation:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"a line of a history must be JSON, got path={path}: {error}") from error
    if files.is_deep(row):
        raise StoreError(f"a line of a history must be numbers and texts, got path={path}")
    fields = Fields(row, "a line of a history", path)
    values = {name: math.nan if value is None else value for name, value in fields.values.items()}
    return Evaluation(fields.integer("step"), values)
