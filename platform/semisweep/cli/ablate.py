"""`semisweep ablate`: a method taken apart, by run's options and those of designs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from semisweep.cli.completion import methods, switches
from semisweep.study.ablation_names import DESIGNS, ablation_name


def ablate_command(run: click.Command) -> click.Command:
    """Return the command that runs the ablations of a method, as `run` runs studies."""

    @click.pass_context
    def ablate(
        context: click.Context,
        /,
        method: str,
        design: Sequence[str],
        switches: str | None,
        budget: int | None,
        resolution: int | None,
        **options: Any,
    ) -> int:
        given = {"switches": switches, "budget": budget, "resolution": resolution}
        own = {"budget": "shapley", "resolution": "factorial"}
        for name, of in own.items():
            if given[name] is not None and of not in design:
                raise click.UsageError(f"--{name} must come with --design {of}, got --{name} alone")
        names = []
        for kind in dict.fromkeys(design):
            asked = {name: value for name, value in given.items() if own.get(name, kind) == kind}
            names.append(ablation_name(method, kind, **asked))  # type: ignore[arg-type]
        found = context.invoke(run, studies=tuple(names), **options)
        return int(found or 0)

    return click.Command(
        "ablate",
        callback=ablate,
        help="Take METHOD apart: which of its parts matter. `semisweep methods METHOD` lists "
        "them.\n\nMETHOD is one that comes along, FILE.py:CLASS, or an `Ablation` there. Tables, "
        "plans and reports call the study METHOD/DESIGN. Cells that several designs share are "
        "trained once.",
        params=[
            click.Argument(["method"], shell_complete=methods),
            click.Option(
                ["--design"],
                type=click.Choice(DESIGNS),
                multiple=True,
                default=("leave-one-out",),
                show_default=True,
                help="How; several may be named.",
            ),
            click.Option(
                ["--switches"],
                metavar="A,B,...",
                shell_complete=switches,
                help="The parts to ablate, in the order in which they are added; all that are on.",
            ),
            click.Option(
                ["--budget"],
                type=click.IntRange(2, 999_999),
                help="Of Shapley values: arms at most.",
            ),
            click.Option(
                ["--resolution"],
                type=click.IntRange(3, 9),
                help="Of a factorial: a fraction of it that tells apart so much.",
            ),
            *(own for own in run.params if own.name != "studies"),
        ],
    )
