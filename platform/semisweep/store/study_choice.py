"""Which stored study a user means by a name, and what is said where a store has several of it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from semisweep.core.errors import unknown
from semisweep.core.safe_text import one_line
from semisweep.store.resolved_search import ResolvedSearch, StudyOrSearch
from semisweep.store.store import Store
from semisweep.store.study_files import StoredStudy, variant_of

TOLD = 4  # other studies that a note names


S = TypeVar("S", bound=StudyOrSearch | None)


class Choice(NamedTuple, Generic[S]):
    """The study that is shown, None where there is none, and a line where there are others."""

    study: S
    note: str = ""


def choose(
    store: Store, name: str, scale: str, changes: Mapping[str, object] | None = None
) -> Choice[StudyOrSearch | None]:
    """Return the study of a name, scale and changes.

    Without changes the study as it ran without any, or where it only ran with some, that one. A
    name may be NAME@VARIANT, as notes and listings have it. Raises `ConfigError` for a variant
    that there is not.
    """
    if changes:
        return Choice(store.read_study(name, scale, changes))
    own = store.study_files.named(name, scale)
    base, _, variant = name.rpartition("@")
    if not own and base:
        return Choice(_variant(store.study_files.named(base, scale), base, variant))
    if not own:
        return Choice(None)
    shown = next((stored for stored in own if not stored.place.variant), own[0])
    others = [stored for stored in own if stored is not shown]
    return Choice(shown.study, _note(shown, others))


def told(stored: StoredStudy) -> str:
    """Return how a study is told from others of its name: its changes, or which search it is."""
    return options(stored.study.changes) or (stored.place.variant and "in an earlier space")


def options(changes: Mapping[str, object]) -> str:
    """Return changes as the options of a command that ask for them, "" of none."""
    return one_line(shlex.join(set_options(changes)))


def set_options(changes: Mapping[str, object]) -> list[str]:
    """Return the words of a command that make changes."""
    return [word for path, value in changes.items() for word in ("--set", f"{path}={value}")]


def _variant(stored: Sequence[StoredStudy], name: str, variant: str) -> StudyOrSearch | None:
    """Return the one study whose variant begins so."""
    if not stored:
        return None
    found = [own for own in stored if variant and own.place.variant.startswith(variant)]
    if len(found) != 1:
        known = [own.place.variant for own in stored if own.place.variant]
        raise unknown(f"stored variant of {name}", variant, known)
    return found[0].study


def _note(shown: StoredStudy, others: Sequence[StoredStudy]) -> str:
    """Return which study is shown and how to ask for the others, "" where that is plain."""
    changed = options(shown.study.changes)
    if not others and not changed:
        return ""
    is_search = isinstance(shown.study, ResolvedSearch)
    state = f"as run with {changed}, never without" if changed else "as run without --set"
    if not changed and is_search and not any(own.study.changes for own in others):
        state = "as run last"
    text = f"{one_line(shown.place.name)} ({one_line(shown.place.scale)} scale) is shown {state}"
    asked = [
        options(own.study.changes)
        if own.study.changes and own.place.variant == variant_of(own.study.changes)
        else f"{one_line(own.place.name)}@{own.place.variant} (in an earlier space)"
        for own in others
    ]
    more = f" and {len(asked) - TOLD} more, which status lists" if len(asked) > TOLD else ""
    return text + (f"; ask for others by {', '.join(asked[:TOLD])}{more}" if asked else "")
