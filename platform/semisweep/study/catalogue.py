"""Finding studies and methods by name: those that come along, and anybody's own."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, TypeAlias, TypeGuard

from semisweep.core import own_code
from semisweep.core.errors import ConfigError, unknown
from semisweep.study import ablation_names
from semisweep.study.named_values import find_value, register

if TYPE_CHECKING:
    from semisweep.store.store import Store
    from semisweep.study.declaration import Search, Study

    Named: TypeAlias = str | Study | Search  # a study, or the name by which it is found

MINI = "mini"  # the scale where nobody says one


def study_names() -> dict[str, str]:
    """Return the studies that come along: name and the text of its import path."""
    return dict(resolve_name("semisweep_studies:STUDIES"))


def find_study(name: Named) -> Study | Search:
    """Return a study by its name, by "package.module:attribute" or by "file.py:attribute".

    A study itself is returned as it is, and of METHOD/DESIGN the ablation is made.
    """
    from semisweep.study.declaration import Search, Study

    check_study_name(name)
    if isinstance(name, str) and ablation_names.is_ablation(name):
        return ablation_names.study_of(name)
    found = find_value(study_names().get(name, name), "study") if isinstance(name, str) else name
    if not isinstance(found, Study | Search):
        raise ConfigError(f"a study must be a Study or a Search, got {name}={type(found).__name__}")
    return found


def check_study_name(name: Named) -> None:
    """Raise `ConfigError` for a plain name that is not a study's; imports nothing heavy.

    The folder of a file that a name has goes on the path of modules.
    """
    if not isinstance(name, str):
        from semisweep.study.declaration import Search, Study

        if not isinstance(name, Study | Search):
            raise ConfigError(
                f"a study must be a Study, a Search or a name, got study={name!r:.80}"
            )
        return
    if ablation_names.is_ablation(name):
        ablation_names.parse(name)
    if own_code.is_own(name):
        register(name)
    elif not is_shipped(name):
        raise unknown("study", name, study_names())


def is_shipped(name: str) -> bool:
    """Return whether a study comes along, by its plain name or as METHOD/DESIGN."""
    return name in study_names() or (":" not in name and ablation_names.is_ablation(name))


def is_listed(name: Named) -> TypeGuard[str]:
    """Return whether a study is meant by a plain name, as those that come along are."""
    return isinstance(name, str) and ":" not in name


def stored_name(name: Named, store: Store | None) -> str:
    """Return the name that a store has a study under, of which "file.py:attribute" is a place.

    The store remembers it; of a place that it does not know, the study itself says it.
    """
    if not isinstance(name, str):
        return name.name
    if not own_code.is_own(name):
        return name
    from semisweep.store.study_origin import study_origins

    origin = origin_of(name)
    origins = study_origins(store.root) if store is not None else {}
    known = [own for own, where in origins.items() if where == origin]
    return known[0] if len(known) == 1 else find_study(name).name


def default_scale(names: Sequence[Named], store: Store | None = None) -> str:
    """Return the scale of studies where the user says none: mini, or their only one.

    Of names that are not shipped, a file's study says which scales it has, and a store of a plain
    name. Raises `ConfigError` where studies of one command differ.
    """
    found = [_default_scale(name, store) for name in names]
    if len(set(found)) > 1:
        pairs = zip(map(short, names), found, strict=True)
        told = ", ".join(f"{name}: {scale}" for name, scale in pairs)
        raise ConfigError(f"studies of one command must have one scale, got {told}; give --scale")
    return next(iter(found), MINI)


def _default_scale(name: Named, store: Store | None) -> str:
    if not isinstance(name, str) or own_code.is_own(name):
        return only_scale(find_study(name).presets)
    if is_shipped(name) or store is None:
        return MINI
    return only_scale([scale for own, scale in store.studies() if own == name])


def only_scale(scales: Collection[str]) -> str:
    """Return the only one of some scales, mini of several."""
    return next(iter(scales)) if len(scales) == 1 else MINI


def origin_of(name: Named) -> str:
    """Return where the study of a name is, as a store remembers it; "" of those that come along."""
    if not isinstance(name, str) or not own_code.is_own(name):
        return ""
    place, _, attribute = name.rpartition(":")
    return f"{Path(place).resolve()}:{attribute}" if own_code.is_file(place) else name


def short(name: Named) -> str:
    """Return the name of a study, also when it was given as package.module:name."""
    return name.rpartition(":")[2] if isinstance(name, str) else name.name
