"""The command line. Heavy imports stay inside the commands that need them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from semisweep.cli.ablate import ablate_command
from semisweep.cli.archive import store_group
from semisweep.cli.check import check
from semisweep.cli.completion import columns, rows
from semisweep.cli.dashboard import dashboard
from semisweep.cli.data import data
from semisweep.cli.listing import list_studies, rm, show_trial
from semisweep.cli.options import (
    Study,
    any_count_option,
    changed,
    compile_option,
    data_workers_option,
    device_option,
    gpus_option,
    keep_option,
    make_request,
    option_option,
    scale_option,
    set_option,
    shared,
    verify_data_option,
)
from semisweep.cli.report import export_tensorboard, report
from semisweep.cli.search import export_optuna, run_modes
from semisweep.cli.store import compact, diff, evaluate, gc, logs, predict, status
from semisweep.cli.table import import_numbers, show, table
from semisweep.cli.tracking import live_options
from semisweep.cli.weights import weights
from semisweep.core.errors import INTERRUPTED, SemisweepError, SweepError, interruption
from semisweep.core.safe_text import printable

if TYPE_CHECKING:
    from semisweep.store.store import Store
    from semisweep.study.request import Request

CUT_OFF = 1
BAD_INPUT = 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line: exit code 2 and one line for what the user can mend.

    1 where trials have failed, or a sweep cannot go on by no fault of its user.
    """
    try:
        sys.exit(cli.main(arguments, prog_name="semisweep", standalone_mode=False) or 0)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo(interruption(arguments), err=True)
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        message = error.format_message()
        if message.startswith("Usage:"):  # no command was given: this is the whole help
            click.echo(message)
            sys.exit(BAD_INPUT)
        _fail(message + _help_hint(error))
    except SweepError as error:
        _fail(str(error), CUT_OFF)
    except SemisweepError as error:
        _fail(str(error))
    except OSError as error:
        if error.filename is None:
            raise
        path = f"{error.filename!s:.200}"
        _fail(f"a file or folder must be usable, got path={path}: {error.strerror}")
    except ValueError as error:
        pydantic = sys.modules.get("pydantic")
        if pydantic is None or not isinstance(error, pydantic.ValidationError):
            raise
        from semisweep.core.config import explain

        _fail(explain(error))


def _help_hint(error: click.ClickException) -> str:
    """Return where to read more of a command that was called wrongly."""
    if not isinstance(error, click.UsageError) or error.ctx is None:
        return ""
    return f"; try {error.ctx.command_path} --help"


def _fail(message: str, code: int = BAD_INPUT) -> None:
    click.echo("error: " + printable(" ".join(message.split())), err=True)
    sys.exit(code)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="semisweep")
def cli() -> None:
    """Ablation studies for semi-supervised segmentation whose numbers can be believed."""


ASKING = (check, diff, export_optuna, export_tensorboard, logs, report, status, table)
LISTING = (list_studies, rm, show_trial)
for command in (
    *ASKING,
    *LISTING,
    compact,
    dashboard,
    data,
    evaluate,
    gc,
    import_numbers,
    predict,
    store_group,
    weights,
):
    cli.add_command(command)


@cli.command()
@click.argument("studies", metavar="STUDY...", nargs=-1, required=True, type=Study())
@shared
@click.option("--slots", type=click.IntRange(1), help="Trials at a time; as many as fit.")
@click.option("--workers", type=click.IntRange(1), default=1, help="Ray Train workers a trial.")
@click.option("--threads", type=click.IntRange(1), default=1, help="CPU threads a worker.")
@data_workers_option
@compile_option
@gpus_option
@click.option("--fresh-workers", is_flag=True, help="New worker processes for every trial.")
@click.option(
    "--hung-minutes",
    type=click.FloatRange(0),
    default=30,
    show_default=True,
    help="Kill workers that get no further for so long; 0: never.",
)
@click.option(
    "--address",
    envvar="RAY_ADDRESS",  # which `ray job submit` sets
    help="A running Ray cluster: host:port or auto. Without it, one here.",
)
@click.option("--retry-failed", is_flag=True, help="Run failed trials again.")
@keep_option
@any_count_option
@verify_data_option
@click.option(
    "--retrain",
    multiple=True,
    metavar="ROW",
    shell_complete=rows,
    help="Train the trials of ROW anew though they have results, which are kept.",
)
@run_modes
@live_options
@click.option(
    "--check/--no-check",
    default=True,
    help="Whether rows must be shown to differ from the base row in their factor alone.",
)
@click.option(
    "--top-up",
    is_flag=True,
    help="Add draws of the labelled images to undecided rows, or seeds where there are none: "
    "another look at the table.",
)
@click.option(
    "--looks",
    type=click.IntRange(1, 10),
    help="How often the table will be judged at most, to be said before the first: any number, "
    "of which the first has 4 of the 5 %.",
)
@click.option("--smoke", is_flag=True, help="Two steps of every arm, to see that all of it runs.")
@click.option("--dry-run", is_flag=True, help="Only say what would run, as plan does.")
def run(studies: Sequence[str], dry_run: bool, **options: Any) -> int:
    """Run what STUDIES, or all, have no result for, and print their tables. Again goes on."""
    from semisweep.running import launch

    request = make_request(**options, names=studies)
    if dry_run:
        _print_plan(studies, request)
        return 0
    names = _all_studies(studies, request)
    store = launch.run(names, request, lambda text: click.echo(text, err=True))
    return max(_show(name, request, store) for name in names)


