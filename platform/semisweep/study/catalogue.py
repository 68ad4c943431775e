"""Finding studies and methods by name: those that come along, and anybody's own."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType
from typing import TYPE_CHECKING, TypeAlias, TypeGuard

from semisweep.core.errors import ConfigError, unknown

if TYPE_CHECKING:
    from semisweep.study.declaration import Search, Study
    from semisweep.training.method import Method

    Named: TypeAlias = str | Study | Search  # a study, or the name by which it is found


def study_names() -> dict[str, str]:
    """Return the studies that come along: name and the text of its import path."""
    return dict(resolve_name("semisweep_studies:STUDIES"))


def method_names() -> dict[str, str]:
    """Return the methods that come along: name and the text of its import path."""
    return dict(resolve_name("semisweep_methods:METHODS"))


def find_study(name: Named) -> Study | Search:
    """Return a study by its name, by "package.module:attribute" or by "file.py:attribute".

    A study itself is returned as it is.
    """
    from semisweep.study.declaration import Search, Study

    check_study_name(name)
    found = _resolve(study_names().get(name, name), "study") if isinstance(name, str) else name
    if not isinstance(found, Study | Search):
        raise ConfigError(f"a study must be a Study or a Search, got {name}={type(found).__name__}")
    return found


def check_study_name(name: Named) -> None:
    """Raise `ConfigError` for a plain name that is not a study's; imports nothing heavy."""
    if not isinstance(name, str):
        from semisweep.study.declaration import Search, Study

        if not isinstance(name, Study | Search):
            raise ConfigError(
                f"a study must be a Study, a Search or a name, got study={name!r:.80}"
            )
        return
    if is_listed(name) and name not in study_names():
        raise unknown("study", name, study_names())


def is_listed(name: Named) -> TypeGuard[str]:
    """Return whether a study is meant by a plain name, as those that come along are."""
    return isinstance(name, str) and ":" not in name


def short(name: Named) -> str:
    """Return the name of a study, also when it was given as package.module:name."""
    return name.rpartition(":")[2] if isinstance(name, str) else name.name


def find_method(name: str) -> type[Method]:
    """Return a method by its name or by "package.module:Class"."""
    names = method_names()
    if ":" not in name and name.lower() not in names:
        raise unknown("method", name, names)
    return _resolve(names.get(name.lower(), name), "method")  # type: ignore[return-value]


def _resolve(path: str, kind: str) -> object:
    """Return what "package.module:attribute" or "file.py:attribute" names.

    Only what is wrong with the name itself becomes a `ConfigError`: an error inside the module is
    raised as it is, for its traceback says where.
    """
    place, _, attribute = path.rpartition(":")
    if not place or place.startswith(".") or not attribute:
        raise ConfigError(f"a {kind} must be named package.module:name, got {kind}={path!r}")
    module = _load_file(Path(place), kind) if place.endswith(".py") else _import(place, path, kind)
    found: object = module
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise unknown(f"{kind} in {place}", attribute, _public(module))
        found = getattr(found, name)
    return found


def _import(place: str, path: str, kind: str) -> ModuleType:
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if not f"{place}.".startswith(f"{error.name}."):
            raise  # the module is there, and something that it imports is not
        raise ConfigError(f"a {kind} must be importable, got {kind}={path!r}: {error}") from None


def _load_file(path: Path, kind: str) -> ModuleType:
    """Return the module of a file, loaded once, under the name by which others may import it."""
    if not path.is_file():
        raise ConfigError(f"the file of a {kind} must exist, got file={path}")
    known = sys.modules.get(path.stem)
    if known is not None:
        if Path(known.__file__ or "").absolute() == path.absolute():
            return known
        raise ConfigError(
            f"the file of a {kind} must not have the name of another module, got file={path}, "
            f"module={path.stem}; rename the file"
        )
    specification = importlib.util.spec_from_file_location(path.stem, path.absolute())
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[path.stem] = module
    try:
        specification.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise
    return module


def _public(module: ModuleType) -> list[str]:
    return [name for name in vars(module) if not name.startswith("_")]
