"""Where a study's numbers come from: code, libraries, machines, images, time and energy spent."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

SHOWN = 4  # different values of one fact
LIBRARY = "library."
Rows = Sequence[Mapping[str, Any]]


def facts(rows: Rows) -> list[tuple[str, str]]:
    """Return what is to be known of some result rows: names and texts."""
    return [(name, text) for name, text in _facts(rows) if text]


def _facts(rows: Rows) -> Iterator[tuple[str, str]]:
    yield "finished", _period(rows)
    yield "code", _several(_code(row) for row in rows)
    yield "source digest", _several(row.get("source.digest") for row in rows)
    libraries = [name for name in rows[0] if name.startswith(LIBRARY)] if rows else []
    yield "libraries", _several(_libraries(row, libraries) for row in rows)
    yield "machines", _several(_machine(row) for row in rows)
    yield "labelled images", _several(_images(row) for row in rows)
    yield "parameters", _span([row.get("parameters") for row in rows], "{:,.0f}")
    yield "training steps", _span([row.get("total_steps") for row in rows], "{:,.0f}")
    yield "device time", _device_time(rows)
    memory = [float(row["run.peak_memory_bytes"]) / 2**30 for row in rows if _has(row, "run.peak_memory_bytes")]  # fmt: skip  # noqa: E501
    yield "peak memory", _span(memory, "{:.2f} GiB")
    yield "attempts", _span([row.get("run.attempts") for row in rows], "{:.0f}")


def _has(row: Mapping[str, Any], name: str) -> bool:
    return row.get(name) is not None


def _code(row: Mapping[str, Any]) -> str | None:
    if not _has(row, "source.version"):
        return None
    text = f"semisweep {row['source.version']}"
    if _has(row, "source.commit"):
        changed = ", with changes" if row.get("source.dirty") == "yes" else ""
        text += f", commit {str(row['source.commit'])[:12]}{changed}"
    return text


def _libraries(row: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return ", ".join(f"{name.removeprefix(LIBRARY)} {row.get(name)}" for name in names) or None


def _machine(row: Mapping[str, Any]) -> str | None:
    names = ("run.host", "run.device", "run.device_name", "run.platform")
    parts = [row.get(name) for name in names]
    workers = row.get("run.workers")
    told = [str(part) for part in parts if part]
    return ", ".join([*told, f"{workers} workers"] if workers and workers > 1 else told) or None


def _images(row: Mapping[str, Any]) -> str | None:
    if not _has(row, "data.name"):
        return None
    text = f"{row['data.labelled']} of {row['data.name']}" if _has(row, "data.labelled") else ""
    draw = f", draw {row['data.draw']}" if _has(row, "data.draw") else ""
    digest = row.get("data.labelled_digest")
    return f"{text}{draw}" + (f", list {digest}" if digest else "")


def _device_time(rows: Rows) -> str:
    seconds = [float(row["run.device_seconds"]) for row in rows if _has(row, "run.device_seconds")]
    if not seconds:
        return ""
    each = f"{duration(min(seconds))} to {duration(max(seconds))} a trial"
    return f"{duration(sum(seconds))} in all, {each}"


def _period(rows: Rows) -> str:
    times = [float(row["run.finished_at"]) for row in rows if _has(row, "run.finished_at")]
    if not times:
        return ""
    ends = [datetime.datetime.fromtimestamp(t, datetime.UTC) for t in (min(times), max(times))]
    texts = dict.fromkeys(end.strftime("%Y-%m-%d %H:%M") for end in ends)
    return " to ".join(texts) + " UTC"


def _span(values: Iterable[Any], form: str) -> str:
    found = [float(value) for value in values if value is not None]
    texts = dict.fromkeys(form.format(end) for end in (min(found), max(found))) if found else {}
    return " to ".join(texts)


def _several(values: Iterable[Any]) -> str:
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
