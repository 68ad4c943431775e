"""The papers' own ablation tables as designs: the same trials as the studies written by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import pytest

from semisweep import Ablation, Row, Study, designs
from semisweep.core.config import canonical
from semisweep.study.catalogue import find_study
from semisweep.study.data_roots import Roots
from semisweep.study.factor import training_identity
from semisweep.study.named_values import method_names
from semisweep.study.resolve import Splits, replicates, resolve
from semisweep_studies import ablations, css, gps, rankmatch, segkc, stpg


def rows_of(study: Study, names: Iterable[str]) -> list[Row]:
    return [row for row in study.rows if row.name in names]


def on(whole: Ablation, study: Study, *switches: str) -> Ablation:
    """Return an ablation of some switches in the columns of a study."""
    return dataclasses.replace(whole, columns=study.columns, switches=switches)


def css_tables() -> list[Study]:
    """Return CSS, Table 7: indicators and one way to use both spaces, for each of the two."""
    parts = ("label_spaces", "indicators")
    mixed = on(ablations.css, css.components, *parts)
    crossed = dataclasses.replace(
        mixed, presets=css.WITH_CROSS, set={"config.label_source": "cross"}
    )
    return [designs.factorial(mixed), designs.factorial(crossed)]


def rankmatch_table() -> Study:
    """Return RankMatch, Table 4: what it adds to UniMatch, beside other methods."""
    whole = on(ablations.rankmatch, rankmatch.components, "correlation", "rank")
    beside = rows_of(rankmatch.components, ("supervised", "contrastive"))
    return designs.cumulative(dataclasses.replace(whole, beside=beside))


def gps_table() -> Study:
    """Return GPS, Table 4: sets of its three losses, but for exchange alone and none."""
    whole = on(ablations.gps, gps.losses, "guide", "exchange", "feedback")
    sets = ("guide", "feedback", "guide feedback", "exchange feedback", "guide exchange",
            "guide exchange feedback")  # fmt: skip
    return designs.combinations(whole, [own.split() for own in sets])


PAPERS = {
    "segkc_losses": lambda: [
        designs.cumulative(on(ablations.segkc, segkc.losses, "consistency", "distillation"))
    ],
    "stpg_components": lambda: [
        designs.factorial(dataclasses.replace(ablations.stpg, columns=stpg.components.columns))
    ],
    "gps_losses": lambda: [gps_table()],
    "css_components": css_tables,
    "rankmatch_components": lambda: [rankmatch_table()],
}


# Without labels from both spaces and without contrast CSS asks no indicator: two equal rows.
ALIKE = {"css/factorial": 1}


def trainings(study: Study, scale: str) -> set[str]:
    """Return what determines the weights of every trial of a study at a scale."""
    return {
        canonical(training_identity(trial))
        for row in study.rows
        for column in study.columns
        if column.exists(scale)
        for _, trial in replicates(study, scale, row, column, {})
    }


@pytest.mark.parametrize("name", PAPERS)
def test_a_papers_table_is_a_design(name: str) -> None:
    hand = find_study(name)
    assert isinstance(hand, Study)
    made = PAPERS[name]()

    scales = [own for own in ("mini", "photo", "paper") if own in hand.presets]
    assert len(scales) >= 2
    for scale in scales:
        found = set[str]().union(*(trainings(study, scale) for study in made))
        assert found == trainings(hand, scale), scale
        assert found


@pytest.mark.parametrize("name", PAPERS)
def test_a_papers_table_has_the_keys_of_its_design(name: str, tiny_shapes: Path) -> None:
    splits = Splits(Roots(tiny_shapes.parent))
    hand = find_study(name)
    assert isinstance(hand, Study)
    keys = set(resolve(hand, "mini", splits).trials)
    made = [set(resolve(study, "mini", splits).trials) for study in PAPERS[name]()]

    assert set[str]().union(*made) == keys


def test_stpgs_needs_are_those_of_its_table() -> None:
    """Its Table 4 has every set of its parts in which each has what it needs, and no other."""
    assert len(designs.factorial(ablations.stpg).rows) == len(stpg.components.rows) == 6


@pytest.mark.parametrize("method", [own for own in method_names() if own != "supervised"])
def test_arms_of_an_ablation_are_different_trainings(method: str) -> None:
    for design in ("leave-one-out", "factorial"):
        study = find_study(f"{method}/{design}")
        assert isinstance(study, Study)
        column = study.columns[0]
        for scale in ("mini", "photo"):
            found = {}
            for row in study.rows:
                for _, trial in replicates(study, scale, row, column, {}, units=(1,)):
                    found[row.name] = canonical(training_identity(trial))
            alike = len(found) - len(set(found.values()))
            assert len(found) == len(study.rows)
            assert alike == ALIKE.get(study.name, 0), (study.name, scale)
