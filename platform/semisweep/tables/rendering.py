"""What a store says, for reading: tables of studies, searches, and where values come from."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from semisweep.core.errors import ConfigError
from semisweep.core.faults import last_lines
from semisweep.core.markdown import grid
from semisweep.core.safe_text import as_bytes, printable
from semisweep.core.training_code import training_code
from semisweep.evaluation.pseudo_label_results import label_row, measured_keys
from semisweep.store.compaction import compact_after_sweep
from semisweep.store.files import Location, replacing
from semisweep.store.removal import TABLES
from semisweep.store.resolved_search import ResolvedSearch, StudyOrSearch
from semisweep.store.resolved_study import Place, ResolvedStudy
from semisweep.store.resolved_tuning import Tuning
from semisweep.store.snapshot import Snapshot, leaving_out
from semisweep.store.store import Store, locate
from semisweep.store.study_choice import Choice, choose
from semisweep.store.study_files import StudyPlace, variant_of
from semisweep.study.catalogue import is_listed, stored_name
from semisweep.study.request import Request
from semisweep.tables.command_words import store_words, study_words
from semisweep.tables.compact_table import compact_text
from semisweep.tables.data_marks import changed_data
from semisweep.tables.html_table import fragment, to_html
from semisweep.tables.image_tests import image_tests
from semisweep.tables.imported_numbers import read_imported, summaries
from semisweep.tables.latex_table import to_latex
from semisweep.tables.markdown_csv import effects_csv, to_csv, to_markdown
from semisweep.tables.search_summary import search_to_markdown
from semisweep.tables.table_builder import Outside, build
from semisweep.tables.table_looks import TableLooks
from semisweep.tables.table_values import Table
from semisweep.tables.trial_list import trial_lines
from semisweep.tables.tuning_notes import barren_searches

if TYPE_CHECKING:
    from semisweep.study.catalogue import Named


logger = logging.getLogger(__name__)


class Reading:
    """What a store says of some studies, read once for a command; without a store, nothing."""

    def __init__(
        self, names: Sequence[Named], request: Request, store: Store | None = None
    ) -> None:
        self.names, self.request = names, request
        self.store = opened(request) if store is None else store
        chosen = [chosen_study(name, request, self.store) for name in names]
        self.studies = [choice.study for choice in chosen]
        self.notes = [choice.note for choice in chosen if choice.note]  # which of several it is
        self.stored = Snapshot(self.store, (key for study in self.studies for key in study.keys))

    def text(
        self,
        form: str = "markdown",
        *,
        further: bool = False,
        compact: bool = False,
        effects_alone: bool = False,
    ) -> str:
        """Return the tables: "terminal" or "markdown", "latex", "html" or "csv".

        A "fragment" is HTML without a page around it. With `further` all notes are beneath them;
        HTML has them folded anyway, CSV has none. With `compact` they are those of papers. Searches
        have a place in Markdown alone. `effects_alone`: what designs say of the parts of methods,
        without their rows; raises `ConfigError` for a study that has no design.
        """
        show = self._effects if effects_alone else self._text
        return leaving_out(self.stored, lambda: show(form, further, compact))

    def _effects(self, form: str, further: bool, compact: bool) -> str:
        for study in self.studies:
            if not isinstance(study, ResolvedStudy) or study.design is None:
                raise ConfigError(
                    "effects must be asked of a design that takes a method apart, got "
                    f"study={study.name}; `semisweep ablate` makes one"
                )
        tables = [self._tabulated(own) for own in self.studies if isinstance(own, ResolvedStudy)]
        if form == "csv":
            return effects_csv(tables)
        if form == "latex":
            return to_latex(tables, further=further, effects_alone=True)
        if form == "html":
            return to_html(tables, effects_alone=True)
        return "\n".join(to_markdown(own, further=further, effects_alone=True) for own in tables)

    def _text(self, form: str, further: bool, compact: bool) -> str:
        if form in ("csv", "latex", "html", "fragment") or compact:
            studies = [study for study in self.studies if isinstance(study, ResolvedStudy)]
            tables = [self._tabulated(study) for study in studies]
            if compact and not tables:
                raise ConfigError(
                    "a compact table must be of rows and columns, got "
                    f"study={self.studies[0].name}, a search"
                )
            if compact:
                return compact_text(tables, form)
            if form == "latex":
                return to_latex(tables, further=further)
            if form == "fragment":
                return "".join(map(fragment, tables))
            return to_csv(tables) if form == "csv" else to_html(tables)
        return "\n".join(self._markdown(study, further) for study in self.studies)

    def failures(self) -> list[str]:
        """Return a line for each failed trial, with its error's last line.

        So it does for each search of a cell that has no other trials.
        """
        errors = self.stored.errors
        keys = dict.fromkeys(key for study in self.studies for key in study.keys)
        found = [_failure(key, errors[key], self.request) for key in keys if key in errors]
        tables = [study for study in self.studies if isinstance(study, ResolvedStudy)]
        return [*found, *(line for study in tables for line in barren_searches(study))]

    def summaries(self) -> list[str]:
        """Return in a line each how many trials of the studies have finished."""
        return [
            f"{study.name:24} {len(self.stored.results.keys() & set(study.keys))} of "
            f"{len(study.keys)} trials finished"
            for study in self.studies
        ]

    def _markdown(self, study: StudyOrSearch, further: bool) -> str:
        if isinstance(study, ResolvedSearch):
            return search_to_markdown(study, self.stored)
        return to_markdown(self._tabulated(study), further=further)

    def _tabulated(self, study: ResolvedStudy) -> Table:
        (name,) = (
            own for own, found in zip(self.names, self.studies, strict=True) if found is study
        )
        return tabulate(study, self.stored, self.request, name)


def render(
    names: Sequence[str], request: Request, form: str = "markdown", *, further: bool = False
) -> str:
    """Return the tables of some studies as `Reading.text` does."""
    return Reading(names, request).text(form, further=further)


def opened(request: Request) -> Store | None:
    """Return the store of a request, None where there is none."""
    return Store.open(request.store) if Store.exists(request.store) else None


def write(name: Named, request: Request, text: str) -> Location:
    """Write the rendered table of a study into its store and return the file's path."""
    own = name if is_listed(name) else stored_name(name, opened(request))
    place = StudyPlace(own, request.stored_scale, variant_of(request.changes))
    path = locate(request.store) / TABLES / f"{place.stem}.md"
    with replacing(path) as file:
        file.write(as_bytes(text))
    return path


