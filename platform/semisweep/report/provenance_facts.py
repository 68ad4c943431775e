"""Where a study's numbers come from: code, libraries, machines, images, time and energy spent."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence

from semisweep.store.trial_records import Result

SHOWN = 4  # different values of one fact
LIBRARY = "library."
Rows = Sequence[Result]


def facts(rows: Rows) -> list[tuple[str, str]]:
    """Return what is to be known of some result rows: names and texts."""
    return [(name, text) for name, text in _facts(rows) if text]


def _facts(rows: Rows) -> Iterator[tuple[str, str]]:
    yield "finished", _period(rows)
    yield "code", _several(_code(row) for row in rows)
    yield "method's code", _several(_method_code(row) for row in rows)
    yield "source digest", _several(row.source for row in rows)
    libraries = [name for name in rows[0] if name.startswith(LIBRARY)] if rows else []
    yield "libraries", _several(_libraries(row, libraries) for row in rows)
    yield "machines", _several(_machine(row) for row in rows)
    yield "labelled images", _several(_images(row) for row in rows)
    yield "parameters", _span([row.number("parameters") for row in rows], "{:,.0f}")
    yield "training steps", _span([row.number("total_steps") for row in rows], "{:,.0f}")
    yield "device time", _device_time(rows)
    peaks = [row.peak_memory_bytes for row in rows]
    memory = [peak / 2**30 for peak in peaks if peak is not None]
    yield "peak memory", _span(memory, "{:.2f} GiB")
    yield "attempts", _span([row.number("run.attempts") for row in rows], "{:.0f}")


def _code(row: Result) -> str | None:
    version = row.text("source.version")
    commit = _commit(row, "source.")
    return version and f"semisweep {version}" + (f", {commit}" if commit else "")


def _method_code(row: Result) -> str | None:
    """Return the commit of a method that lies in another checkout than semisweep's."""
    commit = _commit(row, "source.method_")
    return commit and f"{(row.method or '').partition(':')[0]}: {commit}"


def _commit(row: Result, prefix: str) -> str | None:
    commit = row.text(f"{prefix}commit")
    changed = ", with changes" if row.text(f"{prefix}dirty") == "yes" else ""
    return commit and f"commit {commit[:12]}{changed}"


def _libraries(row: Result, names: Sequence[str]) -> str | None:
    return ", ".join(f"{name.removeprefix(LIBRARY)} {row.get(name)}" for name in names) or None


def _machine(row: Result) -> str | None:
    names = ("run.host", "run.device", "run.device_name", "run.platform")
    parts = [row.get(name) for name in names]
    workers = row.number("run.workers")
    told = [str(part) for part in parts if part]
    return ", ".join([*told, f"{workers:.0f} workers"] if workers and workers > 1 else told) or None


def _images(row: Result) -> str | None:
    name, labelled, draw = (row.get(f"data.{what}") for what in ("name", "labelled", "draw"))
    if name is None:
        return None
    text = "" if labelled is None else f"{labelled} of {name}"
    text += "" if draw is None else f", draw {draw}"
    return text + (f", list {row.labelled_digest}" if row.labelled_digest else "")


def _device_time(rows: Rows) -> str:
    seconds = [row.device_seconds for row in rows if row.device_seconds is not None]
    if not seconds:
        return ""
    each = f"{duration(min(seconds))} to {duration(max(seconds))} a trial"
    return f"{duration(sum(seconds))} in all, {each}"


def _period(rows: Rows) -> str:
    times = [row.finished_at for row in rows if row.finished_at is not None]
    if not times:
        return ""
    ends = [datetime.datetime.fromtimestamp(t, datetime.UTC) for t in (min(times), max(times))]
    texts = dict.fromkeys(end.strftime("%Y-%m-%d %H:%M") for end in ends)
    return " to ".join(texts) + " UTC"


def _span(values: Iterable[float | None], form: str) -> str:
    found = [float(value) for value in values if value is not None]
    texts = dict.fromkeys(form.format(end) for end in (min(found), max(found))) if found else {}
    return " to ".join(texts)


def _several(values: Iterable[str | None]) -> str:
    counts: dict[str, int] = {}
    for value in values:
        if value is not None:
            counts[str(value)] = counts.get(str(value), 0) + 1
    ordered = sorted(counts, key=lambda text: -counts[text])
    told = [
        text + (f" ({counts[text]} trials)" if len(ordered) > 1 else "") for text in ordered[:SHOWN]
    ]
    more = [f"{len(ordered) - SHOWN} more"] if len(ordered) > SHOWN else []
    return "; ".join([*told, *more])


def duration(seconds: float) -> str:
    """Return a duration in the largest unit of which there are at least two."""
    for unit, size in (("days", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
