"""Commands that show splits and read in the lists of public repositories."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from semisweep.cli.options import data_option, roots_of
from semisweep.core.errors import DataError

if TYPE_CHECKING:
    from semisweep.data.base import DataSet
    from semisweep.data.split_lists import Opener


@click.group(invoke_without_command=True)
@data_option
@click.pass_context
def splits(context: click.Context, data: Sequence[tuple[str, str]]) -> int:
    """Show the published splits, those that are here, and what they have in common."""
    from semisweep.core.markdown import grid
    from semisweep.data.split_report import split_lines, split_notes, splits_here

    if context.invoked_subcommand is not None:
        context.obj = data
        return 0
    open_here, names = opener(data)
    datasets = [dataset for name in names if (dataset := open_here(name)) is not None]
    here = [item for dataset in datasets for item in splits_here(dataset)]
    click.echo(grid(split_lines(here)))
    for note in split_notes(here):
        click.echo(f"- {note}")
    click.echo("- high quality: share of labelled images from Pascal VOC's own training list")
    if broken := sum(bool(item.problem) for item in here):
        raise DataError(f"{broken} splits here are to be mended")
    return 0


@splits.command("import")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@data_option
@click.option("--family", help="Keep lists that no one published, under this name.")
@click.option("--drop-shared", is_flag=True, help="Take labelled images off unlabelled lists.")
@click.pass_context
def import_splits(
    context: click.Context,
    folder: Path,
    data: Sequence[tuple[str, str]],
    family: str | None,
    drop_shared: bool,
) -> int:
    """Read the split lists of a checkout of a public repository, in whatever format."""
    from semisweep.data.split_lists import import_lists

    refused = 0
    total = 0
    open_here, names = opener([*(context.obj or ()), *data])
    for item in import_lists(folder, open_here, names, family=family, drop_shared=drop_shared):
        total += 1
        refused += item.state == "refused"
        name = str(item.origin or "unknown")
        reason = f": {' '.join(item.reason.split())}" if item.reason else ""
        shown = item.file.relative_to(folder)
        click.echo(f"{item.state:8}  {name:24}  {item.digest:20}  {shown}{reason}")
    if not total:
        raise DataError(
            f"a checkout must hold lists of labelled images such as labeled.txt, "
            f"got none in {folder}"
        )
    if refused:
        raise DataError(f"{refused} of {total} lists are refused, for the reasons above")
    return 0


def opener(data: Sequence[tuple[str, str]]) -> tuple[Opener, list[str]]:
    """Return a function that opens each data set of this machine once, and their names.

    It gives None for one that is not here. Those of one's own have a dataset.toml, at the place
    that is given or in the folder of all data sets. Raises `ConfigError` for any other name.
    """
    from functools import cache

    from semisweep.core.errors import unknown
    from semisweep.data.folder_data import MANIFEST
    from semisweep.data.registry import DATA_SETS, open_dataset

    roots = roots_of(data)
    own = sorted(path.parent.name for path in roots.default.glob(f"*/{MANIFEST}"))
    for name in roots.named:
        if name not in DATA_SETS and not (roots.of(name) / MANIFEST).is_file():
            error = unknown("data set", name, DATA_SETS)
            raise type(error)(f"{error} One of your own must have file={roots.of(name) / MANIFEST}")
    names = list(dict.fromkeys([*roots.named, *DATA_SETS, *own]))

    @cache
    def open_here(name: str) -> DataSet | None:
        if name not in names or not (name in roots.named or roots.of(name).is_dir()):
            return None
        return open_dataset(name, roots.of(name))

    return open_here, names
