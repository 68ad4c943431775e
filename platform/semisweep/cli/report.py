"""Commands that show a store to other people and programs: a report, and event files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from semisweep.cli.code_options import code_options
from semisweep.cli.options import (
    Study,
    chosen_scale,
    device_option,
    make_request,
    scale_option,
    shared,
    store_option,
)


@click.command()
@click.argument("studies", nargs=-1, type=Study())
@shared
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    help="The file to write.",
)
@click.option(
    "--images",
    type=click.IntRange(0),
    default=0,
    help="Show so many images, and what each arm with kept weights sees in them.",
)
@code_options
@click.option("--features", is_flag=True, help="Map the features of each arm (t-SNE).")
@device_option
def report(
    studies: Sequence[str],
    output: Path,
    images: int,
    features: bool,
    device: str | None,
    **options: Any,
) -> None:
    """Write STUDIES, or all that the store has, as one HTML page that opens without a network."""
    from semisweep.core.device import usable
    from semisweep.report import page
    from semisweep.study.catalogue import study_names
    from semisweep.tables.rendering import opened

    request = make_request(**options, names=studies)
    # Without pictures nothing is computed, and asking torch would take seconds.
    chosen = usable(device) if images or features or device else "cpu"
    names = list(study_names()) if tuple(studies) == ("all",) else studies
    store = opened(request)
    found = page.studies_for(names, request, store)
    sections = page.sections_for(
        found, request, store, images=images, features=features, device=chosen
    )
    text = page.page(sections, request.store)
    page.write(text, output)
    click.echo(f"{output}: {len(sections)} studies, {len(text) / 2**20:.1f} MiB")


@click.command()
@click.argument("study", type=Study())
@store_option
@scale_option
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("tensorboard"),
    show_default=True,
    help="The folder to write, one folder a trial in it.",
)
def export_tensorboard(study: str, store: str, scale: str | None, output: Path) -> None:
    """Write the histories and results of STUDY as event files that TensorBoard opens."""
    from semisweep.store.store import Store
    from semisweep.tracking.tensorboard_events import export

    chosen = chosen_scale(scale, [study], store)
    count = export(Store.open(store), study, chosen, output)
    click.echo(f"{count} trials; tensorboard --logdir {output}")
