"""What the cells of a study train at a scale, value by value, and where each value comes from."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from semisweep.core.config import Setting, encode, flatten, is_configuration, settings
from semisweep.core.markdown import grid
from semisweep.store.resolved_study import Place
from semisweep.study.declaration import Column, Row, Search, Study
from semisweep.study.preset_options import chosen, options_table
from semisweep.study.resolve import (
    SECTIONS,
    cell_trial,
    check_changes,
    column_preset,
    has,
    make_trial,
    preset_of,
    replication,
)
from semisweep.study.scales import Fields, Preset, at_scale
from semisweep.study.search_space import Bundle, Space, leaf_text, unfold
from semisweep.study.tuned_rows import space_of
from semisweep.training.trial import Trial

if TYPE_CHECKING:
    from semisweep.training.method import Method

PRESET, ROW, COLUMN, CHANGED, SEARCH, SPACE = (
    *("preset", "row", "column", "--set", "set by the search", "space"),
)
UNTOLD = ("training.steps", "training.epochs")  # the one of the two that is not given


@dataclass(frozen=True)
class Entry:
    """A value of a dotted field, the cells that have it, and where it comes from."""

    field: str
    value: object
    places: tuple[Place, ...]
    source: str


@dataclass(frozen=True)
class Cell:
    """A trained cell: its place, method, values and their sources by dotted field."""

    place: Place
    method: str
    values: Mapping[str, object]
    sources: Mapping[str, str]


def rows_and_columns(study: Study | Search) -> list[str]:
    """Return the names of a study's rows, columns and scales, as options of commands want them."""
    scales = f"scales   {', '.join(study.presets)}"
    if isinstance(study, Search):
        return [scales]
    rows = (
        f"{row.name} (published only)" if row.method is None else row.name for row in study.rows
    )
    columns = (f"{column.name} ({', '.join(column.set)})" for column in study.columns)
    named = [f"rows     {', '.join(rows)}", f"columns  {', '.join(columns)}"]
    return [scales, *named]


def cells_of(study: Study | Search, scale: str, changes: Fields) -> list[Cell]:
    """Return every trained cell of a study at a scale; of a search one. Raises `ConfigError`."""
    check_changes(study, scale, changes)
    if isinstance(study, Search):
        return [_search_cell(study, scale, changes)]
    return [
        _cell(study, scale, row, column, changes)
        for row in study.rows
        for column in study.columns
        if row.method is not None and column.exists(scale) and not column.unit
    ]


def entries(cells: Sequence[Cell]) -> list[Entry]:
    """Return each value of each field, with the cells that have it, in order of the fields."""
    found: dict[tuple[str, str], list[Cell]] = {}
    fields = dict.fromkeys(path for cell in cells for path in cell.values)
    for path in fields:
        for cell in cells:
            if path in cell.values:
                found.setdefault((path, repr(cell.values[path])), []).append(cell)
    return [
        Entry(
            path,
            own[0].values[path],
            tuple(cell.place for cell in own),
            "; ".join(dict.fromkeys(cell.sources[path] for cell in own)),
        )
        for (path, _), own in found.items()
    ]


def sources_table(study: Study | Search, scale: str, changes: Fields | None = None) -> str:
    """Return what all cells of a study have, where they differ, and where each value comes from."""
    cells = cells_of(study, scale, changes or {})
    heading = f"## {study.title} ({scale} scale)\n"
    if not cells:
        return f"{heading}\nNo cell is trained: its numbers are counts, or published.\n"
    found = entries(cells)
    every = {cell.place for cell in cells}
    values = {entry.field for entry in found if sum(o.field == entry.field for o in found) > 1}
    shared = [own for own in found if set(own.places) == every]
    differing = [own for own in found if own.field in values]
    partial = [own for own in found if own not in shared and own not in differing]
    parts = [heading, _table(["field", "used", "source"], [_line(own) for own in shared])]
    for title, own in (("Where cells differ", differing), ("Of some rows only", partial)):
        if own:
            lines = [_line(entry, cells_text(entry.places, cells)) for entry in own]
            parts += [f"### {title}\n", _table(["field", "used", "cells", "source"], lines)]
    parts += [own for own in (options_table(study, scale),) if own]
    return "\n".join(parts) + "".join(f"\n- {note}" for note in _notes(study, scale))


