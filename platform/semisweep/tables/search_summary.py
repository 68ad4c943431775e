"""What a store says of a search: its trials, the best first, and what mattered."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from semisweep.core.markdown import grid
from semisweep.core.safe_text import one_line
from semisweep.search.trial_outcome import Observation, outcomes
from semisweep.store.resolved_search import ResolvedSearch, Suggestion, Value
from semisweep.store.snapshot import Snapshot
from semisweep.tables.confirmation_notes import as_text, confirmation_notes, trained_again

NOTHING = "–"
AIMS = {"maximize": "high", "minimize": "low"}


def search_to_markdown(search: ResolvedSearch, stored: Snapshot) -> str:
    """Return a search's trials as Markdown, the best first; without a store it has none.

    Those that were trained again stand first, in the order of their new scores.
    """
    found = outcomes(stored.store, search, stored.results) if stored.store else {}
    entries = in_order(search, found)
    again = trained_again(search, stored.results, stored.errors)
    confirmed = {own.number: own.text(search.metric) for own in again}
    order = list(confirmed)
    entries.sort(key=lambda own: order.index(own.number) if own.number in order else len(order))
    names = list(dict.fromkeys(name for entry in entries for name in entry.params))
    columns = search.metrics
    heads = [f"{own} as found" for own in columns] if again else columns
    heads = [f"{search.metric} again", *heads] if again else heads
    lines = [["trial", *(name.rpartition(".")[2] for name in names), *heads, "key"]]
    for entry in entries:
        values = [_value(entry.params.get(name, NOTHING)) for name in names]
        values += [confirmed.get(entry.number, NOTHING)] if again else []
        scores = scores_of(columns, entry, found.get(entry.key))
        lines.append([f"#{entry.number}", *values, *scores, entry.key])
    told = [*confirmation_notes(search, found, again), *_notes(search, entries, found)]
    notes = "".join(f"\n- {note}" for note in told)
    heading = f"## {one_line(search.title)}\n\n"
    return heading + grid(lines) + "\n" + _counts(search, found) + notes + "\n"


def in_order(search: ResolvedSearch, found: Mapping[str, Observation]) -> list[Suggestion]:
    """Return the suggestions: finished ones by their score, then the furthest of stopped ones."""
    sign = -1 if search.direction == "maximize" else 1

    def place(entry: Suggestion) -> tuple[int, int, float]:
        outcome = found.get(entry.key)
        if outcome is None or outcome.state == "failed":
            return (2, 0, 0.0)
        if outcome.state == "finished":
            return (0, 0, sign * outcome.values[0])
        step, value = max(outcome.on_the_way.items())
        return (1, -step, math.inf if math.isnan(value) else sign * value)

    return sorted(search.trials, key=place)


def scores_of(
    columns: Sequence[str], entry: Suggestion, outcome: Observation | None
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


def _counts(search: ResolvedSearch, found: Mapping[str, Observation]) -> str:
    states = {key: outcome.state for key, outcome in found.items()}
    keys = {entry.key for entry in search.own}
    finished = sum(states.get(key) == "finished" for key in keys)
    text = f"{finished} of {len(search.own)} suggested trials finished."
    stopped = sum(states.get(key) == "stopped" for key in keys)
    if stopped:
        text += f" {stopped} stopped at a rung; --continue-stopped trains them to their end."
    return text


def _taken_note(search: ResolvedSearch) -> Iterator[str]:
    """Yield which trials other searches have made."""
    taken = [entry for entry in search.trials if entry.origin]
    if taken:
        told = ", ".join(f"#{entry.number} is {one_line(entry.origin)}" for entry in taken[:5])
        more = f", and {len(taken) - 5} more" if len(taken) > 5 else ""
        yield f"Taken over from searches in another space, and not counted: {told}{more}."


def _notes(
    search: ResolvedSearch, entries: Sequence[Suggestion], found: Mapping[str, Observation]
) -> Iterator[str]:
    if not entries or search.space is None:
        return
    yield from _taken_note(search)
    if search.also:
        best = ", ".join(f"#{number}" for number in search.front or ()) or "none yet"
        told = ", ".join(f"{own.metric} {AIMS[own.direction]}" for own in search.objectives)
        yield f"Pareto front ({told}): {best}."
    yield from _rung_notes(search)
    from semisweep.search.importance import METHOD, importances

    known = importances(search, found)
    of = f" of {search.metric}" if search.also else ""
    method = f"; {METHOD}" if known.standing_out else ""
    yield f"Importance{of}: {known.text}{method}."


def _rung_notes(search: ResolvedSearch) -> Iterator[str]:
    halving = search.halving
    if halving is None:
        return
    yield (
        f"Rungs at {', '.join(f'{rung:.3g}' for rung in halving.rungs)} of the steps: the best "
        f"1/{halving.reduction} by {halving.metric} go on, once there are "
        f"{halving.peers} others."
    )
    for entry in search.trials:
        for row in entry.rungs or ():
            if row.stop:
                others = sorted(row.against.values(), reverse=search.direction == "maximize")
                shown = ", ".join(f"{100 * value:.2f}" for value in others[:5])
                more = f" and {len(others) - 5} more" if len(others) > 5 else ""
                yield (
                    f"#{entry.number} stopped at step {row.step} (rung {row.rung:.3g}): "
                    f"{100 * row.value:.2f} against {shown}{more}."
                )


def _value(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else one_line(str(value))
