"""Commands that fetch and check the pretrained weights of studies, ahead of time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from semisweep.cli.options import Assignment, Study, chosen_scale, scale_option
from semisweep.core.errors import ConfigError

if TYPE_CHECKING:
    from semisweep.study.needed_weights import FoundWeights, NeededWeights


def _options(command: Callable[..., object]) -> Callable[..., object]:
    for option in (
        scale_option,
        click.option("--set", "changes", type=Assignment(), multiple=True, metavar="FIELD=VALUE"),
        click.option(
            "--weights-dir",
            type=click.Path(path_type=Path),
            envvar="SEMISWEEP_WEIGHTS",
            help="A folder of files BACKBONE.safetensors that go before the hub's.",
        ),
        click.argument("studies", nargs=-1, required=True, type=Study()),
    ):
        command = option(command)
    return command


@click.group()
def weights() -> None:
    """Fetch and check the pretrained weights that studies start from."""


@weights.command("check")
@_options
def check_weights(
    studies: Sequence[str],
    scale: str | None,
    changes: Sequence[tuple[str, str]],
    weights_dir: Path | None,
) -> None:
    """Say for each backbone of STUDIES whether its weights are here, where, and their digest.

    Asks no network. Exit code 2 where some are missing.
    """
    from semisweep.networks.pretrained import hub_files
    from semisweep.study.needed_weights import find_weights

    wanted = _wanted(studies, scale, changes)
    found = [find_weights(own, weights_dir) for own in wanted]
    _show(found)
    missing = [own.wanted.backbone for own in found if own.path is None]
    if missing:
        repository, _, files = hub_files(missing[0])
        again = " ".join([*studies, *(["--scale", scale] if scale else [])])
        raise ConfigError(
            f"weights of all backbones must be here, missing {', '.join(missing)}; where there is "
            f"a network: semisweep weights fetch {again}, else put {files[0]} of "
            f"{repository} into --weights-dir as {missing[0]}{Path(files[0]).suffix}"
        )


@weights.command("fetch")
@_options
def fetch_weights(
    studies: Sequence[str],
    scale: str | None,
    changes: Sequence[tuple[str, str]],
    weights_dir: Path | None,
) -> None:
    """Download what is missing of the weights of STUDIES into the hub's cache.

    With --weights-dir they are copied there, to be taken to machines without a network.
    """
    from semisweep.study.needed_weights import fetch_missing

    if weights_dir is not None:
        weights_dir.mkdir(parents=True, exist_ok=True)
    _show(fetch_missing(_wanted(studies, scale, changes), weights_dir))


def _wanted(
    studies: Sequence[str], given: str | None, changes: Sequence[tuple[str, str]]
) -> list[NeededWeights]:
    from semisweep.checks.validation import bundled_trials, check_networks, sample_trials
    from semisweep.core.config import parse_value
    from semisweep.study.catalogue import find_study, study_names
    from semisweep.study.data_roots import Roots
    from semisweep.study.needed_weights import needed_weights
    from semisweep.study.request import Request
    from semisweep.study.resolve import check_changes
    from semisweep.study.scales import has_scale

    changed = {name: parse_value(text) for name, text in changes}
    scale = chosen_scale(given, studies)
    request = Request(scale=scale, roots=Roots(Path()), changes=changed)
    every = tuple(studies) == ("all",)
    trials = []
    for name in study_names() if every else studies:
        study = find_study(name)
        if every and not has_scale(study.presets, scale):
            continue
        check_changes(study, scale, changed)
        trials += [*sample_trials(study, request), *bundled_trials(study, request)]
    check_networks(trials)
    return needed_weights(trials)


def _show(found: Iterable[FoundWeights]) -> None:
    for own in found:
        state = f"there  {own.digest}  {own.bytes / 1e6:8.1f} MB" if own.path else "missing"
        where = f"  {own.place}: {own.path}" if own.path else ""
        click.echo(f"{own.wanted.backbone:28}  {state}{where}")
