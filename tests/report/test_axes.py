"""Axes: where values stand, also those that no axis can show."""

from __future__ import annotations

import math

import pytest

from semisweep.report.axes import log_axis, setting_axis


@pytest.mark.parametrize("values", [[0.1, 0.2, math.inf], [0.1, 0.2, -math.inf, math.nan]])
def test_values_that_are_not_finite_do_not_count(values: list[float]) -> None:
    for make in (setting_axis, log_axis):
        axis = make("rate", values)

        assert math.isfinite(axis.low)
        assert math.isfinite(axis.high)
        assert 0 < axis.at(0.1) < axis.at(0.2) < 1
        assert axis.at(math.inf) == 1


def test_there_may_be_no_finite_value() -> None:
    axis = setting_axis("rate", [math.inf])

    assert axis.low < axis.high


def test_a_span_of_all_numbers_is_logarithmic() -> None:
    axis = setting_axis("rate", [1e-300, 1.0, 1.7e308])

    assert axis.log
    assert axis.at(-1.0) == 0
    assert math.isfinite(axis.high)
    assert axis.at(1e-300) < axis.at(1.0) < axis.at(1.7e308)
