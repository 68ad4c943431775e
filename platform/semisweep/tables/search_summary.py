"""What a store says of a search: its trials, the best first, and what mattered."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from semisweep.core.markdown import grid
from semisweep.core.safe_text import one_line
from semisweep.search.trial_outcome import Observation, metrics, outcomes
from semisweep.store.store import Store

NOTHING = "–"
IMPORTANT = 0.005  # shares below it are not told
Table = Mapping[str, Any]


def search_to_markdown(study: Table, store: Store | None) -> str:
    """Return a search's trials as Markdown, the best first; without a store it has none."""
    found = outcomes(store, study) if store else {}
    entries = _in_order(study, found)
    names = list(dict.fromkeys(name for entry in entries for name in entry["params"]))
    columns = metrics(study)
    lines = [["trial", *(name.rpartition(".")[2] for name in names), *columns, "key"]]
    for entry in entries:
        values = [_value(entry["params"].get(name, NOTHING)) for name in names]
        scores = _scores(columns, entry, found.get(entry["key"]))
        lines.append([f"#{entry['number']}", *values, *scores, entry["key"]])
    notes = "".join(f"\n- {note}" for note in _notes(study, entries, found))
    heading = f"## {one_line(study['title'])}\n\n"
    return heading + grid(lines) + "\n" + _counts(study, found) + notes + "\n"


def _in_order(study: Table, found: Mapping[str, Observation]) -> list[Mapping[str, Any]]:
    """Return the suggestions: finished ones by their score, then the furthest of stopped ones."""
    sign = -1 if study["direction"] == "maximize" else 1

    def place(entry: Mapping[str, Any]) -> tuple[int, int, float]:
        outcome = found.get(entry["key"])
        if outcome is None or outcome.state == "failed":
            return (2, 0, 0.0)
        if outcome.state == "finished":
            return (0, 0, sign * outcome.values[0])
        step, value = max(outcome.on_the_way.items())
        return (1, -step, sign * (math.inf if math.isnan(value) else value))

    return sorted(study["trials"], key=place)


def _scores(
    columns: Sequence[str], entry: Mapping[str, Any], outcome: Observation | None
) -> Iterator[str]:
    """Yield the score of a trial for each objective, or why there is none."""
    if outcome is not None and outcome.state == "finished":
        yield from (
            as_text(name, value) for name, value in zip(columns, outcome.values, strict=True)
        )
        return
    text: str = "missing" if outcome is None else outcome.state
    if outcome is not None and outcome.state == "stopped":
        step, value = max(outcome.on_the_way.items())
        text = f"{100 * value:.2f} at step {step}, stopped"
    yield from (text, *[NOTHING] * (len(columns) - 1))


def _counts(study: Table, found: Mapping[str, Observation]) -> str:
    states = {key: outcome.state for key, outcome in found.items()}
    keys = {entry["key"] for entry in study["trials"]}
    finished = sum(states.get(key) == "finished" for key in keys)
    text = f"{finished} of {len(study['trials'])} suggested trials finished."
    stopped = sum(states.get(key) == "stopped" for key in keys)
    if stopped:
        text += f" {stopped} stopped at a rung; --continue-stopped trains them to their end."
    return text


def _notes(
    study: Table, entries: Sequence[Mapping[str, Any]], found: Mapping[str, Observation]
) -> Iterator[str]:
    if not entries or "space" not in study:
        return
    if study.get("also"):
        best = ", ".join(f"#{number}" for number in study.get("front", ())) or "none yet"
        aims = zip(metrics(study), _aims(study), strict=True)
        told = ", ".join(f"{name} {aim}" for name, aim in aims)
        yield f"Pareto front ({told}): {best}."
    yield from _rung_notes(study)
    from semisweep.search.sampling import importances

    shares = importances(study, found)
    if shares:
        told = ", ".join(
            f"{name} {100 * share:.0f} %" for name, share in shares.items() if share >= IMPORTANT
        )
        count = sum(outcome.state == "finished" for outcome in found.values())
        yield f"Importance (PED-ANOVA over {count} finished trials): {told}."


def _aims(study: Table) -> list[str]:
    words = {"maximize": "high", "minimize": "low"}
    directions = [study["direction"], *(item["direction"] for item in study["also"])]
    return [words[direction] for direction in directions]


def _rung_notes(study: Table) -> Iterator[str]:
    halving = study.get("halving")
    if not halving:
        return
    yield (
        f"Rungs at {', '.join(f'{rung:.3g}' for rung in halving['rungs'])} of the steps: the best "
        f"1/{halving['reduction']} by {halving['metric']} go on, once there are "
        f"{halving['peers']} others."
    )
    for entry in study["trials"]:
        for row in entry.get("rungs", ()):
            if row["stop"]:
                others = sorted(row["against"].values(), reverse=study["direction"] == "maximize")
                shown = ", ".join(f"{100 * value:.2f}" for value in others[:5])
                more = f" and {len(others) - 5} more" if len(others) > 5 else ""
                yield (
                    f"#{entry['number']} stopped at step {row['step']} (rung {row['rung']:.3g}): "
                    f"{100 * row['value']:.2f} against {shown}{more}."
                )


def as_text(metric: str, value: float) -> str:
    """Return a score in percent, or any other number with few digits."""
    if ".iou." in metric or metric.endswith(("miou", "accuracy")):
        return f"{100 * value:.2f}"
    return f"{value:,.0f}" if value == int(value) else f"{value:.4g}"


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else one_line(str(value))
