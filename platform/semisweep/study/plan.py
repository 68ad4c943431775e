"""What a study wants, what of it is there, and what would run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from semisweep.store.resolved_search import ResolvedSearch, StudyOrSearch
from semisweep.store.resolved_study import ResolvedStudy
from semisweep.store.store import Ends, Store


@dataclass(frozen=True)
class Plan:
    """The trials of some studies: `wanted` cells' replicates, distinct `keys` and their state.

    `stopped` are those that only searches want, and of those the ones that fell behind.
    """

    wanted: int
    finished: tuple[str, ...]
    failed: tuple[str, ...]
    missing: tuple[str, ...]
    stopped: tuple[str, ...] = ()

    @property
    def distinct(self) -> int:
        """Return how many different trainings the wanted trials are."""
        return len(self.finished) + len(self.failed) + len(self.missing) + len(self.stopped)

    @property
    def shared(self) -> int:
        """Return how many trainings are saved because equal trials run once."""
        return self.wanted - self.distinct


def plan(studies: Iterable[StudyOrSearch], store: Store | None) -> Plan:
    """Return the plan of resolved studies against a store; None is an empty store."""
    wanted = list(studies)
    keys = dict.fromkeys(key for study in wanted for key in study.keys)
    return plan_after(wanted, store.ends(keys) if store else Ends())


def plan_after(studies: Iterable[StudyOrSearch], ends: Ends) -> Plan:
    """Return the plan of resolved studies whose trials have ended so, or have not."""
    wanted = 0
    keys: dict[str, None] = {}
    in_full: set[str] = set()
    behind: set[str] = set()
    for study in studies:
        keys |= dict.fromkeys(study.keys)
        if isinstance(study, ResolvedStudy):
            wanted += sum(len(cell.trials) for cell in study.cells)
            in_full.update(study.keys)
        else:
            again = [key for own in study.confirmations for key in own.keys]
            wanted += len(study.trials) + len(again)
            in_full.update(again)
            behind |= {entry.key for entry in study.trials if entry.was_stopped}
    # Of one study, where the store may have ends of many more: no sets of all are made.
    stopped = {
        key for key in behind - in_full if key not in ends.finished and key not in ends.failures
    }
    ended = (ends.finished, ends.failures, stopped)
    return Plan(
        wanted,
        tuple(key for key in keys if key in ends.finished),
        tuple(key for key in keys if key in ends.failures),
        tuple(key for key in keys if not any(key in own for own in ended)),
        tuple(key for key in keys if key in stopped),
    )


def trial_names(study: StudyOrSearch) -> dict[str, str]:
    """Return "row, column, replicate" for each key of a resolved table, "#number" of a search.

    A search's trial that confirms another one is "#number again, replicate".
    """
    if isinstance(study, ResolvedSearch):
        again = {
            key: f"#{number} again, {replicate}"
            for own in study.confirmations
            for number, trials in own.chosen.items()
            for replicate, key in trials.items()
        }
        return again | {entry.key: f"#{entry.number}" for entry in study.trials}
    several = len(study.columns) > 1
    return {
        key: ", ".join([cell.row, *([cell.column] if several else []), replicate])
        for cell in reversed(study.cells)
        for replicate, key in cell.trials.items()
    }
