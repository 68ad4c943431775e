"""The best few of a search, trained again before one of them is called best.

The best of many noisy scores is too high: it was chosen for its luck, too (the winner's curse). So
the best as found are trained once more on seeds that the search has not used, and where labelled
images are drawn at random, on other draws of them; what is said of the best rests on these alone.

Which they are is noted in the search's log before they are trained. A search that has finished more
trials since is confirmed again, beside its earlier confirmations, each of which is trained to its
end.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from semisweep.cluster.job import Job
from semisweep.core.config import replace
from semisweep.data.splits import DRAWN_FAMILIES
from semisweep.running.job_sources import job_for
from semisweep.search import sampling
from semisweep.search.trial_outcome import Observation
from semisweep.store.resolved_search import Confirmation, ResolvedSearch, Suggestion
from semisweep.store.store import Store
from semisweep.study.declaration import Search
from semisweep.study.plan import trial_names
from semisweep.study.request import Request
from semisweep.study.resolve import Splits
from semisweep.study.scales import at_scale
from semisweep.study.search_space import fields_of, varied
from semisweep.study.smoke import adapted
from semisweep.training.trial import Trial

Outcomes = Mapping[str, Observation]


class Confirmations:
    """The last jobs of a search: its best trials on new seeds."""

    def __init__(
        self, search: Search, store: Store, splits: Splits, template: Trial, request: Request
    ) -> None:
        self.search, self.store, self.splits = search, store, splits
        self.template, self.request = template, request
        self.space = dict(at_scale(search.space, request.scale, {}))
        self.trials: dict[str, Trial] = {}  # by key, once they have begun
        self.jobs: Iterator[Job] | None = None  # None before the best are known

    def wanted(self, resolved: ResolvedSearch) -> bool:
        """Return whether there is anything to confirm, or left of an earlier confirmation."""
        return self.search.confirm > 0 or bool(resolved.confirmations)

    def expected(self, resolved: ResolvedSearch, outcomes: Outcomes, more: int) -> int:
        """Return how many trials are to run once `more` suggestions have ended."""
        new = self.due(resolved, outcomes) if not more else None
        again = (*resolved.confirmations, *([new] if new else []))
        known = sum(map(self._is_missing, dict.fromkeys(key for own in again for key in own.keys)))
        return known + (self.search.confirm * self.search.confirm_seeds if more else 0)

    def due(self, resolved: ResolvedSearch, outcomes: Outcomes) -> Confirmation | None:
        """Return a confirmation that is yet to be noted; None where the newest is of these ends."""
        finished = {key for key, outcome in outcomes.items() if outcome.state == "finished"}
        best = best_as_found(resolved, outcomes)[: self.search.confirm]
        if not best:
            return None
        replicates = self._replicates(resolved)
        new = Confirmation(
            number=len(resolved.confirmations),
            after=len(finished),
            chosen={
                entry.number: {
                    replicate: self.splits.key(self._trial(entry, replicate))
                    for replicate in replicates
                }
                for entry in best
            },
        )
        newest = next(reversed(resolved.confirmations), None)
        if newest and newest.after == new.after and _counts(newest) == _counts(new):
            return None
        return new

    def begin(self, resolved: ResolvedSearch) -> None:
        """Make jobs of all that was to be confirmed and has no result."""
        entries = {entry.number: entry for entry in resolved.trials}
        self.trials = {
            key: self._trial(entries[number], replicate)
            for own in resolved.confirmations
            for number, trials in own.chosen.items()
            for replicate, key in trials.items()
            if number in entries
        }
        names = trial_names(resolved)
        missing = [key for key in self.trials if self._is_missing(key)]
        self.jobs = iter([self._job(key, resolved, names[key]) for key in missing])

    def _job(self, key: str, resolved: ResolvedSearch, name: str) -> Job:
        return job_for(
            key,
            self.trials[key],
            self.store,
            self.splits,
            self.request,
            f"{self.search.name}: {name}",
            metrics=resolved.metrics,
        )

    def _is_missing(self, key: str) -> bool:
        folder = self.store.trial(key)
        if folder.finished:
            return False
        return self.request.retry_failed or folder.failure() is None

    def _replicates(self, resolved: ResolvedSearch) -> list[str]:
        """Return "draw/seed" of each new trial of one of the best."""
        data, used = self.template.data, (own.params.get("seed") for own in resolved.trials)
        seed = max([self.template.seed, *(own for own in used if isinstance(own, int))])
        drawn = data.labelled is not None and data.family in DRAWN_FAMILIES
        drawn = drawn and "data.draw" not in varied(self.space)
        return [
            f"{data.draw + more if drawn else data.draw}/{seed + more}"
            for more in range(1, self.search.confirm_seeds + 1)
        ]

    def _trial(self, entry: Suggestion, replicate: str) -> Trial:
        """Return a suggested trial on another seed, and on another draw where there is one."""
        draw, _, seed = replicate.partition("/")
        found = replace(self.template, fields_of(self.space, entry.params))
        if "data.draw" not in varied(self.space):
            found = replace(found, {"data.draw": int(draw)})
        return adapted(dataclasses.replace(found, seed=int(seed)), self.request)


def best_as_found(resolved: ResolvedSearch, outcomes: Outcomes) -> list[Suggestion]:
    """Return the finished trials of a search, of several objectives its front; the best first."""
    sign = -1 if resolved.direction == "maximize" else 1
    front = sampling.front(resolved, outcomes) if resolved.also else None
    entries = {entry.key: entry for entry in reversed(resolved.trials)}  # once a key
    found = [
        (sign * outcomes[key].values[0], entry.number, entry)
        for key, entry in entries.items()
        if key in outcomes and outcomes[key].state == "finished"
        if front is None or entry.number in front
    ]
    return [entry for _, _, entry in sorted(found, key=lambda own: own[:2])]


def _counts(own: Confirmation) -> tuple[int, list[int]]:
    """Return how many trials a confirmation has, and on how many seeds each."""
    return len(own.chosen), [len(trials) for trials in own.chosen.values()]
