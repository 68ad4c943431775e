"""What a store says, for reading: tables of studies, searches, and where values come from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semisweep.catalogue import short
from semisweep.cells import MEASURED, Outside
from semisweep.details import trial_lines
from semisweep.files import replacing
from semisweep.html_table import to_html
from semisweep.image_tests import image_tests
from semisweep.imported import entries, summaries
from semisweep.label_rows import label_row
from semisweep.latex import to_latex
from semisweep.provenance import source
from semisweep.query import results
from semisweep.request import Request
from semisweep.store import Store
from semisweep.table import Table, build, to_csv, to_markdown

if TYPE_CHECKING:
    from semisweep.method import Method


def render(names: Sequence[str], request: Request, form: str = "markdown") -> str:
    """Return the tables of some studies: "terminal" or "markdown", "latex", "html" or "csv".

    Searches have a place in Markdown alone.
    """
    studies = [resolved_study(name, request) for name in names]
    if form in ("csv", "latex", "html"):
        writer = {"csv": to_csv, "latex": to_latex, "html": to_html}[form]
        return writer([make_table(study, request) for study in studies if not is_search(study)])
    return "\n".join(
        search_to_markdown(study, request)
        if is_search(study)
        else to_markdown(make_table(study, request))
        for study in studies
    )


def write(name: str, request: Request) -> Path:
    """Write the table of a study into its store and return the file's path."""
    path = Path(request.store) / "tables" / f"{short(name)}@{request.stored_scale}.md"
    with replacing(path) as file:
        file.write(render([name], request).encode())
    return path


def summary(name: str, request: Request) -> str:
    """Return in one line how many trials of a study have finished."""
    study = resolved_study(name, request)
    keys = keys_of(study)
    finished = Store.open(request.store).finished().intersection(keys)
    return f"{study['name']:24} {len(finished)} of {len(keys)} trials finished"


def failures(name: str, request: Request) -> list[str]:
    """Return one text for each failed trial of a study: its key and its error."""
    study = resolved_study(name, request)
    keys = keys_of(study)
    failed = Store.open(request.store).failures(keys)
    return [f"{key}: {failed[key]['error']}" for key in keys if key in failed]


def resolved_study(name: str, request: Request) -> Mapping[str, Any]:
    """Return a study as its last run left it in the store, or as it would run now."""
    exists = Path(request.store).exists()
    if exists and not request.changes and not request.seeds:
        stored = Store.open(request.store).read_study(short(name), request.stored_scale)
        if stored is not None:
            return stored
    from semisweep.catalogue import find_study
    from semisweep.study import Search, Splits, preset_of, resolve

    study = find_study(name)
    if request.any_scale and request.scale not in study.presets:
        request = replace(request, scale=next(iter(study.presets)))
    if isinstance(study, Search):
        return {"kind": "search", "trials": []} | {
            "name": study.name, "title": study.title, "metric": study.metric,
            "direction": study.direction, "scale": request.scale,
        }  # fmt: skip
    here = request.roots.of(preset_of(study, request.scale).data.name).exists()
    splits = Splits(request.roots) if here else None
    return resolve(study, request.scale, splits, request.changes, request.seeds).table


def is_search(study: Mapping[str, Any]) -> bool:
    """Return whether a resolved study is a search."""
    return bool(study["kind"] == "search")


def make_table(study: Mapping[str, Any], request: Request) -> Table:
    """Return the table of a resolved study from what the store has."""
    if not Path(request.store).exists():
        return build(study, {}, {})
    store = Store.open(request.store)
    keys = keys_of(study)
    rows = results(store, keys)
    if any(str(cell.get("metric")).startswith(MEASURED) for cell in study["cells"]):
        rows = {key: row | label_row(store.trial(key)) for key, row in rows.items()}
    outside = Outside(
        imported=summaries(entries(store, study["name"], study["scale"])),
        images=image_tests(study, store),
        current=current_source,
    )
    return build(study, rows, store.failures(keys), outside)


def current_source(method: str) -> str:
    """Return the digest of the source code that would train a method now."""
    return source(("semisweep", method.partition(":")[0].partition(".")[0]))


def keys_table(name: str, request: Request) -> str:
    """Return the trials of every cell of a study, and the commands that repeat them."""
    study = resolved_study(name, request)
    if is_search(study):
        return search_to_markdown(study, request)
    store = Store.open(request.store) if Path(request.store).exists() else None
    found = list(trial_lines(study, store, name, request))
    return grid([["row", "column", "replicate", "key", "state", "to repeat it"], *found])


def keys_of(study: Mapping[str, Any]) -> list[str]:
    """Return the distinct keys of a resolved study in order."""
    if is_search(study):
        return list(dict.fromkeys(entry["key"] for entry in study["trials"]))
    return list(dict.fromkeys(key for cell in study["cells"] for key in cell["trials"].values()))


def search_to_markdown(study: Mapping[str, Any], request: Request) -> str:
    """Return a search's trials as Markdown, the best first."""
    rows = results(Store.open(request.store), keys_of(study)) if study["trials"] else {}
    metric = study["metric"]
    sign = -1 if study["direction"] == "maximize" else 1

    def value(entry: Mapping[str, Any]) -> float:
        row = rows.get(entry["key"])
        return math.inf if row is None else sign * float(row[metric])

    entries = sorted(study["trials"], key=value)
    fields = list(entries[0]["params"]) if entries else []
    lines = [["trial", *(path.rpartition(".")[2] for path in fields), metric, "key"]]
    for entry in entries:
        row = rows.get(entry["key"])
        score = "missing" if row is None else f"{100 * float(row[metric]):.2f}"
        values = [_value(entry["params"][path]) for path in fields]
        lines.append([f"#{entry['number']}", *values, score, entry["key"]])
    heading = f"## {study['title']}\n\n"
    return heading + grid(lines) + f"\n{len(rows)} of {len(entries)} suggested trials finished.\n"


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


def grid(lines: Sequence[Sequence[str]]) -> str:
    """Return lines of cells as an aligned Markdown table; the first line is the heading."""
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    text = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]
    text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(text) + "\n"


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
