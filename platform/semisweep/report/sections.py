"""The sections of a report: a table or a search each, as plain values that the template shows."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from markupsafe import Markup, escape

from semisweep.report import column_figures, curve_plots, search_figures
from semisweep.report.axes import Axis, number, round_ticks, value_axis
from semisweep.report.curve_plots import PUBLISHED
from semisweep.report.effect_figures import effect_figures
from semisweep.report.figure import Entry, Figure
from semisweep.report.provenance_facts import facts
from semisweep.report.svg import axis_below, interval, interval_axis, swatch
from semisweep.search.trial_outcome import outcomes
from semisweep.store.resolved_search import ResolvedSearch, StudyOrSearch, Value
from semisweep.store.resolved_study import Label, Place
from semisweep.store.snapshot import Snapshot
from semisweep.store.study_choice import options, set_options
from semisweep.tables.cell_texts import EMPTY, NOTHING, CellText, heading, lines
from semisweep.tables.confirmation_notes import confirmation_notes, trained_again
from semisweep.tables.difference_dots import WIDTH, difference_dots, span_of
from semisweep.tables.effect_texts import effects_notes
from semisweep.tables.footnotes import further_notes
from semisweep.tables.footnotes import notes as table_notes
from semisweep.tables.html_table import effects_grid
from semisweep.tables.rendering import tabulate
from semisweep.tables.search_summary import in_order, scores_of
from semisweep.tables.table_values import Cell, Table
from semisweep.tables.verdict_texts import NO_VERDICT, confidence

TRIALS_SHOWN = 60  # of a search


@dataclass(frozen=True, kw_only=True)
class Line:
    """A row of a table at one column: its texts, a picture, and what leads to its trials."""

    row: Label
    text: CellText
    has_cell: bool
    imported: bool = False
    base: bool = False
    best: bool = False
    missing: bool = False
    picture: str = ""
    dots: str = ""  # the difference of each replicate
    verdict_kind: str = "none"
    trials: Sequence[tuple[str, str]] = ()  # replicate, key
    command: str = ""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A column of a table with its rows; of counts there are the first two headings only."""

    label: str
    heading: Sequence[str]
    counts: bool
    lines: Sequence[Line]
    axis: str = ""  # beneath the pictures of means and intervals
    dots_axis: str = ""  # beneath those of differences
    legend: Sequence[Entry] = ()  # of both


@dataclass(kw_only=True)
class FigureGroup:
    """A group of figures under one heading; it begins closed where it would be long."""

    title: str
    figures: Sequence[Figure]
    closed: bool = False
    note: str = ""


@dataclass(kw_only=True)
class Section:
    """One study of the report."""

    anchor: str
    title: str
    name: str
    scale: str
    kind: str
    finished: int
    wanted: int
    failed: int
    summary: str
    grids: Sequence[Grid] = ()
    effects: Sequence[Markup] = ()  # what a design says of parts, a table a column
    base: bool = False
    published: bool = False
    head: Sequence[str] = ()
    body: Sequence[tuple[Sequence[str], str]] = ()  # cells, and the key of a search's trial
    more: int = 0
    parts: list[FigureGroup] = field(default_factory=list)
    notes: Sequence[Markup] = ()
    further: Sequence[Markup] = ()  # notes, folded
    facts: Sequence[tuple[str, str]] = ()
    run: str = ""


def section(
    study: StudyOrSearch, stored: Snapshot, store_path: str, data: Sequence[str] = ()
) -> Section:
    """Return the section of a resolved study; `data` are the options that say where images lie."""
    if isinstance(study, ResolvedSearch):
        return _search(study, stored, store_path)
    trials = {place: cell.trials for place, cell in study.at.items()}
    results = {key: stored.results[key] for key in study.keys if key in stored.results}
    table = tabulate(study, stored)
    made = _begun(study, stored)(
        summary=_summary(table),
        grids=[_grid(table, column, trials, store_path, data) for column in table.columns],
        base=bool(table.base),
        published=any(cell.published is not None for cell in table.cells.values()),
        effects=[_effects(table, column) for column in table.columns if table.effects],
        notes=as_html([*effects_notes(table), *table_notes(table)]),
        further=as_html(further_notes(table)),
        facts=facts(list(results.values())),
        run=_run(study, store_path, data),
    )
    made.parts += _parts(table, stored, trials, study.curves)
    return made


