"""Commands that take a store elsewhere and back: for GPUs behind a queue, or a bastion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from semisweep.cli.options import Study, store_option

if TYPE_CHECKING:
    from semisweep.store.store_archive import Packed
    from semisweep.store.store_merge import Merged

SHOWN = 20  # lines of one kind
INCOMPLETE = 1  # exit code: all else was done


@click.group(name="store")
def store_group() -> None:
    """Pack a store, or studies of it, and merge what was trained elsewhere."""


@store_group.command()
@click.argument("studies", metavar="[STUDY...]", nargs=-1, type=Study())
@store_option
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The archive: .tar, .tar.gz or .tar.xz.",
)
@click.option(
    "--checkpoints/--no-checkpoints",
    default=True,
    show_default=True,
    help="What unfinished trials go on from.",
)
@click.option("--weights", is_flag=True, help="Also weights that finished trials have kept.")
def pack(studies: Sequence[str], store: str, output: Path, checkpoints: bool, weights: bool) -> int:
    """Write all that STUDIES, or the whole store, have as one file that travels.

    A sweep may run meanwhile. Exit code 1 where a damaged trial was left out.
    """
    from semisweep.store.store import Store
    from semisweep.store.store_archive import pack as pack_store

    packed = pack_store(
        Store.open(store), output, studies, checkpoints=checkpoints, weights=weights
    )
    click.echo(_told(packed, weights))
    click.echo(f"{output}: {_mib(packed.size)}")
    _warn("left out", packed.left_out)
    return INCOMPLETE if packed.left_out else 0


@store_group.command()
@click.argument("sources", metavar="ARCHIVE|STORE...", nargs=-1, required=True)
@store_option
@click.option("--dry-run", is_flag=True, help="Only say what would be added.")
def merge(sources: Sequence[str], store: str, dry_run: bool) -> int:
    """Add what archives, or other stores, have beyond this one. Again completes what was cut off.

    A trial that is finished here keeps its result. An archive may be a stranger's: it is unpacked
    to $TMPDIR, to at most 1 GiB or 200 times its size, and read before anything is added. Exit code
    1 where some of it is damaged, which is named and left out, or goes on here just now: merge
    again; 2 where it is no archive at all.
    """
    from semisweep.store.compaction import compact_after_sweep
    from semisweep.store.store import Store
    from semisweep.store.store_merge import merge as merge_store

    code = 0
    for source in sources:
        merged = merge_store(source, store, dry_run=dry_run)
        click.echo(_added(source, merged, dry_run))
        _warn("left out", merged.left_out)
        _warn("note", merged.notes)
        code = code if merged.is_whole else INCOMPLETE
        if merged.is_new and not dry_run:
            compact_after_sweep(Store.open(store))
    return code


def _told(packed: Packed, weights: bool) -> str:
    trials = ", ".join(f"{count} {state}" for state, count in sorted(packed.trials.items()))
    text = f"packed {packed.studies} studies, trials: {trials or 'none'}"
    if packed.checkpoint_bytes:
        text += f"; checkpoints {_mib(packed.checkpoint_bytes)}"
    if packed.weight_bytes:
        size = _mib(packed.weight_bytes)
        text += f"; weights {size}" if weights else f"; without {size} of weights (--weights)"
    return text


def _added(source: str, merged: Merged, dry_run: bool) -> str:
    from semisweep.core.safe_text import one_line
    from semisweep.store.store_merge import ADDED

    parts = [f"{merged.counts[kind]} {what}" for kind, what in ADDED.items() if merged.counts[kind]]
    verb = "would add" if dry_run else "added"
    text = f"{verb} {', '.join(parts)}" if parts else "nothing is new"
    known = merged.counts["known"]
    return f"{one_line(source)}: {text}" + (f"; {known} trials were known" if known else "")


def _warn(what: str, texts: Sequence[str]) -> None:
    for text in texts[:SHOWN]:
        click.echo(f"{what}: {text}", err=True)
    if len(texts) > SHOWN:
        click.echo(f"{what}: {len(texts) - SHOWN} more", err=True)


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
