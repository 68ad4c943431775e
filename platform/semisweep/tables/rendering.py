"""What a store says, for reading: tables of studies, searches, and where values come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from semisweep.core.faults import last_lines
from semisweep.core.markdown import grid
from semisweep.core.provenance import source
from semisweep.core.safe_text import printable
from semisweep.evaluation.pseudo_label_results import label_row, measured_keys
from semisweep.store.files import Location, replacing
from semisweep.store.resolved_search import ResolvedSearch, StudyOrSearch
from semisweep.store.resolved_study import ResolvedStudy
from semisweep.store.snapshot import Snapshot
from semisweep.store.store import Store, locate
from semisweep.study.catalogue import short
from semisweep.study.request import Request
from semisweep.tables.html_table import to_html
from semisweep.tables.image_tests import image_tests
from semisweep.tables.imported_numbers import entries, summaries
from semisweep.tables.latex_table import to_latex
from semisweep.tables.markdown_csv import to_csv, to_markdown
from semisweep.tables.search_summary import search_to_markdown
from semisweep.tables.table_builder import Outside, build
from semisweep.tables.table_values import Table
from semisweep.tables.trial_list import trial_lines

if TYPE_CHECKING:
    from semisweep.training.method import Method


def render(names: Sequence[str], request: Request, form: str = "markdown") -> str:
    """Return the tables of some studies: "terminal" or "markdown", "latex", "html" or "csv".

    Searches have a place in Markdown alone.
    """
    studies = [resolved_study(name, request) for name in names]
    stored = read(studies, request)
    if form in ("csv", "latex", "html"):
        writer = {"csv": to_csv, "latex": to_latex, "html": to_html}[form]
        return writer(
            [tabulate(study, stored) for study in studies if isinstance(study, ResolvedStudy)]
        )
    return "\n".join(
        search_to_markdown(study, _store_of(study, request))
        if isinstance(study, ResolvedSearch)
        else to_markdown(tabulate(study, stored))
        for study in studies
    )


def write(name: str, request: Request) -> Location:
    """Write the table of a study into its store and return the file's path."""
    path = locate(request.store) / "tables" / f"{short(name)}@{request.stored_scale}.md"
    with replacing(path) as file:
        file.write(render([name], request).encode())
    return path


def summary(name: str, request: Request) -> str:
    """Return in one line how many trials of a study have finished."""
    study = resolved_study(name, request)
    keys = study.keys
    finished = Store.open(request.store).finished().intersection(keys)
    return f"{study.name:24} {len(finished)} of {len(keys)} trials finished"


def failures(name: str, request: Request) -> list[str]:
    """Return one line for each failed trial of a study: its key and its error's last line."""
    study = resolved_study(name, request)
    keys = study.keys
    failed = Store.open(request.store).failures(keys)
    return [_failure(key, failed[key].error) for key in keys if key in failed]


def _failure(key: str, error: str) -> str:
    more = f"; semisweep logs {key[:8]} has the traceback" if "\n" in error.strip() else ""
    return printable(f"{key}: {' | '.join(last_lines(error))}{more}")


def resolved_study(name: str, request: Request) -> StudyOrSearch:
    """Return a study as its last run left it in the store, or as it would run now."""
    exists = Store.exists(request.store)
    if exists and not request.seeds:
        stored = Store.open(request.store).read_study(short(name), request.stored_scale)
        if stored is not None and _answers(stored, request.changes):
            return stored
    from semisweep.checks.validation import sample_trials
    from semisweep.study.catalogue import find_study
    from semisweep.study.declaration import Search
    from semisweep.study.resolve import Splits, resolve

    study = find_study(name)
    if request.any_scale and request.scale not in study.presets:
        request = replace(request, scale=next(iter(study.presets)))
    if isinstance(study, Search):
        return ResolvedSearch(
            name=study.name,
            title=study.title,
            metric=study.metric,
            direction=study.direction,
            scale=request.scale,
        )
    wanted = {trial.data.name for trial in sample_trials(study, request)}
    here = all(request.roots.of(name).exists() for name in wanted)
    splits = Splits(request.roots) if here else None
    return resolve(study, request.scale, splits, request.changes, request.seeds).table


def _answers(stored: StudyOrSearch, changes: Mapping[str, object]) -> bool:
    """Return whether a stored study is the one that is asked for; what a search did is its own."""
    is_search = isinstance(stored, ResolvedSearch)
    return not changes or (is_search and stored.changes == dict(changes))


def make_table(study: ResolvedStudy, request: Request) -> Table:
    """Return the table of a resolved study from what the store has."""
    return tabulate(study, read([study], request))


def read(studies: Iterable[StudyOrSearch], request: Request) -> Snapshot:
    """Return what the store has of the trials of some resolved studies."""
    store = Store.open(request.store) if Store.exists(request.store) else None
    return Snapshot(store, (key for study in studies for key in study.keys))


def tabulate(study: ResolvedStudy, stored: Snapshot) -> Table:
    """Return the table of a resolved study from what was read of the store."""
    store = stored.store
    if store is None:
        return build(study, {}, {})
    keys = study.keys
    rows = {key: stored.results[key] for key in keys if key in stored.results}
    errors = {key: stored.errors[key] for key in keys if key in stored.errors}
    if measured_keys(study):
        rows = {key: row.beside(label_row(store.trial(key))) for key, row in rows.items()}
    outside = Outside(
        imported=summaries(entries(store, study.name, study.scale)),
        images=image_tests(study, store, stored.results),
        current=current_source,
    )
    return build(study, rows, errors, outside)


def current_source(method: str) -> str:
    """Return the digest of the source code that would train a method now."""
    return source(("semisweep", method.partition(":")[0].partition(".")[0]))


def keys_table(name: str, request: Request) -> str:
    """Return the trials of every cell of a study, and the commands that repeat them."""
    study = resolved_study(name, request)
    if isinstance(study, ResolvedSearch):
        return search_to_markdown(study, _store_of(study, request))
    store = Store.open(request.store) if Store.exists(request.store) else None
    found = list(trial_lines(study, store, name, request))
    return grid([["row", "column", "replicate", "key", "state", "to repeat it"], *found])


def _store_of(study: ResolvedSearch, request: Request) -> Store | None:
    """Return the store in which a search has trials, or None where it has none."""
    return Store.open(request.store) if study.trials else None


def provenance_table(method: type[Method]) -> str:
    """Return, for each field of a method's configuration, where its value comes from."""
    lines = [["field", "used", "symbol", "paper", "released code", "why"]]
    lines += list(_provenance_rows(method.Config(), ""))
    return grid(lines)


def _provenance_rows(config: Any, prefix: str) -> Iterable[list[str]]:
    import dataclasses

    from semisweep.core.config import settings

    for name, value, about in settings(config):
        if dataclasses.is_dataclass(value):
            yield from _provenance_rows(value, f"{prefix}{name}.")
        else:
            where = [about.symbol, about.paper, about.code, about.why]
            yield [prefix + name, str(value), *where]
