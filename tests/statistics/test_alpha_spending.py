"""Spending the level over looks: published boundaries, sums and refusals."""

from __future__ import annotations

import pytest

from semisweep.core.errors import ConfigError
from semisweep.statistics.alpha_spending import (
    ALPHA,
    OPEN,
    RACE_SHARE,
    Spending,
    level_at_look,
    spent,
)

KINDS: list[Spending] = ["pocock", "obrien-fleming"]


@pytest.mark.parametrize("spending", KINDS)
def test_a_single_look_has_the_whole_level(spending: Spending) -> None:
    assert level_at_look(1, 1, 0.05, spending) == pytest.approx(0.05)


@pytest.mark.parametrize("spending", KINDS)
@pytest.mark.parametrize("planned", [2, 3, 7])
def test_the_levels_of_all_looks_sum_to_the_whole(spending: Spending, planned: int) -> None:
    levels = [level_at_look(look, planned, 0.01, spending) for look in range(1, planned + 1)]

    assert sum(levels) == pytest.approx(0.01)
    assert min(levels) > 0


def test_obrien_fleming_spending_has_its_printed_values() -> None:
    """Three equal looks, two-sided at 5 %: the printed boundaries are 3.7103 and 2.5114.

    To cross either is at least as probable as to cross the second, and at most the sum.
    """
    from scipy.stats import norm

    first, second = 2 * norm.sf(3.7103), 2 * norm.sf(2.5114)

    assert spent(1 / 3, spending="obrien-fleming") == pytest.approx(first, rel=1e-3)
    assert second < spent(2 / 3, spending="obrien-fleming") < second + first


def test_pocock_spending_has_its_printed_value() -> None:
    assert spent(0.5, spending="pocock") == pytest.approx(0.0310, abs=5e-5)


@pytest.mark.parametrize("spending", KINDS)
def test_nothing_is_spent_before_the_first_replicate_and_all_at_the_last(
    spending: Spending,
) -> None:
    assert spent(0.0, 0.05, spending) == 0
    assert spent(1.0, 0.05, spending) == 0.05


@pytest.mark.parametrize(("look", "planned"), [(0, 3), (4, 3), (0, 0)])
def test_a_look_that_was_not_planned_is_refused(look: int, planned: int) -> None:
    with pytest.raises(ConfigError, match=f"look={look}, planned={planned}"):
        level_at_look(look, planned)


def test_a_level_that_is_no_probability_is_refused() -> None:
    with pytest.raises(ConfigError, match="alpha=5"):
        spent(0.5, 5)


def test_any_number_of_looks_spends_no_more_than_the_whole() -> None:
    levels = [level_at_look(look) for look in range(1, 2000)]

    assert levels[:3] == pytest.approx([0.04, 0.005, 0.01 / 6])
    assert sum(levels) < ALPHA
    assert sum(levels) == pytest.approx(ALPHA, rel=1e-3)
    assert level_at_look(1, OPEN) == level_at_look(1)


def test_a_race_takes_its_share_from_later_looks() -> None:
    levels = [level_at_look(look, raced=True) for look in range(1, 2000)]

    assert levels[0] == pytest.approx(0.0375)
    assert ALPHA * RACE_SHARE + sum(levels) < ALPHA
