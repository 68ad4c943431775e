"""Numbers that were trained elsewhere, kept beside a store's own trials and never among them.

<root>/imported/<study>@<scale>.json   one entry a number: row, column, replicate, value, source
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from semisweep.core.errors import ConfigError, StoreError, unknown
from semisweep.statistics.intervals import by_unit, interval, mean_std, several_draws
from semisweep.store import files
from semisweep.store.files import Location
from semisweep.store.resolved_study import Place, ResolvedStudy
from semisweep.store.store import Store
from semisweep.tables.table_values import Imported

FORMAT = 1
REQUIRED = ("study", "row", "column", "value")
OPTIONAL = ("scale", "replicate", "source")
DEFAULT_SCALE = "paper"
REPLICATE = re.compile(r"\d+/\d+")

Line = dict[str, Any]


def read_lines(path: Path) -> list[Line]:
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
    found: list[Line] = []
    for number, line in enumerate(reader, start=2):
        found.append(_checked(line, number, path, found))
    if not found:
        raise ConfigError(f"a file to import must hold numbers, got none in {path}")
    return found


def check_places(lines: Sequence[Line], tables: Mapping[tuple[str, str], ResolvedStudy]) -> None:
    """Raise `ConfigError` for a row or column that the tables of study and scale do not have."""
    for line in lines:
        table = tables[line["study"], line["scale"]]
        for part, labels in (("row", table.rows), ("column", table.columns)):
            known = [label.name for label in labels]
            if line[part] not in known:
                raise unknown(f"{part} of {line['study']}", line[part], known)


def keep(store: Store, lines: Sequence[Line]) -> int:
    """Keep numbers and return how many of them are new; raise `StoreError` for one that changed."""
    new = 0
    for study, scale in dict.fromkeys((line["study"], line["scale"]) for line in lines):
        own = [line for line in lines if (line["study"], line["scale"]) == (study, scale)]
        kept = {_place(entry): entry for entry in entries(store, study, scale)}
        before = len(kept)
        for line in own:
            entry = {name: line[name] for name in ("row", "column", "replicate", "value", "source")}
            known = kept.setdefault(_place(entry), entry)
            if known["value"] != entry["value"]:
                raise StoreError(
                    "an imported number must not change, got "
                    f"value={entry['value']}, kept={known['value']}, study={study}, "
                    f"row={entry['row']}, column={entry['column']}, source={entry['source']}; "
                    "name another source"
                )
        new += len(kept) - before
        files.write_json(
            _path(store, study, scale), {"format": FORMAT, "entries": [*kept.values()]}
        )
    return new


def entries(store: Store, study: str, scale: str) -> list[Line]:
    """Return what was imported for a study at a scale."""
    kept = files.read_json(_path(store, study, scale)) or {"format": FORMAT, "entries": []}
    if kept.get("format") != FORMAT:
        raise StoreError(
            f"imported numbers must have format {FORMAT}, got format={kept.get('format')!r}, "
            f"path={_path(store, study, scale)}"
        )
    return list(kept["entries"])


def summaries(found: Sequence[Line]) -> dict[Place, Imported]:
    """Return what imported numbers say of each cell."""
    cells: dict[Place, list[Line]] = {}
    for entry in found:
        cells.setdefault((entry["row"], entry["column"]), []).append(entry)
    return {place: _summary(own) for place, own in cells.items()}


def _summary(own: Sequence[Line]) -> Imported:
    values = {f"{entry['replicate']} {entry['source']}": float(entry["value"]) for entry in own}
    units = list(by_unit(values, draws=several_draws(values)).values())
    sources = tuple(dict.fromkeys(entry["source"] for entry in own))
    return Imported(len(units), *mean_std(units), *interval(units), sources)


def _checked(line: Mapping[str, str], number: int, path: Path, earlier: Sequence[Line]) -> Line:
    where = f"{path}, line {number}"
    found: Line = {name: (line.get(name) or "").strip() for name in (*REQUIRED, *OPTIONAL)}
    for name in ("study", "row", "column"):
        if not found[name]:
            raise ConfigError(f"a number to import must name its {name}, got none in {where}")
    found["scale"] = found["scale"] or DEFAULT_SCALE
    found["source"] = found["source"] or path.name
    try:
        found["value"] = float(found["value"])
    except ValueError:
        found["value"] = math.nan
    if not 0 <= found["value"] <= 100:
        raise ConfigError(
            f"a value must be a number in percent, 0 to 100, got value={line.get('value')!r} "
            f"in {where}"
        )
    cell = [other for other in earlier if _cell(other) == _cell(found)]
    found["replicate"] = found["replicate"] or f"0/{len(cell)}"
    if not REPLICATE.fullmatch(found["replicate"]):
        raise ConfigError(
            f"a replicate must be draw/seed, such as 0/1, got {found['replicate']!r} in {where}"
        )
    if any(other["replicate"] == found["replicate"] for other in cell):
        raise ConfigError(
            f"a replicate of a cell must be given once, got {found['replicate']!r} again in {where}"
        )
    return found


def _cell(line: Line) -> tuple[str, ...]:
    return tuple(line[name] for name in ("study", "scale", "row", "column", "source"))


def _place(entry: Line) -> tuple[str, ...]:
    return tuple(entry[name] for name in ("row", "column", "replicate", "source"))


def _path(store: Store, study: str, scale: str) -> Location:
    return store.root / "imported" / f"{quote(study, safe=':')}@{quote(scale, safe='')}.json"
