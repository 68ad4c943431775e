"""Commands that list what a store has, show one trial of it, and remove from it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from semisweep.cli.options import store_option
from semisweep.core.errors import ConfigError


@click.command(name="list")
@store_option
def list_studies(store: str) -> None:
    """List the studies of a store, with the file or module that each was run from."""
    from semisweep.store.store import Store
    from semisweep.tables.store_list import list_lines

    for line in list_lines(Store.open(store)):
        click.echo(line)


@click.command(name="show")
@click.argument("key")
@store_option
def show_trial(key: str, store: str) -> None:
    """Show one trial: its state, its cells, its numbers and its folder; the start of KEY will do.

    What it said is shown by logs, how it differs from another one by diff.
    """
    from semisweep.store.store import Store
    from semisweep.tables.store_list import show_lines

    opened = Store.open(store)
    for line in show_lines(opened, opened.find(key)):
        click.echo(line)


@click.command()
@click.argument("names", metavar="STUDY|KEY...", nargs=-1, required=True)
@store_option
@click.option("--scale", help="Only studies of this scale.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def rm(names: Sequence[str], store: str, scale: str | None, yes: bool) -> None:
    """Remove studies, with trials that no other one wants, and single trials by their keys.

    Asks first. Looks at a table stay known: run again, it is looked at again. A search begins anew.
    """
    from semisweep.store.compaction import compact_after_sweep
    from semisweep.store.removal import plan_removal, remove
    from semisweep.store.store import Store

    opened = Store.open(store)
    found = plan_removal(opened, names, scale)
    if not yes and not sys.stdin.isatty():
        raise ConfigError(f"removing must be confirmed, got no terminal to ask; {found}; add --yes")
    if not yes and not click.confirm(f"remove from {store}: {found}. Go on?", err=True):
        click.echo("nothing is removed")
        return
    left = remove(opened, found)
    compact_after_sweep(opened)
    click.echo(f"removed {found}")
    if left:
        click.echo(f"left, as they are in training: {' '.join(left)}")
