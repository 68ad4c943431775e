"""Options that name a user's own code, for commands that run what a store has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., object])


def code_options(command: Command) -> Command:
    """Add the options that say which code of a user's own may run."""
    for option in (
        click.option(
            "--code",
            multiple=True,
            metavar="PLACE",
            expose_value=False,
            callback=_named,
            help="A file, folder or module with methods of your own: FILE.py or my_package.",
        ),
        click.option(
            "--trust",
            is_flag=True,
            expose_value=False,
            callback=_trusted,
            help="Import what the store names: methods of files that studies were run from.",
        ),
    ):
        command = option(command)
    return command


def _named(_: click.Context, __: click.Parameter, places: Sequence[str]) -> None:
    from semisweep.core import own_code

    for place in places:
        own_code.register(place.rpartition(":")[0] or place)


def _trusted(_: click.Context, __: click.Parameter, trust: bool) -> None:
    from semisweep.core import own_code

    if trust:
        own_code.trust_store()
