"""Numbers that were trained elsewhere, kept beside a store's own trials and never among them.

<root>/imported/<study>@<scale>.json   one entry a number: row, column, replicate, value, source
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from urllib.parse import quote

from semisweep.core.errors import ConfigError, StoreError, unknown
from semisweep.statistics.intervals import by_unit, interval, mean_std, several_draws
from semisweep.store import files
from semisweep.store.files import Location
from semisweep.store.json_fields import Fields
from semisweep.store.resolved_study import Place, ResolvedStudy
from semisweep.store.store import Store
from semisweep.study.catalogue import study_names
from semisweep.tables.table_values import Imported

FORMAT = 1
REQUIRED = ("study", "row", "column", "value")
OPTIONAL = ("scale", "replicate", "source")
DEFAULT_SCALE = "paper"
REPLICATE = re.compile(r"\d+/\d+")


@dataclass(frozen=True, kw_only=True)
class ImportedNumber:
    """The value of one replicate ("draw/seed") of a cell, in percent, and where it is from."""

    study: str
    scale: str
    row: str
    column: str
    replicate: str
    value: float
    source: str

    @property
    def cell(self) -> tuple[str, ...]:
        """The cell it belongs to, as one source tells of it."""
        return self.study, self.scale, self.row, self.column, self.source


def read_csv(path: Path) -> list[ImportedNumber]:
    """Return the numbers of a CSV file: study, row, column, value in percent.

    Scale, replicate ("draw/seed") and source may be told as well; without a replicate those of a
    cell are counted as seeds. Raises `ConfigError` naming the line of what will not do.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"a file to import must be readable text, got {path}: {error}") from None
    reader = csv.DictReader(text.splitlines())
    names = reader.fieldnames or ()
    lacking = [name for name in REQUIRED if name not in names]
    strange = [name for name in names if name not in (*REQUIRED, *OPTIONAL)]
    if lacking or strange:
        raise ConfigError(
            f"a file to import must have the columns {', '.join(REQUIRED)} and may have "
            f"{', '.join(OPTIONAL)}, got columns={','.join(names)}"
        )
    found: list[ImportedNumber] = []
    for number, line in enumerate(reader, start=2):
        found.append(_checked(line, f"{path}, line {number}", path.name, found))
    if not found:
        raise ConfigError(f"a file to import must hold numbers, got none in {path}")
    return found


def check_study(name: str, store: Store | None) -> None:
    """Raise `ConfigError` for a study that neither comes along nor is of the store.

    A file of numbers names no code to run.
    """
    stored = [] if store is None else [own for own, _ in store.studies()]
    known = dict.fromkeys([*study_names(), *stored])
    if name not in known:
        raise unknown("study to import numbers of", name, known)


def check_places(
    numbers: Sequence[ImportedNumber], tables: Mapping[tuple[str, str], ResolvedStudy]
) -> None:
    """Raise `ConfigError` for a row or column that the tables of study and scale do not have."""
    for number in numbers:
        table = tables[number.study, number.scale]
        parts = (("row", number.row, table.rows), ("column", number.column, table.columns))
        for part, name, labels in parts:
            known = [label.name for label in labels]
            if name not in known:
                raise unknown(f"{part} of {number.study}", name, known)


def keep(store: Store, numbers: Sequence[ImportedNumber]) -> int:
    """Keep numbers and return how many of them are new; raise `StoreError` for one that changed."""
    new = 0
    for study, scale in dict.fromkeys((number.study, number.scale) for number in numbers):
        kept = {_place(number): number for number in read_imported(store, study, scale)}
        before = len(kept)
        for number in numbers:
            if (number.study, number.scale) != (study, scale):
                continue
            known = kept.setdefault(_place(number), number)
            if known.value != number.value:
                raise StoreError(
                    "an imported number must not change, got "
                    f"value={number.value}, kept={known.value}, study={study}, "
                    f"row={number.row}, column={number.column}, source={number.source}; "
                    "name another source"
                )
        new += len(kept) - before
        _write(_path(store, study, scale), list(kept.values()))
    return new


def read_imported(store: Store, study: str, scale: str) -> list[ImportedNumber]:
    """Return what was imported for a study at a scale; raise `StoreError` for another file."""
    path = _path(store, study, scale)
    found = files.read_json(path)
    if found is None:
        return []
    fields = Fields(found, "a file of imported numbers", path)
    if fields.integer("format") != FORMAT:
        raise fields.wrong("format", f"{FORMAT}")
    return [
        ImportedNumber(
            study=study,
            scale=scale,
            row=entry.text("row"),
            column=entry.text("column"),
            replicate=entry.text("replicate"),
            value=entry.number("value"),
            source=entry.text("source"),
        )
        for entry in fields.items("entries", "an imported number")
    ]


def _write(path: Location, numbers: Sequence[ImportedNumber]) -> None:
    entries = [asdict(number) for number in numbers]
    for entry in entries:
        del entry["study"], entry["scale"]  # which the file's name tells
    files.write_json(path, {"format": FORMAT, "entries": entries})


def summaries(numbers: Sequence[ImportedNumber]) -> dict[Place, Imported]:
    """Return what imported numbers say of each cell."""
    cells: dict[Place, list[ImportedNumber]] = {}
    for number in numbers:
        cells.setdefault((number.row, number.column), []).append(number)
    return {place: _summary(own) for place, own in cells.items()}


def _summary(own: Sequence[ImportedNumber]) -> Imported:
    values = {f"{number.replicate} {number.source}": number.value for number in own}
    units = list(by_unit(values, draws=several_draws(values)).values())
    sources = tuple(dict.fromkeys(number.source for number in own))
    return Imported(len(units), *mean_std(units), *interval(units), sources)


def _checked(
    line: Mapping[str, str], where: str, file: str, earlier: Sequence[ImportedNumber]
) -> ImportedNumber:
    """Return the number of a line of a file; raise `ConfigError` that says `where`."""
    told = {name: (line.get(name) or "").strip() for name in (*REQUIRED, *OPTIONAL)}
    for name in ("study", "row", "column"):
        if not told[name]:
            raise ConfigError(f"a number to import must name its {name}, got none in {where}")
    number = ImportedNumber(
        study=told["study"],
        scale=told["scale"] or DEFAULT_SCALE,
        row=told["row"],
        column=told["column"],
        replicate=told["replicate"],
        value=_percent(told["value"], where),
        source=told["source"] or file,
    )
    taken = [other.replicate for other in earlier if other.cell == number.cell]
    number = replace(number, replicate=number.replicate or f"0/{len(taken)}")
    if not REPLICATE.fullmatch(number.replicate):
        raise ConfigError(
            f"a replicate must be draw/seed, such as 0/1, got {number.replicate!r} in {where}"
        )
    if number.replicate in taken:
        raise ConfigError(
            f"a replicate of a cell must be given once, got {number.replicate!r} again in {where}"
        )
    return number


def _percent(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 100:
        raise ConfigError(
            f"a value must be a number in percent, 0 to 100, got value={text!r} in {where}"
        )
    return value


def _place(number: ImportedNumber) -> tuple[str, ...]:
    return number.row, number.column, number.replicate, number.source


def _path(store: Store, study: str, scale: str) -> Location:
    return store.root / "imported" / f"{quote(study, safe=':')}@{quote(scale, safe='')}.json"
