"""Figures of parts: their marks stand where their numbers are, and nothing hostile gets through."""

from __future__ import annotations

import re

import pytest
from designed import design, every_set, study_of, table_of

from semisweep.report.effect_figures import effect_figures
from semisweep.store.resolved_design import Kind
from semisweep.tables.table_values import Table

PARTS = ("guide", "exchange", "ramp")


def value(on: frozenset[str]) -> float:
    return 60 + 6 * ("guide" in on) - 5 * ("ramp" in on) + 4 * (on >= {"guide", "exchange"})


def table(kind: Kind = "factorial", **more: object) -> Table:
    orders = {"cumulative": (PARTS,), "path": (PARTS,)}.get(kind, ())
    own = design(kind, every_set(PARTS), PARTS, orders=orders, all_orders=6, **more)
    return table_of(study_of(own), value, noise=0.2)


def test_parts_are_drawn_in_order_of_their_numbers() -> None:
    parts, _ = effect_figures(table())
    marks = re.findall(
        r'<circle class="mark s0( hollow)?" cx="([\d.]+)".*?<title>(\w+):', parts.svg
    )
    places = {name: float(across) for _, across, name in marks}

    assert places["ramp"] < places["exchange"] < places["guide"]
    assert [hollow for hollow, _, _ in marks] == ["", "", ""]
    assert parts.svg.count("<title>") == 3


def test_bars_of_shapley_values_go_both_ways_from_0() -> None:
    parts = next(iter(effect_figures(table("shapley"))))
    bars = re.findall(
        r'<rect class="bar pale s0" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', parts.svg
    )
    zero = float(re.findall(r'<path class="axis" d="M([\d.]+) 6V', parts.svg)[0])

    assert [float(width) > 0 for _, width in bars] == [True] * 3
    assert float(bars[0][0]) == pytest.approx(zero, abs=0.11)
    assert float(bars[2][0]) + float(bars[2][1]) == pytest.approx(zero, abs=0.11)
    assert "Shapley value" in parts.caption


def test_interactions_are_squares_of_their_sign() -> None:
    _, pairs = effect_figures(table())
    kinds = dict(
        (title, kind)
        for kind, title in re.findall(r'<rect class="tile (\w+)".*?<title>([^:]+):', pairs.svg)
    )

    assert kinds["guide × exchange"] == "more"
    assert len(kinds) == 3
    assert "+4." in pairs.svg or "+3.9" in pairs.svg


@pytest.mark.parametrize("kind", ["cumulative", "path"])
def test_steps_are_the_means_of_rows(kind: Kind) -> None:
    own = [(), PARTS[:1], PARTS[:2], PARTS]
    made = design(kind, own, PARTS, orders=(PARTS,), all_orders=6)
    figures = list(effect_figures(table_of(study_of(made), value, noise=0.2)))

    assert len(figures) == 2
    titles = re.findall(r"<title>([^<]*)</title>", figures[1].svg)
    assert [text.partition(":")[0] for text in titles] == [
        "none",
        "+ guide",
        "+ exchange",
        "+ ramp",
    ]


def test_names_are_escaped() -> None:
    titles = {"guide": "<script>alert(1)</script>"}
    for figure in effect_figures(table(titles=titles)):
        assert "<script" not in figure.svg


def test_other_tables_have_none() -> None:
    made = table_of(study_of(design("factorial", every_set(PARTS), PARTS)), value)
    bare = type(made)(**{**vars(made), "design": None})

    assert list(effect_figures(bare)) == []
