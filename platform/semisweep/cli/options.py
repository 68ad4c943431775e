"""Options and arguments that several commands share, and the request that they make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from semisweep.cli.completion import fields, scales

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from semisweep.study.data_roots import Roots
    from semisweep.study.request import Request

Command = TypeVar("Command", bound=Callable[..., object])


def _reachable(_: click.Context, __: click.Parameter, store: str) -> str:
    """Return the store; raise `StoreError` where object storage does not answer."""
    if store.startswith("s3:"):
        from semisweep.store.object_requests import check_endpoint

        check_endpoint()
    return store


store_option = click.option(
    "--store",
    callback=_reachable,
    default="semisweep-store",
    show_default=True,
    envvar="SEMISWEEP_STORE",
    help="Folder, or s3://BUCKET/PREFIX, that keeps trials and results.",
)

device_option = click.option("--device", help="Such as cpu or cuda:0; a GPU where there is one.")


class Study(click.ParamType):  # type: ignore[type-arg]  # not generic in older click
    """The name of a study, completed by the shell."""

    name = "study"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Return the name; a file or module that it names may be imported from now on."""
        from semisweep.core import own_code

        if own_code.is_own(str(value)):
            from semisweep.study.named_values import register

            register(str(value))
        return str(value)

    def shell_complete(
        self, _: click.Context, __: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        from semisweep.study.ablation_names import DESIGNS, MARK
        from semisweep.study.catalogue import study_names

        names = list(study_names())
        if MARK in incomplete:
            method = incomplete.rpartition(MARK)[0]
            names = [f"{method}{MARK}{design}" for design in DESIGNS]
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


class Assignment(click.ParamType):  # type: ignore[type-arg]
    """Text of the form NAME=VALUE."""

    name = "name=value"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Return the name and the text of the value."""
        name, equals, text = str(value).partition("=")
        if not equals or not name:
            self.fail(f"must be NAME=VALUE, got {value!r}", param, ctx)
        return name, text


class Share(click.ParamType):  # type: ignore[type-arg]
    """A number of GPUs, or auto."""

    name = "number"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | str:
        """Return the number, or the word."""
        if value == "auto":
            return "auto"
        return float(click.FloatRange(0)(value, param, ctx))


data_option = click.option(
    "--data",
    type=Assignment(),
    multiple=True,
    metavar="NAME=PATH",
    help="Where a data set lies; without it $SEMISWEEP_DATA/NAME or semisweep-data/NAME.",
)

data_workers_option = click.option(
    "--data-workers",
    type=click.IntRange(0),
    help="Processes that make a worker's batches; as many as its cores on a GPU, none on a CPU.",
)

compile_option = click.option(
    "--compile/--no-compile",
    "compiled",
    default=None,
    help="Compile networks on a GPU; by default for trainings of 2,000 steps or more.",
)

gpus_option = click.option(
    "--gpus",
    type=Share(),
    help="GPUs a worker, such as 0.25, or auto: as many trials on one as their memory allows and "
    "images a second rise by; one where there are any.",
)


keep_option = click.option(
    "--keep",
    type=click.Choice(["auto", "both", "best", "last", "all"]),
    default="auto",
    show_default=True,
    help="Weights of a finished trial, of what predicts: best and last, but of large networks only "
    "those that the table's metric is of; or both, or one. all: both, of every network.",
)


verify_data_option = click.option(
    "--verify-data",
    is_flag=True,
    help="Read every image and mask again, not only those that are new by size and time of change.",
)


any_count_option = click.option(
    "--any-count",
    is_flag=True,
    help="Accept another number of images than published, at other scales than mini too.",
)


set_option = click.option(
    "--set",
    "changes",
    type=Assignment(),
    multiple=True,
    metavar="FIELD=VALUE",
    shell_complete=fields,
    help="Change a field of every arm, such as training.steps=100.",
)


option_option = click.option(
    "--option",
    "options",
    multiple=True,
    metavar="NAME",
    help="What the study offers instead, such as what a release does; see semisweep studies NAME.",
)


def changed(changes: Sequence[tuple[str, str]], options: Sequence[str] = ()) -> dict[str, object]:
    """Return the changes that --set and --option ask for."""
    from semisweep.core.config import parse_value
    from semisweep.study.preset_options import with_options

    return with_options({name: parse_value(text) for name, text in changes}, options)


scale_option = click.option(
    "--scale",
    shell_complete=scales,
    help="mini, the default, photo, proxy or paper; or another that a study has, the default if it "
    "is the only one.",
)


def chosen_scale(scale: str | None, names: Sequence[str], store: str | None = None) -> str:
    """Return the scale that was given, or else that of some studies, the same in all commands."""
    from semisweep.study.request import scale_of

    return scale_of(names, store) if scale is None else scale


def shared(command: Command) -> Command:
    """Add the options that say which trials are meant and where they live."""
    for option in (
        scale_option,
        store_option,
        data_option,
        click.option(
            "--seeds",
            type=click.IntRange(1),
            help="Seeds of each draw, instead of the study's; more than a judged table had are "
            "another look at it.",
        ),
        click.option(
            "--draws",
            type=click.IntRange(1),
            help="Draws of the labelled images, instead of the study's; likewise.",
        ),
        option_option,
        set_option,
    ):
        command = option(command)
    return command


def roots_of(data: Sequence[tuple[str, str]]) -> Roots:
    """Return where data sets lie, by the options that name them and by the environment."""
    from semisweep.study import request

    return request.roots_of(dict(data))


def make_request(
    store: str,
    scale: str | None = None,
    data: Sequence[tuple[str, str]] = (),
    changes: Sequence[tuple[str, str]] = (),
    options: Sequence[str] = (),
    names: Sequence[str] = (),
    **others: Any,
) -> Request:
    """Return what the options of a command ask for; raise `StoreError`, `ConfigError`.

    `names` are the studies that it is of, whose scale is meant where none is given.
    """
    from semisweep.study import request

    asked: Any = {"scale": scale, "data": dict(data), "set": changed(changes, options), **others}
    return request.make_request(store, asked, names)
