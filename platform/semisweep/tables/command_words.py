"""The words with which a further command asks for the same study: what hints and notes repeat."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from semisweep.core import own_code
from semisweep.store.store import Store
from semisweep.store.study_choice import set_options
from semisweep.store.study_origin import study_origin
from semisweep.study.catalogue import MINI
from semisweep.study.request import Request

if TYPE_CHECKING:
    from semisweep.study.catalogue import Named


def store_words(request: Request) -> list[str]:
    """Return the words with which a command asks the store of a request, none for the usual one."""
    return [] if request.store == Request.store else ["--store", shlex.quote(str(request.store))]


def scale_words(scale: str) -> list[str]:
    """Return the words with which a command asks for a scale, none for the usual one."""
    return [] if scale in ("", MINI) else ["--scale", shlex.quote(scale)]


def data_words(request: Request) -> list[str]:
    """Return the words that say where data sets lie, of those that this command named."""
    pairs = request.roots.named.items()
    return [word for name, root in pairs for word in ("--data", shlex.quote(f"{name}={root}"))]


def study_words(
    name: Named, scale: str, changes: Mapping[str, object], request: Request, store: Store | None
) -> str:
    """Return what follows `semisweep table` or `semisweep run` to ask for a study again."""
    words = [study_place(name, store), *scale_words(scale), *store_words(request)]
    return " ".join([*words, *data_words(request), *map(shlex.quote, set_options(changes))])


def study_place(name: Named, store: Store | None) -> str:
    """Return the word that names a study: of a user's own its file, as given now or when it ran."""
    if isinstance(name, str) and own_code.is_own(name):
        return shlex.quote(name)
    plain = name if isinstance(name, str) else name.name
    origin = "" if store is None else study_origin(store.root, plain)
    return shlex.quote(shorter(origin) or plain)


def shorter(origin: str) -> str:
    """Return "file.py:attribute" from the current folder, where the file is in it."""
    place, colon, attribute = origin.rpartition(":")
    if not own_code.is_file(place):
        return origin
    below = os.path.relpath(place)
    return origin if below.startswith(os.pardir) else f"{Path(below)}{colon}{attribute}"