def cells_csv(studies: Sequence[Study | Search], scale: str, changes: Fields) -> Iterator[str]:
    """Yield lines of CSV: every field of every trained cell of some studies, with its source."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["study", "row", "column", "field", "value", "source"])
    for study in studies:
        for cell in cells_of(study, scale, changes):
            for path, value in cell.values.items():
                writer.writerow([study.name, *cell.place, path, value, cell.sources[path]])
        yield text.getvalue()
        text.seek(0)
        text.truncate()


def cells_text(places: Sequence[Place], cells: Sequence[Cell]) -> str:
    """Return cells by their rows and columns, as short as they can be told."""
    columns = list(dict.fromkeys(cell.place[1] for cell in cells))
    rows = list(dict.fromkeys(cell.place[0] for cell in cells))
    by_row = {row: [column for column in columns if (row, column) in places] for row in rows}
    told: dict[tuple[str, ...], list[str]] = {}
    for row, own in by_row.items():
        if own:
            told.setdefault(tuple(own), []).append(row)
    return "; ".join(
        " at ".join(
            [
                "all rows" if own == rows else ", ".join(own),
                *([] if list(where) == columns else [", ".join(where)]),
            ]
        )
        for where, own in told.items()
    )


def _cell(study: Study, scale: str, row: Row, column: Column, changes: Fields) -> Cell:
    assert row.method is not None
    trial = cell_trial(study, scale, row, column, changes)
    preset = column_preset(study, scale, column)
    set_by = dict.fromkeys(column.fields(scale), COLUMN)
    set_by |= dict.fromkeys(row.fields(scale, column.name), ROW)
    values, sources = _told(trial, preset, row.method, set_by, changes)
    _tell_space(space_of(row, scale), values, sources)
    metric = at_scale(column.metric, scale, "").format(**row.words)
    values["metric"] = metric or preset.metric
    sources["metric"] = COLUMN if metric else preset.source("metric") or PRESET
    draws, seeds = replication(study, scale)
    if draws > 1 and trial.data.labelled is None:  # all images are: only seeds differ
        draws, seeds = 1, draws * seeds
    if draws > 1:
        values["data.draw"], sources["data.draw"] = list(range(draws)), "draws of the study"
    values["seed"], sources["seed"] = list(range(seeds)), "seeds of the study"
    return Cell((row.name, column.name), trial.method, values, sources)


def _search_cell(study: Search, scale: str, changes: Fields) -> Cell:
    preset, fields = preset_of(study, scale), at_scale(study.set, scale, {})
    trial = make_trial(preset, study.own_method, fields, changes)
    values, sources = _told(trial, preset, study.own_method, dict.fromkeys(fields, SEARCH), changes)
    _tell_space(at_scale(study.space, scale, {}), values, sources)
    values["metric"], sources["metric"] = (
        ", ".join([study.metric, *(o.metric for o in study.also)]),
        SEARCH,
    )
    values["seed"], sources["seed"], sources["method"] = 0, SEARCH, SEARCH
    return Cell(("", ""), trial.method, values, sources)


def _tell_space(space: Space, values: dict[str, object], sources: dict[str, str]) -> None:
    """Put in place of the values that a search varies what they can be."""
    for name, item in space.items():
        conditions, leaf = unfold(item)
        where = [f"{other} in {list(accepted)}" for other, accepted in conditions]
        text = leaf_text(leaf) + (f", where {' and '.join(where)}" if where else "")
        values[name], sources[name] = text, SPACE
        if isinstance(leaf, Bundle):
            for path in dict.fromkeys(path for own in leaf.options.values() for path in own):
                chosen = [f"{o}: {own[path]}" for o, own in leaf.options.items() if path in own]
                for below in [own for own in values if own.startswith(f"{path}.")]:
                    del values[below], sources[below]
                values[path], sources[path] = ", ".join(chosen), f"{SPACE}, by {name}"


def _told(
    trial: Trial, preset: Preset, method: type[Method], set_by: Mapping[str, str], changes: Fields
) -> tuple[dict[str, object], dict[str, str]]:
    """Return the values of a trial and their sources, without defaults that say nothing."""
    values: dict[str, object] = {"method": trial.method}
    sources = {"method": ROW}
    defaults = dict(_defaults(method))
    whole = {name: encode(getattr(trial, name)) for name in ("data", "training", "config")}
    optional = {
        path: f"option {name}: {preset.options[name].source}"
        for name in chosen(changes)
        if name in preset.options
        for path in preset.options[name].set
    }
    changed = [path for path in changes if has(trial, path)]
    set_by = {**set_by, **optional, **dict.fromkeys(changed, CHANGED)}
    for path, value in flatten(whole).items():
        source = set_by.get(_longest(path, set_by), "")
        section, _, rest = path.partition(".")
        of_preset = section != "config" or rest.partition(".")[0] in preset.config
        if not source and of_preset:
            source = preset.source(path) or PRESET
        source = source or defaults.get(path, "")
        if not (path in UNTOLD and value is None):
            values[path], sources[path] = value, source or f"default of {method.__name__}"
    return values, sources


def _defaults(method: type[Method]) -> Iterator[tuple[str, str]]:
    """Yield each field of a method's configuration, and what its default is from."""
    yield from _default_sources(method.Config(), f"{SECTIONS[0]}.", method.__name__)


def _default_sources(value: object, prefix: str, name: str) -> Iterator[tuple[str, str]]:
    assert is_configuration(value)
    for field, item, about in settings(value):
        if is_configuration(item):
            yield from _default_sources(item, f"{prefix}{field}.", name)
        else:
            yield f"{prefix}{field}", f"default of {name}: {_origin(about)}".removesuffix(": ")


def _origin(about: Setting) -> str:
    """Return what paper and code say, and why what is used is used."""
    named = (("paper", about.paper), ("code", about.code), ("", about.why))
    return "; ".join(f"{kind} {text}".strip() for kind, text in named if text)


def _longest(path: str, fields: Iterator[str] | Sequence[str] | Mapping[str, str]) -> str:
    """Return the longest of some fields that is a field or holds it, "" for none."""
    found = [own for own in fields if path == own or path.startswith(f"{own}.")]
    return max(found, key=len, default="")


def _notes(study: Study | Search, scale: str) -> list[str]:
    """Return what presets say of themselves."""
    presets, own = [preset_of(study, scale)], [""]
    if isinstance(study, Study):
        columns = [column for column in study.columns if column.exists(scale)]
        presets += [column_preset(study, scale, column) for column in columns]
        own = [preset.metric_note for preset in presets]
    notes = [*own, *(note for one in presets for note in one.notes_on(one.data.name))]
    return [note for note in dict.fromkeys(notes) if note]


def _line(entry: Entry, *cells: str) -> list[str]:
    return [entry.field, str(entry.value), *cells, entry.source]


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return grid([list(head), *map(list, lines)])
