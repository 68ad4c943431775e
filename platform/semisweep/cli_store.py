"""Commands that say what a store holds, and keep it quick and small."""

from __future__ import annotations

import click

from semisweep.cli_options import store_option


@click.command()
@store_option
def status(store: str) -> None:
    """Say how far the studies of a store have come."""
    from semisweep.plan import plan as make_plan
    from semisweep.store import Store

    opened = Store.open(store)
    click.echo(f"{'study':32} {'finished':>9} {'failed':>7} {'missing':>8}")
    for name, scale in opened.studies():
        state = make_plan([opened.read_study(name, scale) or {}], opened)
        counts = (len(state.finished), len(state.failed), len(state.missing))
        click.echo(f"{name + ' ' + scale:32} {counts[0]:9} {counts[1]:7} {counts[2]:8}")


@click.command()
@store_option
def compact(store: str) -> None:
    """Copy results and histories of ended trials into few files, which makes queries quick.

    A sweep does so at its end. Nothing is lost when it is interrupted, or when results/ and
    history/ are removed: the trials' own files are the truth.
    """
    from semisweep.compaction import compact as compact_store
    from semisweep.store import Store

    for done in compact_store(Store.open(store)):
        click.echo(
            f"{done.kind:8}{done.trials:7} trials in {done.parts} parts; "
            f"{done.written} written, {done.removed} removed"
        )
        for text in done.unreadable:
            click.echo(f"left out: {text}", err=True)


@click.command()
@store_option
@click.option("--dry-run", is_flag=True, help="Only say what would be kept and freed.")
@click.option(
    "--keep",
    type=click.Choice(["all", "last", "best", "none"]),
    default="all",
    show_default=True,
    help="Which weights and confusion matrices of finished trials that a study wants.",
)
def gc(store: str, dry_run: bool, keep: str) -> None:
    """Free weights, checkpoints and confusion matrices that nobody needs, and say what is kept.

    Needed is what a trial of some study of this store goes on from or can be evaluated with.
    Results, histories and failures always stay.
    """
    from semisweep import gc as collector
    from semisweep.store import Store

    opened = Store.open(store)
    items = collector.examine(opened, {"all": collector.ALL, "none": ()}.get(keep, (keep,)))
    for line in collector.summary(items):
        click.echo(line)
    unwanted = [item for item in items if not item.kept]
    left = [] if dry_run else collector.free(opened, unwanted)
    if left:
        click.echo(f"left {len(left)} files: training of their trials has begun")
    done = [item for item in unwanted if item not in left]
    verb = "would free" if dry_run else "freed"
    click.echo(f"{verb} {len(done)} files, {collector.size_text(done)}")


@click.command()
@click.argument("first", metavar="KEY")
@click.argument("second", metavar="KEY")
@store_option
def diff(first: str, second: str, store: str) -> None:
    """Show in which fields two trials differ; the start of a key will do.

    What decides the keys comes first, what differs between repetitions anyway last.
    """
    from semisweep.difference import differences, to_text
    from semisweep.store import Store

    opened = Store.open(store)
    keys = [opened.find(first), opened.find(second)]
    click.echo(to_text(differences(opened, *keys), keys))
