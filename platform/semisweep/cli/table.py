"""The commands that print tables, and that bring numbers from elsewhere into them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from semisweep.cli.options import Study, make_request, shared, store_option

if TYPE_CHECKING:
    from semisweep.store.resolved_search import StudyOrSearch
    from semisweep.store.resolved_study import ResolvedStudy
    from semisweep.study.request import Request

FORMATS = ("terminal", "markdown", "latex", "html", "csv")


@click.command()
@click.argument("studies", nargs=-1, required=True, type=Study())
@shared
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="terminal",
    show_default=True,
    help="Markdown in colours on a terminal, else plain; or one of the others.",
)
@click.option(
    "--notes",
    is_flag=True,
    help="Print all notes: every difference, the methods, the variance, effects over columns.",
)
@click.option(
    "--compact",
    is_flag=True,
    help="The table of a paper: rows by columns, mean ± std, the best bold, one caption.",
)
@click.option(
    "--effects",
    is_flag=True,
    help="Of a method taken apart: what its parts add, without the rows.",
)
@click.option("--bom", is_flag=True, help="Begin CSV as spreadsheets want it, to read its letters.")
@click.option("--keys", is_flag=True, help="List the trials of every cell, and how to repeat each.")
@click.option(
    "--curve",
    multiple=True,
    metavar="NAME",
    help="Print, as CSV, a measurement of every evaluation in training, such as val.miou.",
)
def table(
    studies: Sequence[str],
    form: str,
    notes: bool,
    compact: bool,
    effects: bool,
    bom: bool,
    keys: bool,
    curve: Sequence[str],
    **options: Any,
) -> None:
    """Print the tables of STUDIES, or of all, from what the store has."""
    from semisweep.tables.rendering import Reading, keys_table

    _check_forms(form, notes=notes, compact=compact, effects=effects, bom=bom)
    request = make_request(**options, names=studies)
    names = list(studies)
    if tuple(names) == ("all",):
        from semisweep.study.catalogue import study_names

        names = list(study_names())
        request = replace(request, any_scale=True)
    if curve:
        click.echo(_curves(names, curve, request), nl=False)
    elif keys:
        click.echo("\n".join(keys_table(name, request) for name in names))
    else:
        reading = Reading(names, request)
        for note in reading.notes:
            click.echo(f"note: {note}", err=True)
        text = reading.text(form, further=notes, compact=compact, effects_alone=effects)
        show("\ufeff" + text if bom else text, form)


def _check_forms(form: str, *, notes: bool, compact: bool, effects: bool, bom: bool) -> None:
    """Refuse options that do nothing together."""
    from semisweep.core.errors import ConfigError

    if bom and form != "csv":
        raise ConfigError(f"--bom is for CSV, got format={form}; add --format csv")
    if compact and notes:
        raise ConfigError("a compact table has no notes, got --compact and --notes; leave one out")
    if compact and effects:
        raise ConfigError("a compact table is of rows, got --compact and --effects; leave one out")


def _curves(names: Sequence[str], curve: Sequence[str], request: Request) -> str:
    import pandas as pd

    from semisweep.study.catalogue import stored_name
    from semisweep.tables.rendering import opened
    from semisweep.tables.training_curves import curves

    scale, changes, store = request.stored_scale, request.changes, opened(request)
    found = [
        curves(request.store, stored_name(name, store), curve, scale=scale, changes=changes)
        for name in names
    ]
    return str(pd.concat(found).to_csv(index=False, lineterminator="\n"))


def show(text: str, form: str = "terminal") -> None:
    """Print a rendered table; Markdown with rich where a terminal shows it."""
    if form != "terminal" or not in_terminal():
        click.echo(text)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(text))


def in_terminal() -> bool:
    """Return whether somebody reads what is printed."""
    return sys.stdout.isatty()


@click.command(name="import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@store_option
def import_numbers(file: Path, store: str) -> None:
    """Bring numbers that were trained elsewhere into the tables of a store, marked so.

    FILE is CSV with the columns study, row, column and value (in percent), and if you like scale
    (paper), replicate (draw/seed) and source (the file's name). They are never counted with trials.
    """
    from semisweep.store.store import Store
    from semisweep.tables import imported_numbers
    from semisweep.tables.rendering import opened, resolved_study

    numbers = imported_numbers.read_csv(file)
    tables = {}
    for study, scale in dict.fromkeys((number.study, number.scale) for number in numbers):
        imported_numbers.check_study(study, opened(_request(store, scale)))
        request = _request(store, scale)
        tables[study, scale] = _table_of(resolved_study(study, request, opened(request)), study)
    imported_numbers.check_places(numbers, tables)
    new = imported_numbers.keep(Store.open(store, create=True), numbers)
    click.echo(f"{new} of {len(numbers)} numbers are new, in {len(tables)} tables of {store}")


def _request(store: str, scale: str) -> Request:
    return make_request(scale=scale, store=store)


def _table_of(study: StudyOrSearch, name: str) -> ResolvedStudy:
    from semisweep.core.errors import ConfigError
    from semisweep.store.resolved_study import ResolvedStudy

    if not isinstance(study, ResolvedStudy):
        raise ConfigError(f"numbers must be of a table, got study={name}, which is a search")
    return study
