"""What designs say of parts: the same numbers in every format, and what they cannot tell."""

from __future__ import annotations

import csv
import io
import re
from html import unescape

import pytest
from designed import design, every_set, results_of, study_of, table_of

from semisweep.statistics.design_effects import effects
from semisweep.store.resolved_study import ResolvedStudy
from semisweep.tables.effect_texts import effect_label, effect_lines, effects_notes
from semisweep.tables.html_table import to_html
from semisweep.tables.latex_table import to_latex
from semisweep.tables.markdown_csv import effects_csv, to_csv, to_markdown
from semisweep.tables.table_builder import build
from semisweep.tables.table_values import Table

PARTS = ("guide", "ramp")
TITLES = {"guide": "the guide", "ramp": "ramp-up"}


def value(on: frozenset[str]) -> float:
    """Return 60, and 4 more with a guide, and 3 more with a ramp too."""
    return 60 + 4 * ("guide" in on) + 3 * (on >= {"guide", "ramp"})


def factorial() -> ResolvedStudy:
    return study_of(design("factorial", every_set(PARTS), PARTS, titles=TITLES))


def lines(table: Table) -> list[tuple[str, ...]]:
    return [(line.label, *line.texts) for line in effect_lines(table, table.columns[0])]


def test_parts_and_interactions_have_labels_points_and_verdicts() -> None:
    found = lines(table_of(factorial(), value))

    assert [own[0] for own in found] == ["the guide", "ramp-up", "the guide × ramp-up"]
    assert [float(own[1]) for own in found] == pytest.approx([5.5, 1.5, 3.0], abs=0.5)
    assert all(own[3].startswith("helps (p") for own in found)
    assert all(re.fullmatch(r"\[\+\d\.\d, \+\d\.\d\]", own[2]) for own in found)


def test_every_format_shows_the_same_lines() -> None:
    table = table_of(factorial(), value)
    wanted = lines(table)
    markdown, page, latex = to_markdown(table), unescape(to_html([table])), to_latex([table])

    for label, *texts in wanted:
        line = next(own for own in markdown.splitlines() if own.startswith(f"| {label} "))
        assert [own.strip() for own in line.split("|")[2:-1]] == texts
        assert f'<th scope="row">{label}</th>' + "".join(
            f"<td>{text}</td>" for text in texts
        ) in page.replace("&times;", "×")
    assert latex.count("\\begin{tabular}") == 2
    for note in effects_notes(table):
        assert note in page
        assert note in markdown
    effects_alone = to_markdown(table, effects_alone=True)
    assert "| the guide " in effects_alone
    assert "| none " not in effects_alone
    assert to_latex([table], effects_alone=True).count("\\begin{tabular}") == 1
    assert "<td>" in to_html([table], effects_alone=True)


def test_csv_of_effects_has_their_numbers() -> None:
    study = factorial()
    table = table_of(study, value)
    rows = list(csv.DictReader(io.StringIO(effects_csv([table]))))

    assert [own["effect"] for own in rows] == ["guide", "ramp", "guide:ramp"]
    assert {own["design"] for own in rows} == {"factorial"}
    found = table.effects["one"]
    assert [float(own["mean"]) for own in rows] == pytest.approx([own.mean for own in found])
    assert [own["verdict"] for own in rows] == ["helps"] * 3
    assert {own["effects"] for own in rows} == {"3"}
    assert "guide:ramp" not in to_csv([table])


def test_a_table_has_the_effects_of_its_complete_rows() -> None:
    study = factorial()
    results = results_of(study, value)
    units = {
        row: {str(draw): 100 * results[f"{row}-{draw}"].number(study.metric) for draw in range(5)}  # type: ignore[operator]
        for row in ("none", "guide", "ramp", "full")
    }
    table = build(study, results, {})
    assert study.design is not None

    wanted = effects(study.design, units, margin=1.0, alpha=table.level, next_alpha=0.01)
    assert [own.mean for own in table.effects["one"]] == [own.mean for own in wanted]
    assert [own.verdict for own in table.effects["one"]] == [own.verdict for own in wanted]


def test_an_arm_without_results_is_waited_for_and_named() -> None:
    study = factorial()
    results = results_of(study, value)
    del results["ramp-3"]
    table = build(study, results, {"ramp-3": "ValueError: no"})

    assert [own[3] for own in lines(table)] == ["waits for trials"] * 3
    assert "Not told: the guide waits for trials of ramp" in " ".join(effects_notes(table))


def test_a_switch_that_never_bit_is_named() -> None:
    study = study_of(design("leave-one-out", [PARTS, ("guide",), ("ramp",)], PARTS, titles=TITLES))
    results = results_of(study, value)
    for draw in range(5):
        results[f"guide-{draw}"] = results[f"full-{draw}"]
    table = build(study, results, {})

    assert lines(table)[1][3] == "never bit: equal in all runs"
    assert "ramp-up changed no run: does the switch act?" in " ".join(effects_notes(table))


def test_what_a_fraction_cannot_tell_apart_is_said() -> None:
    parts = ("a", "b", "c")
    sets = [("a",), ("b",), ("c",), parts]
    aliases = (("a", "b:c"), ("b", "a:c"), ("c", "a:b"))
    own = design("factorial", sets, parts, aliases=aliases, resolution=3)
    table = table_of(study_of(own), lambda on: 60 + 5 * ("a" in on))
    told = " ".join(effects_notes(table))

    assert "a fraction of resolution III, which cannot tell apart a = b × c; b = a × c" in told
    assert [own[0] for own in lines(table)] == ["a = b × c", "b = a × c", "c = a × b"]


def test_shapley_values_say_their_sum_and_their_orders() -> None:
    exact = design("shapley", every_set(PARTS), PARTS, all_orders=2)
    table = table_of(study_of(exact), value, noise=0.0)
    told = " ".join(effects_notes(table))

    assert "Exact over all 2 orders. They sum to +7.0, full minus none." in told
    orders = (("a", "b", "c"), ("c", "b", "a"))
    parts = ("a", "b", "c")
    sets = [(), ("a",), ("a", "b"), parts, ("c",), ("b", "c")]
    sampled = design("shapley", sets, parts, orders=orders, all_orders=6)
    told = " ".join(effects_notes(table_of(study_of(sampled), lambda on: 60 + len(on))))
    assert "Sampled: 2 of 6 orders, which is in the intervals." in told


def test_labels_of_aliases_keep_their_signs() -> None:
    own = design("factorial", every_set(PARTS), PARTS, titles=TITLES)

    assert effect_label(own, "guide = -guide:ramp") == "the guide = −the guide × ramp-up"


def test_a_study_without_a_design_has_no_effects() -> None:
    study = factorial()
    plain = ResolvedStudy(**{**vars(study), "design": None})
    table = table_of(study, value)
    bare = build(plain, results_of(study, value), {})

    assert bare.effects == {}
    assert "part" not in to_markdown(bare)
    assert "part" in to_markdown(table)
