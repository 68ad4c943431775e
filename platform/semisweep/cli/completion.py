"""What a shell completes of a study that stands before it: scales, rows, columns and fields."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from semisweep.core.errors import SemisweepError

if TYPE_CHECKING:
    from semisweep.study.declaration import Search, Study


def scales(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the scales that begin so: the usual ones, or those of studies of one's own."""
    from semisweep.study.scales import PROXY, SCALES

    own = [scale for study in _studies(context, own=True) for scale in study.presets]
    return _beginning(own or (*SCALES, PROXY), incomplete)


def rows(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the trained rows of the studies that begin so."""
    found = (row for study in _studies(context) for row in getattr(study, "rows", ()))
    return _beginning((row.name for row in found if row.method is not None), incomplete)


def columns(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the columns of the studies that begin so."""
    found = (own for study in _studies(context) for own in getattr(study, "columns", ()))
    return _beginning((own.name for own in found), incomplete)


def fields(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the fields of trials that begin so, as --set wants them."""
    return _beginning((f"{name}=" for name in _fields(context)), incomplete)


def _fields(context: click.Context) -> Iterable[str]:
    from semisweep.core.config import flatten
    from semisweep.study.declaration import Search
    from semisweep.study.resolve import SECTIONS, make_trial

    for study in _studies(context):
        preset = next(iter(study.presets.values()))
        own = [study] if isinstance(study, Search) else study.rows
        for method in dict.fromkeys(row.method for row in own):
            if method is not None:
                names = flatten(make_trial(preset, method, {}, {}).encoded())
                yield from (name for name in names if name.partition(".")[0] in SECTIONS)


def methods(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Complete the methods that come along."""
    from semisweep.study.named_values import method_names

    return _beginning(method_names(), incomplete)


def switches(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Complete the last of the switches of the method that is to be ablated."""
    from semisweep.study.named_values import find_method
    from semisweep.training.switches import switches_of

    before, comma, last = incomplete.rpartition(",")
    method = context.params.get("method") or next(iter(context.args), "")
    try:
        names = [own.name for own in switches_of(find_method(str(method)))]
    except SemisweepError:
        return []
    return [before + comma + name for name in _beginning(names, last)]


def _studies(context: click.Context, *, own: bool = False) -> list[Study | Search]:
    """Return the studies that the line names; with `own` only those of files and modules."""
    from semisweep.core.own_code import is_own
    from semisweep.study.catalogue import find_study, is_shipped

    # Click leaves the words in `args` where the line ends in an option that has no value yet.
    given = context.params.get("studies") or context.params.get("study") or context.args
    names = [given] if isinstance(given, str) else list(given)
    names = [name for name in names if is_own(name) or is_shipped(name)]
    try:
        return [find_study(name) for name in names if is_own(name) or not own]
    except SemisweepError:  # a shell has no place for it
        return []


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in dict.fromkeys(names) if name.startswith(incomplete)]