cli.add_command(ablate_command(run))


def _show(study: str, request: Request, store: Store) -> int:
    """Print the table of a study and keep it, from one reading; return the exit code."""
    from semisweep.tables.rendering import Reading, keep_table

    reading = Reading([study], request, store)
    text = reading.text()
    if request.smoke:
        click.echo("\n".join(reading.summaries()))
    else:
        show(text)
    path = keep_table(reading, text)
    if not request.smoke:
        click.echo(f"table: {path}")
    failed = reading.failures()
    for line in failed:
        click.echo(f"failed: {line}", err=True)
    return 1 if failed else 0


@cli.command()
@click.argument("studies", nargs=-1, required=True, type=Study())
@shared
@click.option("--slots", type=click.IntRange(1), help="Trials at a time; as many as fit.")
@click.option("--workers", type=click.IntRange(1), default=1, help="Ray Train workers a trial.")
@gpus_option
@keep_option
@any_count_option
@verify_data_option
@click.option("--retry-failed", is_flag=True, help="Failed trials would run again.")
@click.option("--trials", type=click.IntRange(1), help="Of a search, instead of its own number.")
@click.option("--probe", is_flag=True, help="Time a few steps here of what has no history.")
def plan(studies: Sequence[str], probe: bool, **options: Any) -> None:
    """Say what STUDIES, or all, want, what is done or shared, and what the rest would cost."""
    _print_plan(studies, make_request(**options, names=studies), probe)


def _print_plan(studies: Sequence[str], request: Request, probe: bool = False) -> None:
    from semisweep.running.cost_forecast import at_scale, forecast, to_text

    names = at_scale(studies, request.scale)
    found = forecast(names, request, lambda text: click.echo(text, err=True), probing=probe)
    click.echo(to_text(found, names, request.scale))


@cli.command()
@click.argument("study", type=Study(), required=False)
@scale_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["markdown", "csv"]),
    default="markdown",
    show_default=True,
    help="csv: a line for each field of each cell.",
)
@option_option
@set_option
def studies(
    study: str | None,
    scale: str | None,
    form: str,
    options: Sequence[str],
    changes: Sequence[tuple[str, str]],
) -> None:
    """List the studies that come along, or show what STUDY, or all, trains and why.

    Each value is told with its source: a place in a paper, released code, or that it was chosen.
    """
    from semisweep.study.catalogue import MINI, find_study, only_scale, study_names

    if study is None:
        from semisweep.study.title import study_title

        for name, path in study_names().items():
            click.echo(f"{name:24} {study_title(path)}")
        return
    from semisweep.study.recipe import cells_csv, rows_and_columns, sources_table
    from semisweep.study.scales import preset_at

    given = changed(changes, options)
    found = [find_study(name) for name in (study_names() if study == "all" else [study])]
    if study == "all":
        scale = scale or MINI
        found = [own for own in found if preset_at(own.presets, scale) is not None]
    scale = scale or only_scale(found[0].presets)
    if form == "csv":
        for text in cells_csv(found, scale, given):
            click.echo(text, nl=False)
        return
    for own in found:
        click.echo("\n".join(rows_and_columns(own)) + "\n")
        click.echo(sources_table(own, scale, given))


@cli.command()
@click.argument("name", required=False)
def methods(name: str | None) -> None:
    """List the methods, or show where each value of one comes from, and what was chosen in it."""
    from semisweep.study.named_values import find_method, method_names

    if name is None:
        for known, path in method_names().items():
            summary = (find_method(known).__doc__ or "").partition("\n")[0]
            click.echo(f"{known:14} {summary}  [{path}]")
        return
    from semisweep.tables.method_tables import method_notes, provenance_table, switches_table

    method = find_method(name)
    click.echo(provenance_table(method))
    click.echo(switches_table(method))
    click.echo(method_notes(method))


@cli.command()
@click.argument("study", type=Study())
@click.argument("row", shell_complete=rows)
@shared
@click.option("--column", shell_complete=columns, help="Which column; the study's first.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True)
@click.option("--draw", type=click.IntRange(0, 2**31), help="Of the labelled images; the study's.")
@any_count_option
@data_workers_option
@compile_option
@device_option
def debug(
    study: str,
    row: str,
    column: str | None,
    seed: int,
    draw: int | None,
    device: str | None,
    **options: Any,
) -> None:
    """Train one trial of STUDY's ROW in this very process, where a debugger works."""
    from semisweep.core.device import usable
    from semisweep.running.debugging import debug_trial

    request, chosen = make_request(**options, names=[study]), usable(device)
    debug_trial(study, row, column, seed, request, click.echo, draw=draw, device=chosen)


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the line that teaches a shell to complete semisweep's names."""
    lines = {
        "bash": 'eval "$(_SEMISWEEP_COMPLETE=bash_source semisweep)"',
        "zsh": 'eval "$(_SEMISWEEP_COMPLETE=zsh_source semisweep)"',
        "fish": "_SEMISWEEP_COMPLETE=fish_source semisweep | source",
    }
    click.echo(lines[shell])


def _all_studies(names: Sequence[str], request: Request) -> list[str]:
    """Return the names; of "all" those that have the scale, and no searches in a smoke run."""
    if tuple(names) != ("all",):
        return list(names)
    from semisweep.study.catalogue import find_study, study_names
    from semisweep.study.declaration import Study

    found = {name: find_study(name) for name in study_names()}
    return [
        name
        for name, study in found.items()
        if request.scale in study.presets and (isinstance(study, Study) or not request.smoke)
    ]
