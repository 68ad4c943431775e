"""A search as a study declares it now, and what it takes over from searches in an earlier space.

A trial that another search of the same name and objectives has finished is an observation of this
one where its values lie within the space and make the very same trial here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping

from semisweep.core.config import digest
from semisweep.search import sampling
from semisweep.search.trial_outcome import outcomes
from semisweep.store import suggestion_log
from semisweep.store.resolved_search import (
    SAME,
    Dimension,
    ResolvedSearch,
    Suggestion,
    Value,
)
from semisweep.store.store import Store
from semisweep.store.study_files import VARIANT_DIGITS
from semisweep.store.suggestion_log import identity_of
from semisweep.study.declaration import Search
from semisweep.study.request import Request
from semisweep.study.resolve import Splits, make_trial, preset_of
from semisweep.study.scales import at_scale
from semisweep.study.smoke import adapted
from semisweep.training.trial import Trial

KeyOf = Callable[[Mapping[str, Value]], str]


def template_of(search: Search, request: Request) -> Trial:
    """Return the trial of a search before any values are suggested."""
    fields = at_scale(search.set, request.scale, {})
    preset, method = preset_of(search, request.scale), search.own_method
    return adapted(make_trial(preset, method, fields, request.changes), request)


def declared(search: Search, request: Request, splits: Splits, lag: int = 0) -> ResolvedSearch:
    """Return a search as it is declared now, on the data that are there, without any trials."""
    template = template_of(search, request)
    halving = search.halving
    found = ResolvedSearch(
        name=search.name,
        title=search.title,
        metric=search.metric,
        direction=search.direction,
        scale=request.stored_scale,
        sampler=search.sampler,
        also=tuple(search.also),
        halving=halving and dataclasses.replace(halving, rungs=tuple(halving.rungs)),
        space=sampling.describe(dict(at_scale(search.space, request.scale, {}))),
        template=digest(template.encoded()),
        data=splits.state_of(template.data.name),
        changes=dict(request.changes),
        lag=lag,
    )
    return dataclasses.replace(found, identity=digest(found.identifying()))


def stored_search(
    search: Search, request: Request, splits: Splits, store: Store | None
) -> ResolvedSearch | None:
    """Return what a store has of a search as it is declared now, None where it has nothing."""
    if store is None:
        return None
    now = declared(search, request, splits)
    stored = store.read_search(now.name, now.scale, now.changes)
    if stored is not None and stored.is_same_as(now):
        return stored
    return suggestion_log.read(store.root, now.identity)


def taken_over(
    store: Store, search: ResolvedSearch, others: Iterable[ResolvedSearch], key_of: KeyOf
) -> list[Suggestion]:
    """Return finished trials of other searches that are trials of this one, as its next.

    `key_of`: the key of the trial that some values make here. A grid takes over none, as it comes
    to each of its points by itself.
    """
    known = set(search.suggested_keys)
    found: list[Suggestion] = []
    for other in others if search.sampler != "grid" else ():
        if other.objectives != search.objectives:
            continue
        ends = outcomes(store, other)
        for entry in other.own:
            end = ends.get(entry.key)
            if end is None or end.state != "finished" or entry.key in known:
                continue
            if sampling.is_within(search.space or {}, entry.params) and (
                key_of(entry.params) == entry.key
            ):
                number = len(search.trials) + len(found)
                known.add(entry.key)
                origin = f"{search.name}@{short_identity(other)} #{entry.number}"
                found.append(
                    Suggestion(number=number, params=entry.params, key=entry.key, origin=origin)
                )
    return found


def short_identity(search: ResolvedSearch) -> str:
    """Return what tells a search from others of its name."""
    return identity_of(search)[:VARIANT_DIGITS]


def difference(old: ResolvedSearch, new: ResolvedSearch) -> str:
    """Return in what two searches of one name differ, as far as that makes them two."""
    parts = [name for name in SAME if getattr(old, name) != getattr(new, name)]
    told = list(_space_difference(old.space or {}, new.space or {})) if "space" in parts else []
    words = {"template": "what is trained besides", "also": "further objectives"}
    told += ["images or masks"] if not parts and old.data != new.data else []
    told += [
        f"{words.get(name, name)}{_values(name, old, new)}" for name in parts if name != "space"
    ]
    return "; ".join(told)


def _values(name: str, old: ResolvedSearch, new: ResolvedSearch) -> str:
    """Return the two values of what a word can say."""
    before, after = getattr(old, name), getattr(new, name)
    texts = isinstance(before, str) and isinstance(after, str) and name != "template"
    return f" {before} -> {after}" if texts else ""


def _space_difference(old: Mapping[str, Dimension], new: Mapping[str, Dimension]) -> Iterator[str]:
    for name in dict.fromkeys((*old, *new)):
        if name not in new:
            yield f"{name} is no longer varied"
        elif name not in old:
            yield f"{name} is varied too"
        elif old[name] != new[name]:
            before, after = (sampling.range_text(space[name]) for space in (old, new))
            more = f" {before} -> {after}" if before != after else ": its options or conditions"
            yield f"{name}{more}"
    if list(old) != list(new) and set(old) == set(new):
        yield "the order of names"