def _parts(
    table: Table,
    stored: Snapshot,
    trials: Mapping[Place, Mapping[str, str]],
    curves: Sequence[str],
) -> Iterator[FigureGroup]:
    over_training = list(curve_plots.learning(table, stored, trials))
    own = list(curve_plots.over_training(table, stored, trials, curves))
    losses = [figure for figure in over_training if "mIoU" not in figure.caption]
    scores = [figure for figure in over_training if figure not in losses]
    figures = [*curve_plots.responses(table), *column_figures.scores_by_count(table), *own]
    figures += scores
    of_columns = list(column_figures.column_bars(table))
    figures += of_columns or curve_plots.class_bars(table, stored)
    of_parts = list(effect_figures(table))
    if of_parts:
        yield FigureGroup(title="Parts", figures=of_parts)
    if figures:
        yield FigureGroup(title="Figures", figures=figures)
    if losses:
        yield FigureGroup(title="Losses", figures=losses, closed=True)


def _begun(study: StudyOrSearch, stored: Snapshot) -> partial[Section]:
    """Return a section that has what is said of a study before its numbers."""
    keys, changed = study.keys, f" ({options(study.changes)})" if study.changes else ""
    return partial(
        Section,
        anchor=re.sub(r"[^\w-]+", "-", f"{study.name}-{study.scale}{changed}"),
        title=(study.title or study.name) + changed,
        name=study.name,
        scale=study.scale,
        kind="search" if isinstance(study, ResolvedSearch) else "table",
        finished=sum(key in stored.results for key in keys),
        failed=sum(key in stored.errors for key in keys),
        wanted=len(keys),
    )


def _grid(
    table: Table,
    column: Label,
    trials: Mapping[Place, Mapping[str, str]],
    store_path: str,
    data: Sequence[str],
) -> Grid:
    cells = [cell for cell in table.cells.values() if cell.column == column.name]
    numbers = [value for cell in cells for value in (cell.mean, cell.low, cell.high)]
    numbers += [cell.published for cell in cells if cell.published is not None]
    axis, span = value_axis("", numbers, count=3), span_of(table, column)
    made = list(_lines(table, column, trials, store_path, data, axis))
    drawn, legend = any(line.picture for line in made), list[Entry]()
    if drawn and any(math.isfinite(cell.mean) for cell in cells):
        legend.append((swatch(0), f"ours, {confidence(table.level)} interval"))
    if drawn and any(cell.published is not None for cell in cells):
        legend.append((swatch(PUBLISHED, hollow=True, kind="none"), "published"))
    ticks = round_ticks(*span, 2) if span else ()
    if any(line.dots for line in made):
        legend.append((swatch(0, kind="none"), "Δ of a replicate; upright line: no difference"))
    return Grid(
        label=column.label,
        heading=heading(table, column),
        counts=bool(column.unit),
        lines=made,
        axis=interval_axis(axis) if drawn else "",
        dots_axis=axis_below([(span.at(at), text) for at, text in ticks], WIDTH) if span else "",
        legend=legend,
    )


def _effects(table: Table, column: Label) -> Markup:
    """Return the table of what a design says of its parts in a column, whose texts are escaped."""
    return Markup("\n".join(effects_grid(table, column)))


def _lines(
    table: Table,
    column: Label,
    trials: Mapping[Place, Mapping[str, str]],
    store_path: str,
    data: Sequence[str],
    axis: Axis,
) -> Iterator[Line]:
    span = span_of(table, column)
    for line in lines(table, column):
        cell = line.cell
        if cell is None:
            imported = line.text is not EMPTY
            yield Line(row=line.row, text=line.text, has_cell=imported, imported=imported)
            continue
        own = trials.get((cell.row, cell.column), {})
        yield Line(
            row=line.row,
            text=line.text,
            has_cell=True,
            base=cell.row == table.base,
            best=line.best,
            missing=not cell.keys and cell.value is None,
            picture="" if column.unit else _picture(axis, line.row, cell, line.text),
            dots=Markup(difference_dots(table, line.row.label, cell, span)),
            verdict_kind=cell.decision.verdict.replace(" ", "-") if cell.decision else "none",
            trials=list(own.items()),
            command=_again(table, cell, own, store_path, data) if own else "",
        )


