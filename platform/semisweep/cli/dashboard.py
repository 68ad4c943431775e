"""The command that shows a store in a browser while sweeps fill it."""

from __future__ import annotations

from collections.abc import Sequence

import click

from semisweep.cli.code_options import code_options
from semisweep.cli.options import data_option, roots_of, store_option


@click.command()
@store_option
@data_option
@code_options
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="The port of this machine's loopback; 8700, or any that is free.",
)
def dashboard(store: str, data: Sequence[tuple[str, str]], port: int | None) -> None:
    """Show a store in a browser, live while sweeps run here or on other machines; read-only.

    The address that is printed has a token: whoever has it may look. Pictures of compared trials
    need the images, see --data, and your own methods' code, see --code.
    """
    from semisweep.dashboard.serving import require_packages, serve
    from semisweep.store.store import Store
    from semisweep.study.request import Request

    require_packages()
    request = Request(roots=roots_of(data), store=store)
    serve(Store.open(store), request, port, click.echo)
