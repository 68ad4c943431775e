"""The order of a search's trials: finished ones by score, then how far stopped ones came."""

from __future__ import annotations

import math

import pytest
import resolved

from semisweep.search.trial_outcome import Observation
from semisweep.store.resolved_search import Direction
from semisweep.tables.search_summary import in_order

ENDS = {
    "worst": Observation("finished", (0.2,)),
    "best": Observation("finished", (0.9,)),
    "early and good": Observation("stopped", (), {2: 0.95}),
    "late and bad": Observation("stopped", (), {2: 0.3, 6: 0.1}),
    "late and good": Observation("stopped", (), {2: 0.3, 6: 0.5}),
    "failed": Observation("failed"),
}
LAST = ["failed", "running"]


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_best_stands_first_and_further_stopped_trials_before_earlier_ones(
    direction: Direction,
) -> None:
    """Those stopped at the same step by their score there; of turned scores nothing moves."""
    sign = 1 if direction == "maximize" else -1
    ends = {
        key: own._replace(
            values=tuple(sign * value for value in own.values),
            on_the_way={step: sign * value for step, value in own.on_the_way.items()},
        )
        for key, own in ENDS.items()
    }
    search = resolved.search([*ends, "running"], direction=direction)

    assert [own.key for own in in_order(search, ends)] == [
        *("best", "worst", "late and good", "late and bad", "early and good"),
        *LAST,
    ]


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_a_score_that_is_no_number_comes_after_those_of_its_step(direction: Direction) -> None:
    ends = {
        "none": Observation("stopped", (), {6: math.nan}),
        "early": Observation("stopped", (), {2: 0.9}),
        "some": Observation("stopped", (), {6: 0.01}),
    }
    search = resolved.search(list(ends), direction=direction)

    assert [own.key for own in in_order(search, ends)] == ["some", "none", "early"]
