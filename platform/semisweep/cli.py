"""The command line. Heavy imports stay inside the commands that need them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from semisweep.errors import DataError, SemisweepError, StoreError

if TYPE_CHECKING:
    from semisweep.request import Request

Command = TypeVar("Command", bound=Callable[..., Any])
BAD_INPUT = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line: exit code 2 and one line for what the user can mend."""
    try:
        sys.exit(cli.main(arguments, prog_name="semisweep", standalone_mode=False) or 0)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except (click.Abort, KeyboardInterrupt):
        again = " ".join(["semisweep", *(arguments or sys.argv[1:])])
        click.echo(f"interrupted; what is finished is kept. To go on: {again}", err=True)
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        message = error.format_message()
        if message.startswith("Usage:"):  # no command was given: this is the whole help
            click.echo(message)
            sys.exit(BAD_INPUT)
        _fail(message)
    except SemisweepError as error:
        _fail(str(error))
    except ValueError as error:
        pydantic = sys.modules.get("pydantic")
        if pydantic is None or not isinstance(error, pydantic.ValidationError):
            raise
        from semisweep.config import explain

        _fail(explain(error))


def _fail(message: str) -> None:
    click.echo("error: " + " ".join(message.split()), err=True)
    sys.exit(BAD_INPUT)


class Study(click.ParamType):  # type: ignore[type-arg]  # not generic in older click
    """The name of a study, completed by the shell."""

    name = "study"

    def shell_complete(self, _: Any, __: Any, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        from semisweep.catalogue import study_names

        return [CompletionItem(name) for name in study_names() if name.startswith(incomplete)]


class Assignment(click.ParamType):  # type: ignore[type-arg]
    """Text of the form NAME=VALUE."""

    name = "name=value"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, str]:
        """Return the name and the text of the value."""
        name, equals, text = str(value).partition("=")
        if not equals or not name:
            self.fail(f"must be NAME=VALUE, got {value!r}", param, ctx)
        return name, text


def shared(command: Command) -> Command:
    """Add the options that say which trials are meant and where they live."""
    for option in (
        click.option("--scale", default="mini", show_default=True, help="mini or paper."),
        click.option(
            "--store",
            default="semisweep-store",
            show_default=True,
            envvar="SEMISWEEP_STORE",
            help="Folder that keeps trials and results.",
        ),
        click.option(
            "--data",
            type=Assignment(),
            multiple=True,
            metavar="NAME=PATH",
            help="Where a data set lies; without it $SEMISWEEP_DATA/NAME or semisweep-data/NAME.",
        ),
        click.option(
            "--seeds", type=click.IntRange(1), help="Seeds a cell, instead of the study's."
        ),
        click.option(
            "--set",
            "changes",
            type=Assignment(),
            multiple=True,
            metavar="FIELD=VALUE",
            help="Change a field of every arm, such as training.steps=100.",
        ),
    ):
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="semisweep")
def cli() -> None:
    """Ablation studies for semi-supervised segmentation whose numbers can be believed."""


@cli.command()
@click.argument("study", type=Study())
@shared
@click.option("--slots", type=click.IntRange(1), help="Trials at a time; as many as fit.")
@click.option("--workers", type=click.IntRange(1), default=1, help="Ray Train workers a trial.")
@click.option("--threads", type=click.IntRange(1), default=1, help="CPU threads a worker.")
@click.option("--address", help="A running Ray cluster: host:port or auto. Without it, one here.")
@click.option("--retry-failed", is_flag=True, help="Run failed trials again.")
def run(study: str, **options: Any) -> int:
    """Run what STUDY has no result for, and print its table. Running again goes on."""
    from semisweep import launch

    request = _request(**options)
    launch.run(study, request)
    return _show(study, request)


def _show(study: str, request: Request) -> int:
    from semisweep.report import failures, render, write

    click.echo(render([study], request))
    click.echo(f"table: {write(study, request)}")
    failed = failures(study, request)
    for line in failed:
        click.echo(f"failed: {line}", err=True)
    return 1 if failed else 0


@cli.command()
@click.argument("studies", nargs=-1, required=True, type=Study())
@shared
def plan(studies: Sequence[str], **options: Any) -> None:
    """Say what STUDIES want, what is done, what is shared and what would run."""
    from semisweep.plan import plan_studies

    request = _request(**options)
    state = plan_studies(studies, request)
    click.echo(f"wanted   {state.wanted:6} trials by {', '.join(studies)} at {request.scale} scale")
    click.echo(f"shared   {state.shared:6} equal ones that run once for several cells")
    click.echo(f"finished {len(state.finished):6}")
    click.echo(f"failed   {len(state.failed):6}")
    click.echo(f"to run   {len(state.missing):6}")