def _picture(axis: Axis, row: Label, cell: Cell, text: CellText) -> str:
    """Return a cell's mean, interval and published number on an axis; "" where it has none."""
    if not cell.keys and cell.published is None:
        return ""
    told = f"{row.label}: {text.ours}"
    return interval(axis, cell.mean, cell.low, cell.high, cell.published, told)


def _again(
    table: Table, cell: Cell, trials: Mapping[str, str], store_path: str, data: Sequence[str]
) -> str:
    """Return the command that trains a cell's first trial anew, in a store beside this one."""
    seed = next(iter(trials)).rpartition("/")[2]
    place = ["--column", cell.column, "--seed", seed, "--scale", table.scale]
    words = ["debug", known(table.name), cell.row, *place, *set_options(table.changes), *data]
    return shlex.join(["semisweep", *words, "--store", f"{store_path}-again"])


def _run(study: StudyOrSearch, store_path: str, data: Sequence[str]) -> str:
    words = [
        "semisweep",
        "run",
        known(study.name),
        "--scale",
        study.scale,
        *set_options(study.changes),
    ]
    return shlex.join([*words, *data, "--store", store_path])


def known(name: str) -> str:
    """Return how a command names a study: of a file of the user's only the end is known."""
    from semisweep.study.catalogue import is_shipped

    return name if is_shipped(name) else f"FILE.py:{name}"


def _summary(table: Table) -> str:
    """Return the verdicts of a table in a few words."""
    words: list[str] = [own.verdict for found in table.effects.values() for own in found]
    if not words:
        decisions = (cell.decision for cell in table.cells.values())
        words = [decision.verdict for decision in decisions if decision is not None]
    return ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words)) or NO_VERDICT


def as_html(notes: Iterable[str]) -> list[Markup]:
    """Return notes of a table, the very ones of its Markdown, as HTML."""
    texts = (escape(" ".join(text.split())) for text in notes)
    return [Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(text))) for text in texts]


def _search(study: ResolvedSearch, stored: Snapshot, store_path: str) -> Section:
    found = search_figures.search_trials(study, stored)
    known = outcomes(stored.store, study, stored.results) if stored.store else {}
    again = {own.number: own for own in trained_again(study, stored.results, stored.errors)}
    order = list(again)
    entries = [entry for entry in in_order(study, known) if entry.key in known]
    entries.sort(key=lambda own: order.index(own.number) if own.number in again else len(order))
    names = list(dict.fromkeys(name for trial in found for name in trial.params))
    names += [name for own in entries for name in own.params if name not in names]
    keys, metrics = study.keys, study.metrics
    heads = [f"{study.metric} again", *(f"{own} as found" for own in metrics)] if again else metrics
    head = ["trial", *(name.rpartition(".")[2] for name in names), *heads, "key"]
    body = [
        ([f"#{own.number}", *(_text(own.params.get(name)) for name in names),
          *([again[own.number].text(study.metric) if own.number in again else NOTHING]
            if again else []),
          *scores_of(metrics, own, known.get(own.key))], own.key)
        for own in entries
    ]  # fmt: skip
    mattered, ends = search_figures.importances(study, found), search_figures.ends(found)
    whole = next((own for own in again.values() if own.whole), None)
    best = "no trial has finished"
    if found:
        best = f"best as found {body[0][0][1 + len(names) + bool(again)]}, not confirmed"
    if whole and not any(own.open for own in again.values()):
        best = f"best {whole.text(study.metric)}, trained again"
    notes = [*confirmation_notes(study, ends, list(again.values()))]
    notes.append(f"Importance: {mattered.text}.")
    made = _begun(study, stored)(
        summary=best,
        head=head,
        body=body[:TRIALS_SHOWN],
        more=max(0, len(body) - TRIALS_SHOWN),
        notes=[
            Markup("{}, {}: the best first.").format(", ".join(metrics), study.direction),
            *(escape(note) for note in notes),
        ],
        facts=facts([stored.results[key] for key in keys if key in stored.results]),
        run=_run(study, store_path, ()),
    )
    stopped = search_figures.stopped_trials(study, known)
    figures = list(search_figures.figures(study, found, mattered, stopped))
    figures += search_figures.learning(study, stored, found, stopped)
    if figures:
        made.parts.append(FigureGroup(title="The search", figures=figures))
    return made


def _text(value: Value) -> str:
    if value is None:
        return NOTHING
    return number(value) if isinstance(value, float) else str(value)