def keep_table(reading: Reading, text: str) -> Location:
    """Write the rendered table of a study that was read into its store; return the file's path.

    What the reading has found loose, as a run that was killed leaves it, is compacted.
    """
    (name,) = reading.names
    path = write(name, reading.request, text)
    if reading.store is not None and reading.stored.loose:
        compact_after_sweep(reading.store)
    return path


def _failure(key: str, error: str, request: Request) -> str:
    asked = " ".join(["semisweep logs", key[:8], *store_words(request)])
    more = f"; {asked} has the traceback" if "\n" in error.strip() else ""
    return printable(f"{key}: {' | '.join(last_lines(error))}{more}")


def resolved_study(name: Named, request: Request, store: Store | None) -> StudyOrSearch:
    """Return a study as its last run left it in the store, or as it would run now."""
    return chosen_study(name, request, store).study


def chosen_study(name: Named, request: Request, store: Store | None) -> Choice[StudyOrSearch]:
    """Return what `resolved_study` does, and a line where the store has several of that name."""
    if store is not None and not (request.seeds or request.draws):
        choice = choose(store, stored_name(name, store), request.stored_scale, request.changes)
        if choice.study is not None:
            return Choice(choice.study, choice.note)
    return Choice(_resolved_now(name, request, store))


def _resolved_now(name: Named, request: Request, store: Store | None) -> StudyOrSearch:
    from semisweep.checks.data_preparation import prepare_data
    from semisweep.checks.validation import sample_trials
    from semisweep.study.catalogue import find_study
    from semisweep.study.declaration import Search
    from semisweep.study.resolve import Splits, resolve
    from semisweep.study.tuned_rows import tuned_rows

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
    splits = None
    wanted = [trial.data for trial in sample_trials(study, request)]
    if store is not None and all(request.roots.of(data.name).exists() for data in wanted):
        splits = Splits(request.roots, store.keys())
        prepare_data(wanted, splits)
    tuning: dict[Place, Tuning] = {}
    if splits is not None and tuned_rows(study, request.scale):
        from semisweep.search.tuning_choice import tunings_of

        tuning = tunings_of(study, request, splits, store)
    found = resolve(
        study,
        request.scale,
        splits,
        request.changes,
        request.seeds,
        draws=request.draws,
        tuning=tuning,
    ).table
    if store is None:
        return found
    # As a run would state it, though this notes nothing.
    looks = TableLooks(store, StudyPlace(study.name, request.scale, variant_of(request.changes)))
    return looks.stated(found, looks.next_entry(found))


def make_table(study: ResolvedStudy, request: Request) -> Table:
    """Return the table of a resolved study from what the store has."""
    return tabulate(study, Snapshot(opened(request), study.keys), request)


def tabulate(
    study: ResolvedStudy,
    stored: Snapshot,
    request: Request | None = None,
    name: Named | None = None,
) -> Table:
    """Return the table of a resolved study from what was read of the store.

    With a request, data that are on this machine are compared with those of the study's last run,
    and hints name commands that ask for the same, of a study that this one called by `name`.
    """
    store, asked = stored.store, ""
    if request is not None:
        asked = study_words(name or study.name, study.scale, study.changes, request, store)
    if store is None:
        return build(study, {}, {}, Outside(asked=asked))
    keys = study.keys
    rows = {key: stored.results[key] for key in keys if key in stored.results}
    errors = {key: stored.errors[key] for key in keys if key in stored.errors}
    if measured_keys(study):
        rows = {key: row.beside(label_row(store.trial(key))) for key, row in rows.items()}
    outside = Outside(
        imported=summaries(read_imported(store, study.name, study.scale)),
        images=image_tests(study, store, stored.results),
        current=training_code,
        changed_data=changed_data(study, request.roots) if request and study.data else (),
        asked=asked,
    )
    return build(study, rows, errors, outside)


def keys_table(name: str, request: Request) -> str:
    """Return the trials of every cell of a study, and the commands that repeat them."""
    store = opened(request)
    study, note = chosen_study(name, request, store)
    if note:
        logger.warning("%s", note)
    if isinstance(study, ResolvedSearch):
        return search_to_markdown(study, Snapshot(store, study.keys))
    found = list(trial_lines(study, store, name, request))
    return grid([["row", "column", "replicate", "key", "state", "to repeat it"], *found])
