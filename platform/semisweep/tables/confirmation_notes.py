"""What the best of a search score when they are trained again, and which one is called best.

Scores as found are too high, as they were chosen for being high. Means and comparisons here are of
the new trials alone (see `semisweep.running.search_confirmation`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from semisweep.search.trial_outcome import Observation
from semisweep.statistics.intervals import (
    FEWEST,
    by_unit,
    mean_std,
    paired_difference,
    paired_interval,
    several_draws,
)
from semisweep.store.resolved_search import ResolvedSearch
from semisweep.store.trial_records import Result

Outcomes = Mapping[str, Observation]


@dataclass(frozen=True, kw_only=True)
class Again:
    """One of the best of a search, trained again: its scores by replicate "draw/seed"."""

    number: int
    wanted: tuple[str, ...]
    values: Mapping[str, float]
    open: int  # trials that have neither finished nor failed

    @property
    def whole(self) -> bool:
        """Whether all of its new trials have a score."""
        return len(self.values) == len(self.wanted)

    @property
    def mean_std(self) -> tuple[float, float]:
        """The mean of its scores and their standard deviation."""
        draws = several_draws(self.wanted)
        return mean_std(list(by_unit(self.values, draws=draws).values()))

    def text(self, metric: str) -> str:
        """Return mean, deviation and number of new trials, as a table shows them."""
        mean, std = self.mean_std
        if math.isnan(mean):
            return "missing" if self.open else "failed"
        spread = "" if math.isnan(std) else f" ± {as_text(metric, std)}"
        missing = "" if self.whole else f" of {len(self.wanted)}"
        return f"{as_text(metric, mean)}{spread} ({len(self.values)}{missing})"


def trained_again(
    search: ResolvedSearch, results: Mapping[str, Result], failed: Collection[str]
) -> list[Again]:
    """Return the trials that the newest confirmation is of, the best by their new scores first.

    `results` of finished trials and the keys of `failed` ones.
    """
    newest = next(reversed(search.confirmations), None)
    found = []
    for number, trials in newest.chosen.items() if newest else ():
        values = {}
        for replicate, key in trials.items():
            row = results.get(key)
            value = row.number(search.metric) if row else None
            if value is not None and math.isfinite(value):
                values[replicate] = float(value)
        ended = sum(key in results or key in failed for key in trials.values())
        found.append(
            Again(
                number=number,
                wanted=tuple(trials),
                values=values,
                open=len(trials) - ended,
            )
        )
    sign = -1 if search.direction == "maximize" else 1

    def place(own: Again) -> tuple[bool, float]:
        mean = own.mean_std[0]
        return (not own.whole, math.inf if math.isnan(mean) else sign * mean)

    return sorted(found, key=place)


def confirmation_notes(
    search: ResolvedSearch, found: Outcomes, again: list[Again]
) -> Iterator[str]:
    """Yield which trial is called best and why, or why none is."""
    finished = [key for key, own in found.items() if own.state == "finished"]
    if not search.confirmations:
        if finished:
            yield (
                f"Not confirmed: the best score is as found, which is too {_far(search)}, as the "
                "best of many noisy ones is chosen for its luck, too."
            )
        return
    newest = search.confirmations[-1]
    left, count = sum(own.open for own in again), len(newest.keys)
    told = ", ".join(f"#{number}" for number in newest.chosen)
    if left:
        yield (
            f"Being confirmed: {count - left} of {count} new trials of {told} have ended; none is "
            "called best before all have."
        )
    else:
        yield _best_note(search, found, again)
        yield from _fall_note(search, found, again)
    if len(finished) > newest.after:
        yield (
            f"{len(finished) - newest.after} trials have finished since the best were confirmed; "
            "the search run again confirms the best of all."
        )
    for own in search.confirmations[:-1]:
        chosen = ", ".join(f"#{number}" for number in own.chosen)
        yield f"Confirmed before, after {own.after} finished trials: {chosen}."


def _best_note(search: ResolvedSearch, found: Outcomes, again: list[Again]) -> str:
    """Return which trial is the best of those trained again, and what separates it from others."""
    whole = [own for own in again if own.whole]
    if not whole:
        return "Not confirmed: of each of the best a new trial has failed."
    best, metric = whole[0], search.metric
    mean, std = best.mean_std
    spread = "" if math.isnan(std) else f" ± {as_text(metric, std)}"
    draws = " and draws" if several_draws(best.wanted) else ""
    among = " on the front" if search.also else ""
    before = as_text(metric, _found(search, found, best))
    text = (
        f"Best of the search{among}: #{best.number} ({before} as found; again "
        f"{as_text(metric, mean)}{spread} over {len(best.values)} new seeds{draws})"
    )
    if len(whole) < 2:
        return f"{text}; no other one has all its new trials."
    second = whole[1]
    sign = 1 if search.direction == "maximize" else -1
    pair = paired_difference(best.values, second.values)
    low, high = sorted(sign * end for end in paired_interval(pair))
    how = "separated" if low > 0 else "not separated"
    between = f" [{_signed(metric, low)}, {_signed(metric, high)}]" if pair.n >= FEWEST else ""
    return (
        f"{text}, {how} from #{second.number}: {_signed(metric, sign * pair.mean)}{between} over "
        f"{pair.n} pairs (t test at 5 %)."
    )


def _fall_note(search: ResolvedSearch, found: Outcomes, again: list[Again]) -> Iterator[str]:
    """Yield by how much the scores as found were better than those of the new trials."""
    whole = [own for own in again if own.whole]
    if whole:
        sign = 1 if search.direction == "maximize" else -1
        falls = [sign * (_found(search, found, own) - own.mean_std[0]) for own in whole]
        lost = _signed(search.metric, mean_std(falls)[0])
        yield (
            f"Scores as found are too {_far(search)}, as the best of many noisy ones are chosen "
            f"for their luck, too: here by {lost} on average over {len(falls)} trained again."
        )


def _far(search: ResolvedSearch) -> str:
    """Return in which direction the best of many scores is off."""
    return "high" if search.direction == "maximize" else "low"


def _found(search: ResolvedSearch, found: Outcomes, own: Again) -> float:
    """Return the score as found of a trial that was trained again, NaN where it is gone."""
    keys = (entry.key for entry in search.trials if entry.number == own.number)
    outcome = found.get(next(keys, ""))
    return outcome.values[0] if outcome and outcome.values else math.nan


def as_text(metric: str, value: float) -> str:
    """Return a score in percent, or any other number with few digits."""
    if ".iou." in metric or metric.endswith(("miou", "accuracy")):
        return f"{100 * value:.2f}"
    whole = math.isfinite(value) and value == int(value)
    return f"{value:,.0f}" if whole else f"{value:.4g}"


def _signed(metric: str, value: float) -> str:
    return ("" if value < 0 or math.isnan(value) else "+") + as_text(metric, value)
