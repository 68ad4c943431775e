"""Ablations by name, for every command that takes a study: METHOD/DESIGN, with what it leaves open.

    gps/leave-one-out
    rankmatch/shapley/switches=features,correlation,rank/budget=8
    my_method.py:Mine/factorial/resolution=4
    my_study.py:whole/cumulative

METHOD is one that comes along, the place of a method of your own, or of an `Ablation`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pkgutil import resolve_name
from typing import TYPE_CHECKING, NamedTuple

from semisweep.core.errors import ConfigError, unknown
from semisweep.store.resolved_design import KINDS
from semisweep.study.named_values import find_method, find_value, method_names

if TYPE_CHECKING:
    from semisweep.study.ablation import Ablation
    from semisweep.study.declaration import Study

MARK = "/"
DESIGNS = tuple(kind for kind in KINDS if kind != "combinations")  # whose rows nobody has to name
OPTIONS: Mapping[str, Sequence[str]] = {  # the designs that they are of
    "switches": DESIGNS,
    "budget": ("shapley",),
    "resolution": ("factorial",),
}


class Parts(NamedTuple):
    """What a name asks for."""

    method: str
    design: str
    switches: tuple[str, ...] | None = None
    budget: int | None = None
    resolution: int | None = None


def is_ablation(name: str) -> bool:
    """Return whether a name is that of an ablation, and not of a study or a file."""
    place, _, rest = name.rpartition(":")
    method, mark, _ = rest.partition(MARK)
    return bool(mark) and (bool(place) or method in method_names())


def ablation_name(
    method: str,
    design: str,
    *,
    switches: str | None = None,
    budget: int | None = None,
    resolution: int | None = None,
) -> str:
    """Return the name of an ablation."""
    given = {"switches": switches, "budget": budget, "resolution": resolution}
    told = [f"{name}={value}" for name, value in given.items() if value is not None]
    return MARK.join([method, design, *told])


def parse(name: str) -> Parts:
    """Return what the name of an ablation asks for; raise `ConfigError` for a wrong one.

    Imports nothing heavy, and looks up no method.
    """
    place, colon, rest = name.rpartition(":")
    method, *parts = rest.split(MARK)
    design = parts[0]
    if design not in DESIGNS:
        raise unknown("design", design, DESIGNS)
    given: dict[str, str] = {}
    for part in parts[1:]:
        option, _, value = part.partition("=")
        if option not in OPTIONS or option in given:
            raise unknown("option of a design", option, OPTIONS)
        if design not in OPTIONS[option]:
            raise ConfigError(
                f"a design must be given its own options, got {option}={value} for {design}; "
                f"it is of {', '.join(OPTIONS[option])}"
            )
        given[option] = value
    switches = given.get("switches")
    return Parts(
        method=place + colon + method,
        design=design,
        switches=None if switches is None else tuple(switches.split(",")),
        budget=_count("budget", given, 2),
        resolution=_count("resolution", given, 3),
    )


def method_ablations() -> dict[str, str]:
    """Return the ablations that come along: a method's name and the text of their import path."""
    return dict(resolve_name("semisweep_studies:ABLATIONS"))


def study_of(name: str) -> Study:
    """Return the study of an ablation's name."""
    from semisweep.study import designs

    parts = parse(name)
    whole = ablation_of(parts.method)
    if parts.switches is not None:
        whole = dataclasses.replace(whole, switches=parts.switches)
    if parts.design == "shapley":
        study = designs.shapley(whole, parts.budget or designs.BUDGET)
    elif parts.design == "factorial":
        study = designs.factorial(whole, parts.resolution or 0)
    else:
        study = designs.DESIGNS[parts.design](whole)
    options = name.rpartition(":")[2].split(MARK)[2:]
    return dataclasses.replace(study, name=MARK.join([study.name, *options]))


def ablation_of(method: str) -> Ablation:
    """Return the ablation of a method that comes along, or that a file or a module has."""
    from semisweep.study.ablation import Ablation

    known = method_ablations()
    if method in known or ":" in method:
        found = find_value(known.get(method, method), "method")
        if isinstance(found, Ablation):
            return found
    plain = method if ":" not in method else ""
    whole = resolve_name("semisweep_studies.ablations:of_method")(find_method(method), plain)
    assert isinstance(whole, Ablation)
    return whole


def _count(name: str, given: Mapping[str, str], least: int) -> int | None:
    if name not in given:
        return None
    text = given[name]
    if not text.isascii() or not text.isdigit() or len(text) > 6 or int(text) < least:
        raise ConfigError(
            f"an option of a design must be a whole number from {least}, got {name}={text!r:.80}"
        )
    return int(text)
