"""What the command line offers for searches and races."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from semisweep.cli.options import Study, chosen_scale, scale_option, store_option

Command = TypeVar("Command", bound=Callable[..., object])


def run_modes(command: Command) -> Command:
    """Add the options of `run` that say how a search suggests and what is stopped early."""
    for option in (
        click.option(
            "--race",
            is_flag=True,
            help="Replicate by replicate; rows clearly worse than the best get no further ones, at "
            "a tenth of the 5 %.",
        ),
        click.option(
            "--continue-stopped",
            is_flag=True,
            help="Train to the end what a search has stopped early.",
        ),
        click.option(
            "--deterministic",
            is_flag=True,
            help="Suggest trial k from the results up to k - slots, so that it repeats itself.",
        ),
        click.option(
            "--trials",
            type=click.IntRange(1),
            help="Trials that a search makes in its present space, instead of its own number; "
            "those of an earlier space that it knows come on top.",
        ),
    ):
        command = option(command)
    return command


@click.command("export-optuna")
@click.argument("search", type=Study())
@scale_option
@store_option
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="A new file: .db or .sqlite3 for SQLite, .log or .jsonl for Optuna's journal.",
)
def export_optuna(search: str, scale: str | None, store: str, output: Path) -> None:
    """Write SEARCH as a study of Optuna, for its dashboard and whatever else reads its storages."""
    from semisweep.search.optuna_export import export_search
    from semisweep.store.store import Store

    chosen = chosen_scale(scale, [search], store)
    count, named, url = export_search(Store.open(store), search, chosen, output)
    click.echo(f"{count} trials of {search} as study {named}: {url}")