@cli.command()
@click.option("--store", default="semisweep-store", envvar="SEMISWEEP_STORE", show_default=True)
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


@cli.command()
@click.argument("studies", nargs=-1, required=True, type=Study())
@shared
@click.option("--format", "form", type=click.Choice(["markdown", "csv"]), default="markdown")
def table(studies: Sequence[str], form: str, **options: Any) -> None:
    """Print the tables of STUDIES, or of all, from what the store has."""
    from semisweep.report import render

    click.echo(render(_all_studies(studies), _request(**options), form))


@cli.command()
def studies() -> None:
    """List the studies that come along."""
    from semisweep.catalogue import find_study, study_names

    for name in study_names():
        click.echo(f"{name:24} {find_study(name).title}")


@cli.command()
@click.argument("name", required=False)
def methods(name: str | None) -> None:
    """List the methods, or show where each value of one method's configuration comes from."""
    from semisweep.catalogue import find_method, method_names

    if name is None:
        for known, path in method_names().items():
            summary = (find_method(known).__doc__ or "").partition("\n")[0]
            click.echo(f"{known:14} {summary}  [{path}]")
        return
    from semisweep.report import provenance_table

    click.echo(provenance_table(find_method(name)))


@cli.command()
@click.argument("study", type=Study())
@click.argument("row")
@shared
@click.option("--column", help="Which column; the study's first.")
@click.option("--seed", type=int, default=0, show_default=True)
def debug(study: str, row: str, column: str | None, seed: int, **options: Any) -> None:
    """Train one trial of STUDY's ROW in this very process, where a debugger works."""
    from semisweep.debugging import debug_trial

    debug_trial(study, row, column, seed, _request(**options), click.echo)


@cli.group()
def data() -> None:
    """Make and check data sets."""


@data.command("make")
@click.argument("name", type=click.Choice(["shapes"]))
@click.option("--root", type=click.Path(path_type=Path), required=True, help="A new folder.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
def make_data(name: str, root: Path, seed: int) -> None:
    """Write the embedded data set NAME in the Pascal VOC layout."""
    from semisweep.data.dataset import content_digest, open_dataset
    from semisweep.data.shapes import make

    make(root, seed=seed)
    dataset = open_dataset(name, root)
    counts = ", ".join(f"{part} {len(dataset.part(part))}" for part in dataset.parts)
    click.echo(f"{root}: {counts} images; content digest {content_digest(dataset)}")


@data.command("check")
@click.argument("name")
@click.option("--root", type=click.Path(path_type=Path), required=True)
def check_data(name: str, root: Path) -> int:
    """Read every image and mask of data set NAME and say what to mend, file by file."""
    from semisweep.data.dataset import check, content_digest, open_dataset

    dataset = open_dataset(name, root)
    with click.progressbar(length=1, label="reading", file=sys.stderr) as bar:

        def advance(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        problems = check(dataset, advance)
    for problem in problems:
        click.echo(problem)
    if problems:
        raise DataError(f"{len(problems)} files of {name} at {root} are to be mended")
    counts = ", ".join(f"{part} {len(dataset.part(part))}" for part in dataset.parts)
    click.echo(f"{name} is whole: {counts} images; content digest {content_digest(dataset)}")
    return 0


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


def _all_studies(names: Sequence[str]) -> list[str]:
    if tuple(names) != ("all",):
        return list(names)
    from semisweep.catalogue import study_names

    return list(study_names())


def _request(
    scale: str,
    store: str,
    data: Sequence[tuple[str, str]],
    seeds: int | None,
    changes: Sequence[tuple[str, str]],
    slots: int | None = None,
    workers: int = 1,
    threads: int = 1,
    address: str | None = None,
    retry_failed: bool = False,
) -> Request:
    import os

    from semisweep.config import parse_value
    from semisweep.request import Request, Resources, Roots

    if "://" in store and not store.startswith("file://"):
        raise StoreError(f"a store must be a local folder in this version, got store={store!r}")
    default = Path(os.environ.get("SEMISWEEP_DATA", "semisweep-data"))
    return Request(
        scale=scale,
        store=store,
        roots=Roots(default, {name: Path(path) for name, path in data}),
        seeds=seeds,
        changes={name: parse_value(text) for name, text in changes},
        resources=Resources(slots=slots, workers=workers, address=address, threads=threads),
        retry_failed=retry_failed,
    )
