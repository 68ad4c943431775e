"""Mistakes in a user's file, told in one line with file and line number."""

from __future__ import annotations

import dataclasses
import linecache
import re
import traceback
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from types import FrameType, TracebackType

from pydantic import ValidationError

from semisweep.core.config import explain
from semisweep.core.errors import ConfigError
from semisweep.core.own_code import SHIPPED

_UNEXPECTED = re.compile(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'")
_LIBRARIES = ("site-packages", "dist-packages")
_PYTHON = Path(traceback.__file__).parent  # its standard library


def explained(error: BaseException, module: str) -> ConfigError:
    """Return the error of a module that could not be imported: where the mistake is, and what.

    The line is the last one of the user's own code.
    """
    where = _place(error)
    source = linecache.getline(*where).strip() if where else ""
    place = f"{where[0]}, line {where[1]}" if where else f"module={module}"
    told = " ".join(_told(error).split())
    code = f" in `{source}`" if source else ""
    return ConfigError(f"a file must be importable, got {told}{code}, at {place}")


def _told(error: BaseException) -> str:
    """Return what is wrong, with the nearest name that exists where one is known."""
    if isinstance(error, ValidationError):
        return explain(error)
    if isinstance(error, ConfigError):
        return str(error)
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {text}{_nearest(error, text)}"


def _nearest(error: BaseException, text: str) -> str:
    found = _UNEXPECTED.search(text)
    if found is None:
        return ""
    kind = next((own for own in _classes(error.__traceback__) if own.__name__ == found[1]), None)
    if kind is None or not dataclasses.is_dataclass(kind):
        return ""
    known = [field.name for field in dataclasses.fields(kind)]
    near = get_close_matches(found[2], known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f"; known: {', '.join(known)}"


def _classes(trace: TracebackType | None) -> Iterator[type]:
    """Yield the classes that the code of a traceback knew by name."""
    for frame, _ in traceback.walk_tb(trace):
        yield from (own for own in frame.f_globals.values() if isinstance(own, type))


def _place(error: BaseException) -> tuple[str, int] | None:
    """Return file and line of the last of the user's own code that an error came through."""
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return error.filename, error.lineno
    own = [
        (frame, line) for frame, line in traceback.walk_tb(error.__traceback__) if _is_own(frame)
    ]
    return (own[-1][0].f_code.co_filename, own[-1][1]) if own else None


def _is_own(frame: FrameType) -> bool:
    """Return whether code is neither semisweep's nor a library's nor Python's."""
    path = Path(frame.f_code.co_filename)
    if not path.is_file() or set(_LIBRARIES).intersection(path.parts):
        return False
    name = str(frame.f_globals.get("__name__", ""))
    return name.partition(".")[0] not in SHIPPED and not path.is_relative_to(_PYTHON)
