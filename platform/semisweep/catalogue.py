"""Finding studies and methods by name: those that come along, and anybody's own."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType
from typing import TYPE_CHECKING

from semisweep.errors import ConfigError, unknown

if TYPE_CHECKING:
    from semisweep.method import Method
    from semisweep.study import Search, Study


def study_names() -> dict[str, str]:
    """Return the studies that come along: name and the text of its import path."""
    return dict(resolve_name("semisweep_studies:STUDIES"))


def method_names() -> dict[str, str]:
    """Return the methods that come along: name and the text of its import path."""
    return dict(resolve_name("semisweep_methods:METHODS"))


def find_study(name: str) -> Study | Search:
    """Return a study by its name, by "package.module:attribute" or by "file.py:attribute"."""
    from semisweep.study import Search, Study

    check_study_name(name)
    found = _resolve(study_names().get(name, name), "study")
    if not isinstance(found, Study | Search):
        raise ConfigError(f"a study must be a Study or a Search, got {name}={type(found).__name__}")
    return found


def check_study_name(name: str) -> None:
    """Raise `ConfigError` for a plain name that is not a study's; imports nothing heavy."""
    if ":" not in name and name not in study_names():
        raise unknown("study", name, study_names())


def short(name: str) -> str:
    """Return the name of a study, also when it was given as package.module:name."""
    return name.rpartition(":")[2]


def find_method(name: str) -> type[Method]:
    """Return a method by its name or by "package.module:Class"."""
    names = method_names()
    if ":" not in name and name.lower() not in names:
        raise unknown("method", name, names)
    return _resolve(names.get(name.lower(), name), "method")  # type: ignore[return-value]


def _resolve(path: str, kind: str) -> object:
    place, _, attribute = path.rpartition(":")
    try:
        if place.endswith(".py"):
            return getattr(_load_file(Path(place)), attribute)
        return resolve_name(path)
    except (ImportError, AttributeError, ValueError, OSError) as error:
        raise ConfigError(f"a {kind} must be importable, got {kind}={path!r}: {error}") from None


def _load_file(path: Path) -> ModuleType:
    if path.stem in sys.modules:
        return sys.modules[path.stem]
    specification = importlib.util.spec_from_file_location(path.stem, path)
    if specification is None or specification.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(specification)
    sys.modules[path.stem] = module
    specification.loader.exec_module(module)
    return module
