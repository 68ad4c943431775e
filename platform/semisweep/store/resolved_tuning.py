"""What the search of a tuned cell has come to, as a store keeps it with the cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from semisweep.store.json_fields import Fields, Single


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """The search of a row in a column: what it may cost, has cost, and has chosen.

    `params`: what the best of its trials was suggested; None before all have ended, and where none
    has finished.
    """

    search: str  # its name in the store
    trials: int  # that it is to have
    metric: str
    ended: int = 0  # of its trials
    failed: int = 0  # of those that have ended
    seconds: float = 0.0  # that they took, all together
    number: int | None = None  # of the best
    params: Mapping[str, Single] | None = None
    score: float | None = None  # of the best by the metric; a fraction where that is an IoU

    @property
    def is_barren(self) -> bool:
        """Whether all trials have ended, and none of them finished."""
        return self.params is None and 0 < self.trials <= self.ended

    def encoded(self) -> dict[str, object]:
        """Return the tuning as JSON has it."""
        found: dict[str, object] = {"search": self.search, "trials": self.trials}
        found |= {"metric": self.metric, "ended": self.ended, "failed": self.failed}
        found |= {"seconds": self.seconds}
        if self.params is None:
            return found
        return found | {"number": self.number, "params": dict(self.params), "score": self.score}


def decode_tuning(fields: Fields) -> Tuning:
    """Return the tuning that a file holds; raise `StoreError` for one of another shape."""
    chosen = fields.values.get("params") is not None
    return Tuning(
        search=fields.text("search"),
        trials=fields.integer("trials"),
        metric=fields.text("metric"),
        ended=fields.integer("ended"),
        failed=fields.integer("failed"),
        seconds=fields.number("seconds"),
        number=fields.integer("number") if chosen else None,
        params=fields.single_values("params") if chosen else None,
        score=fields.number("score") if chosen else None,
    )
