"""The report as one HTML file: sections in a template, the style inside, nothing to be loaded."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semisweep.core.safe_text import as_bytes, without_controls
from semisweep.report.sections import FigureGroup, Section, section
from semisweep.store.files import replacing
from semisweep.store.resolved_search import ResolvedSearch, StudyOrSearch
from semisweep.store.snapshot import Snapshot, leaving_out
from semisweep.store.store import Store
from semisweep.store.study_choice import told
from semisweep.store.study_files import StoredStudy, own_variant
from semisweep.study.request import Request
from semisweep.tables.rendering import chosen_study, opened

if TYPE_CHECKING:
    from jinja2 import Environment

logger = logging.getLogger(__name__)

HERE = Path(__file__).parent


def studies_for(
    names: Sequence[str], request: Request, store: Store | None = None
) -> list[StudyOrSearch]:
    """Return the resolved studies of a report: those that are named, or all that the store has."""
    store = opened(request) if store is None else store
    if names:
        chosen = [chosen_study(name, request, store) for name in names]
        for note in (choice.note for choice in chosen if choice.note):
            logger.warning("%s", note)
        return [choice.study for choice in chosen]
    if store is None:
        return []
    return [titled(stored) for stored in store.study_files.all()]


def titled(stored: StoredStudy) -> StudyOrSearch:
    """Return a stored study whose title tells it from others of its name."""
    if stored.place.variant == own_variant(stored.study):
        return stored.study
    return replace(stored.study, title=f"{stored.study.title} ({told(stored)})")


def sections_for(
    studies: Sequence[StudyOrSearch],
    request: Request,
    store: Store | None = None,
    *,
    stored: Snapshot | None = None,
    images: int = 0,
    features: bool = False,
    device: str = "cpu",
) -> list[Section]:
    """Return the sections of some resolved studies, from what the store has, or `stored` of it.

    With `images` so many pictures of what each arm sees, with `features` a map of its features;
    both need kept weights and the images, and import torch.
    """
    store = opened(request) if store is None else store
    stored = stored or Snapshot(store, (key for study in studies for key in study.keys))
    data = [
        part for name, root in request.roots.named.items() for part in ("--data", f"{name}={root}")
    ]
    made = [
        leaving_out(stored, partial(section, study, stored, request.store, data))
        for study in studies
    ]
    for number, own in enumerate(made):  # several may be of one name
        own.anchor += "-again" * sum(own.anchor == other.anchor for other in made[:number])
    if stored.store is not None:
        for study, own in zip(studies, made, strict=True):
            own.parts += seen_figures(study, stored.store, request, images, features, device)
    return made


def seen_figures(
    study: StudyOrSearch,
    store: Store,
    request: Request,
    images: int,
    features: bool,
    device: str = "cpu",
) -> Iterator[FigureGroup]:
    """Yield what each arm of a table sees in so many images, and maps of features if asked for.

    Imports torch. Raises `SemisweepError` where images, weights or methods are not there.
    """
    if isinstance(study, ResolvedSearch):
        return
    if images:
        from semisweep.report.label_maps import label_maps, measures_labels
        from semisweep.report.picture_strips import strips

        drawn = label_maps if measures_labels(study) else strips
        found = list(drawn(study, store, request.roots, images, device))
        if found:
            yield FigureGroup(title="Pictures", figures=found)
    if features:
        from semisweep.report import feature_map

        if not feature_map.has_libraries():
            yield FigureGroup(title="Features", figures=(), note=feature_map.WITHOUT)
            return
        found = list(feature_map.embeddings(study, store, request.roots, device))
        if found:
            yield FigureGroup(title="Features", figures=found)


def page(sections: Sequence[Section], store: str, made: datetime.datetime | None = None) -> str:
    """Return the report as HTML; all text in it is escaped by the template."""
    when = made or datetime.datetime.now(datetime.UTC)
    made_at = when.strftime("%Y-%m-%d %H:%M UTC")
    return rendered(environment(), "page.html", sections=sections, store=store, made=made_at)


def rendered(templates: Environment, name: str, **values: Any) -> str:
    """Return a template with values, without characters that steer what shows it."""
    return without_controls(templates.get_template(name).render(**values))


def environment(*folders: Path) -> Environment:
    """Return what renders the page's template, and templates in `folders` that extend it."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    found = Environment(
        loader=FileSystemLoader([*folders, HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = Markup((HERE / "page.css").read_text(encoding="utf-8"))
    found.globals.update(style=style, version=_version())
    return found


def write(text: str, path: Path) -> None:
    """Write the page, whole or not at all."""
    with replacing(path) as file:
        file.write(as_bytes(text))


def _version() -> str:
    from semisweep.core.provenance import version

    return version("semisweep")
