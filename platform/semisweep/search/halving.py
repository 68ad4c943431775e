"""Early stopping of a search's trials at rungs, decided by whoever trains, from the store alone.

A decision is written into the trial's folder, with what it was taken against, before it is acted
on, and stands: whatever is killed, a search that is run again decides the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from semisweep.core.errors import ConfigError
from semisweep.store import stopped_trial
from semisweep.store.resolved_search import Direction, RungDecision
from semisweep.store.store import Store
from semisweep.store.trial_folder import TrialFolder
from semisweep.store.trial_records import Evaluation, TrialProgress

TINY = 1e-9  # of a step, which fractions of their number may be off


@dataclass(frozen=True, kw_only=True)
class RungRule:
    """What a search says of the rungs of one trial.

    `among`: the keys of the trials to be compared with; None: of all those that the search has
    suggested by then.
    """

    identity: str  # of the search
    name: str
    scale: str
    changes: Mapping[str, object]
    direction: Direction
    rungs: Sequence[float]  # fractions of the steps
    reduction: int
    peers: int
    metric: str  # of the history
    among: Sequence[str] | None


class Rungs:
    """The rungs of one trial of a search."""

    def __init__(self, rule: RungRule, store: Store, folder: TrialFolder) -> None:
        self.rule, self.store, self.folder = rule, store, folder
        self.at: dict[int, float] = {}

    def place(self, evaluations: Sequence[int], total_steps: int) -> None:
        """Say after which steps there are evaluations."""
        self.at = rung_steps(self.rule.rungs, evaluations, total_steps)

    def judge(self, evaluation: Evaluation) -> bool:
        """Return whether the trial is to stop after an evaluation."""
        if evaluation.step not in self.at:
            return False
        decision = self._known(evaluation.step) or self._decide(evaluation)
        return decision.stop

    def stopping(self) -> tuple[float, str]:
        """Return the rung at which the trial was stopped, and why in words."""
        found = next(own for own in self._decisions() if own.stop)
        return found.rung, (
            f"{self.rule.metric} {found.value:.4f} was not among the best "
            f"1/{self.rule.reduction} of {len(found.against) + 1} trials at rung "
            f"{found.rung:.3g} of {self.rule.name}"
        )

    def _decisions(self) -> list[RungDecision]:
        known = stopped_trial.read_rungs(self.folder)
        return [own for own in known if own.search == self.rule.identity]

    def _known(self, step: int) -> RungDecision | None:
        return next((own for own in self._decisions() if own.step == step), None)

    def _decide(self, evaluation: Evaluation) -> RungDecision:
        step, metric = evaluation.step, self.rule.metric
        rung, value = self.at[step], evaluation.number(metric)
        if value is None:
            known = (name for name in evaluation.values if name.startswith("val."))
            raise ConfigError(
                f"a rung must judge by a column of the history, got metric={metric!r}; "
                f"there are: {', '.join(known)[:200]}"
            )
        against = self._against(rung)
        stop = falls_behind(
            value,
            list(against.values()),
            reduction=self.rule.reduction,
            peers=self.rule.peers,
            maximize=self.rule.direction == "maximize",
        )
        decision = RungDecision(
            search=self.rule.identity,
            step=step,
            rung=rung,
            value=value,
            stop=stop,
            against=against,
        )
        stopped_trial.append_rung(self.folder, decision)
        return decision

    def _against(self, rung: float) -> dict[str, float]:
        keys: Collection[str] | None = self.rule.among
        if keys is None:
            keys = self.store.study_keys(self.rule.name, self.rule.scale, self.rule.changes)
        others = [key for key in dict.fromkeys(keys) if key != self.folder.key]
        found = {key: value_at(self.store.trial(key), rung, self.rule.metric) for key in others}
        return {key: value for key, value in found.items() if value is not None}


def rung_steps(
    rungs: Sequence[float], evaluations: Sequence[int], total_steps: int
) -> dict[int, float]:
    """Return the step of the first evaluation at or after each rung; the last is none of them."""
    found: dict[int, float] = {}
    for rung in rungs:
        later = [step for step in evaluations if step >= rung * total_steps - TINY]
        if later and later[0] < total_steps:
            found[later[0]] = rung
    return found


def falls_behind(
    value: float, others: Sequence[float], *, reduction: int, peers: int, maximize: bool
) -> bool:
    """Return whether a value is not among the best 1 / `reduction` of itself and the others.

    The best of all never falls behind, nor does any before there are `peers` others; a value that
    is no number always does then.
    """
    if len(others) < peers:
        return False
    if math.isnan(value):
        return True
    sign = 1.0 if maximize else -1.0
    ranked = sorted((sign * other for other in (*others, value)), reverse=True)
    survivors = max(1, len(ranked) // reduction)
    return sign * value < ranked[survivors - 1]


def value_at(folder: TrialFolder, rung: float, metric: str) -> float | None:
    """Return a trial's value at its first evaluation at or after a rung; None if it is not there.

    Rows of the history without it are none: between evaluations, losses alone may be kept.

    A value that is no number is none.
    """
    history = folder.evaluations()
    if not history:
        return None
    total = folder.description().total_steps
    reached = (found.number(metric) for found in history if found.step >= rung * total - TINY)
    value = next((number for number in reached if number is not None), None)
    return None if value is None or math.isnan(value) else float(value)


def listener(
    rungs: Rungs | None, report: Callable[[TrialProgress], object], stop: str
) -> Callable[[TrialProgress], object]:
    """Return a report that passes on what it is told, and answers `stop` where a rung says so."""

    def told(progress: TrialProgress) -> object:
        report(progress)
        evaluation = progress.evaluation
        return stop if rungs and evaluation and rungs.judge(evaluation) else None

    return told
