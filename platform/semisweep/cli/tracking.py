"""What the command line offers to watch a run in other tools."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., object])


def live_options(command: Command) -> Command:
    """Add the options of `run` that say into which other tools it is logged."""
    for option in (
        click.option(
            "--optuna-storage",
            metavar="FILE",
            help="Keep a search in FILE.db or FILE.log for optuna-dashboard, while it runs.",
        ),
        click.option(
            "--log-dir",
            default="semisweep-logs",
            show_default=True,
            metavar="DIR",
            help="Where loggers keep their files, where the variables of their tools do not say.",
        ),
        click.option(
            "--logger",
            type=click.Choice(["tensorboard", "wandb", "mlflow"]),
            multiple=True,
            help="Log each trial as a run while it trains; may be given several times.",
        ),
    ):
        command = option(command)
    return command
