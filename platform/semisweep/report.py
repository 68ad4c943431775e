"""What a store says, for reading: tables of studies, searches, and where values come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from semisweep.catalogue import short
from semisweep.files import Location, replacing
from semisweep.grid import grid
from semisweep.query import results
from semisweep.request import Request
from semisweep.search_report import search_to_markdown
from semisweep.store import Store, locate
from semisweep.table import Table, build, to_csv, to_markdown

if TYPE_CHECKING:
    from semisweep.method import Method


def render(names: Sequence[str], request: Request, form: str = "markdown") -> str:
    """Return the tables of some studies as Markdown or CSV."""
    studies = [resolved_study(name, request) for name in names]
    if form == "csv":
        return to_csv([make_table(study, request) for study in studies if not is_search(study)])
    return "\n".join(
        search_to_markdown(study, _store_of(study, request))
        if is_search(study)
        else to_markdown(make_table(study, request))
        for study in studies
    )


def write(name: str, request: Request) -> Location:
    """Write the table of a study into its store and return the file's path."""
    path = locate(request.store) / "tables" / f"{short(name)}@{request.scale}.md"
    with replacing(path) as file:
        file.write(render([name], request).encode())
    return path


def failures(name: str, request: Request) -> list[str]:
    """Return one text for each failed trial of a study: its key and its error."""
    study = resolved_study(name, request)
    keys = keys_of(study)
    failed = Store.open(request.store).failures(keys)
    return [f"{key}: {failed[key]['error']}" for key in keys if key in failed]


def resolved_study(name: str, request: Request) -> Mapping[str, Any]:
    """Return a study as its last run left it in the store, or as it would run now."""
    exists = Store.exists(request.store)
    if exists and not request.changes and not request.seeds:
        stored = Store.open(request.store).read_study(short(name), request.scale)
        if stored is not None:
            return stored
    from semisweep.catalogue import find_study
    from semisweep.study import Search, Splits, resolve
    from semisweep.validation import sample_trials

    study = find_study(name)
    if isinstance(study, Search):
        return {"kind": "search", "trials": []} | {
            "name": study.name, "title": study.title, "metric": study.metric,
            "direction": study.direction, "scale": request.scale,
        }  # fmt: skip
    wanted = {trial.data.name for trial in sample_trials(study, request)}
    here = all(request.roots.of(name).exists() for name in wanted)
    splits = Splits(request.roots) if here else None
    return resolve(study, request.scale, splits, request.changes, request.seeds).table


def is_search(study: Mapping[str, Any]) -> bool:
    """Return whether a resolved study is a search."""
    return bool(study["kind"] == "search")


def make_table(study: Mapping[str, Any], request: Request) -> Table:
    """Return the table of a resolved study from what the store has."""
    if not Store.exists(request.store):
        return build(study, {}, {})
    store = Store.open(request.store)
    keys = keys_of(study)
    return build(study, results(store, keys), store.failures(keys))


def _store_of(study: Mapping[str, Any], request: Request) -> Store | None:
    """Return the store in which a search has trials, or None where it has none."""
    return Store.open(request.store) if study["trials"] else None


def keys_of(study: Mapping[str, Any]) -> list[str]:
    """Return the distinct keys of a resolved study in order."""
    if is_search(study):
        return list(dict.fromkeys(entry["key"] for entry in study["trials"]))
    return list(dict.fromkeys(key for cell in study["cells"] for key in cell["trials"].values()))


def provenance_table(method: type[Method]) -> str:
    """Return, for each field of a method's configuration, where its value comes from."""
    lines = [["field", "used", "symbol", "paper", "released code", "why"]]
    lines += list(_provenance_rows(method.Config(), ""))
    return grid(lines)


def _provenance_rows(config: Any, prefix: str) -> Iterable[list[str]]:
    import dataclasses

    from semisweep.config import settings

    for name, value, about in settings(config):
        if dataclasses.is_dataclass(value):
            yield from _provenance_rows(value, f"{prefix}{name}.")
        else:
            where = [about.symbol, about.paper, about.code, about.why]
            yield [prefix + name, str(value), *where]
