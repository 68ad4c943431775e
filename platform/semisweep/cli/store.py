"""Commands that say what a store holds, and keep it quick and small."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from semisweep.cli.code_options import code_options
from semisweep.cli.options import data_option, device_option, roots_of, store_option

if TYPE_CHECKING:
    from semisweep.store.trial_records import Result

Command = TypeVar("Command", bound=Callable[..., object])
PROTOCOL_HELP = (
    "whole, multiple14, window:size_pixels=N[,stride_pixels=N,borders=truncated,sums=logits], "
    "center:size_pixels=N, reflect:size_pixels=N, or that of released code, such as "
    "unimatch-cityscapes."
)


@click.command()
@store_option
def status(store: str) -> None:
    """Say how far the studies of a store have come, also while another process is at it."""
    from semisweep.running.cost_forecast import score_lines
    from semisweep.store.store import Store
    from semisweep.tables.status import status_lines

    opened = Store.open(store)
    for line in (*status_lines(opened), *score_lines(opened)):
        click.echo(line)


@click.command()
@click.argument("key", required=False)
@store_option
@click.option("--attempt", type=click.IntRange(1), help="Only this one; all that are kept.")
def logs(key: str | None, store: str, attempt: int | None) -> None:
    """Show what a trial said while it trained; the start of its KEY will do.

    Without a KEY, show what has ended workers of this store's sweeps too early.
    """
    if key is None:
        _show_faults(store)
        return
    from semisweep.core.errors import StoreError
    from semisweep.core.safe_text import printable
    from semisweep.store.store import Store
    from semisweep.store.trial_log import read_logs

    opened = Store.open(store)
    folder = opened.trial(opened.find(key))
    found = read_logs(folder)
    chosen = {number: text for number, text in found.items() if attempt in (None, number)}
    if not chosen:
        known = ", ".join(map(str, found)) or "none"
        failure = folder.failure()
        reason = printable(failure.error if failure else "").strip()
        raise StoreError(
            f"a trial must have said something to be shown, got key={folder.key!r}, "
            f"attempts with a log={known}" + (f"; it failed with: {reason}" if reason else "")
        )
    for text in chosen.values():
        click.echo(text, nl=False)


def _show_faults(store: str) -> None:
    from semisweep.store.store import Store
    from semisweep.store.trial_log import read_faults

    for text in read_faults(Store.open(store)) or ["no worker has ended too early\n"]:
        click.echo(text, nl=False)


@click.command()
@store_option
def compact(store: str) -> None:
    """Copy results and histories of ended trials into few files, which makes queries quick.

    A sweep does so at its end. Nothing is lost when it is interrupted, or when results/ and
    history/ are removed: the trials' own files are the truth.
    """
    from semisweep.store.compaction import compact as compact_store
    from semisweep.store.store import Store

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
    Results, histories and failures always stay. How much a trial keeps in the first place is said
    by run --keep.
    """
    from semisweep.store import garbage_collection as collector
    from semisweep.store.store import Store

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
    from semisweep.store.store import Store
    from semisweep.store.trial_difference import differences, to_text

    opened = Store.open(store)
    keys = [opened.find(first), opened.find(second)]
    click.echo(to_text(differences(opened, *keys), keys))


def _scoring(command: Command) -> Command:
    """Add the options of commands that run a trial's kept weights."""
    for option in (
        store_option,
        data_option,
        code_options,
        device_option,
    ):
        command = option(command)
    return command


@click.command()
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@click.option("--protocol", "protocols", multiple=True, default=("whole",), help=PROTOCOL_HELP)
@click.option(
    "--weights",
    type=click.Choice(["last", "best"]),
    multiple=True,
    help="Which weights; those that were kept.",
)
@click.option("--part", "parts", multiple=True, help="Such as val; all but the training images.")
@_scoring
def evaluate(
    keys: Sequence[str],
    protocols: Sequence[str],
    weights: Sequence[str],
    parts: Sequence[str],
    store: str,
    data: Sequence[tuple[str, str]],
    device: str | None,
) -> None:
    """Score kept weights of finished trials under protocols; the start of a key will do.

    What was scored before is shown and not repeated. semisweep.evaluations(store) has all rows.
    """
    from semisweep.core.device import usable
    from semisweep.evaluation.rescoring import evaluate_trials
    from semisweep.store.store import Store
    from semisweep.training.protocols import parse_protocol

    opened = Store.open(store)

    def say(row: Result, is_new: bool) -> None:
        names = f"{row.key}  {row.text('weights'):4}  {row.text('part'):5}"
        known = "" if is_new else "  (known)"
        score = 100 * row.needed("miou")
        click.echo(f"{names}  mIoU {score:6.2f}  {row.text('protocol')}{known}")

    evaluate_trials(
        opened,
        list(dict.fromkeys(opened.find(key) for key in keys)),
        [parse_protocol(text) for text in dict.fromkeys(protocols)],
        roots_of(data),
        say,
        weights=list(dict.fromkeys(weights)) or None,
        parts=parts or None,
        device=usable(device),
    )


@click.command()
@click.argument("key")
@click.argument(
    "images",
    metavar="IMAGE...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False),
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("predictions"),
    show_default=True,
)
@click.option(
    "--weights",
    type=click.Choice(["last", "best"]),
    help="The best, or the last if it kept no best.",
)
@click.option("--protocol", default="whole", show_default=True, help=PROTOCOL_HELP)
@_scoring
def predict(
    key: str,
    images: Sequence[str],
    output: Path,
    weights: str | None,
    protocol: str,
    store: str,
    data: Sequence[tuple[str, str]],
    device: str | None,
) -> None:
    """Write coloured masks and overlays of what a finished trial sees in images."""
    from semisweep.core.device import usable
    from semisweep.evaluation.prediction import predict_images
    from semisweep.store.store import Store
    from semisweep.training.protocols import parse_protocol

    opened = Store.open(store)
    for pair in predict_images(
        opened,
        opened.find(key),
        [Path(image) for image in images],
        output,
        roots_of(data),
        weights=weights,
        protocol=parse_protocol(protocol),
        device=usable(device),
    ):
        click.echo(" ".join(map(str, pair)))
