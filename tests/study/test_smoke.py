"""Everything for two steps: what is reduced, and several studies in one sweep on Ray."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from semisweep import Store, Study
from semisweep.study.catalogue import find_study, study_names
from semisweep.study.resolve import replicates
from semisweep.study.smoke import LABELLED, NOTE, STEPS, reduced, shortened


def tables() -> list[Study]:
    found = [find_study(name) for name in study_names()]
    return [item for item in found if isinstance(item, Study) and "mini" in item.presets]


@pytest.mark.parametrize("study", tables(), ids=lambda study: study.name)
def test_every_arm_of_a_study_is_left_with_one_short_trial(study: Study) -> None:
    small = reduced(study, "mini")
    (column,) = small.columns
    found = [
        [shortened(trial) for _, trial in replicates(small, "mini", row, column, {})]
        for row in small.rows
        if row.method is not None
    ]

    assert [row.name for row in small.rows] == [row.name for row in study.rows]
    assert {len(trials) for trials in found} == {1}
    for (trial,) in found:
        assert trial.training.total_steps(100) == STEPS
        assert trial.data.labelled is None or trial.data.labelled <= LABELLED


@pytest.mark.ray
@pytest.mark.slow
def test_several_studies_run_in_one_sweep_and_leave_whole_tables_alone(
    process: Callable[..., Any], tmp_path: Path
) -> None:
    names = ("css_sources", "css_labels", "stpg_tail")
    said = process("run", *names, "--smoke", "--store", "store")
    again = process("run", *names, "--smoke", "--store", "store")
    store = Store.open(tmp_path / "store")

    assert said.code == 0, said.error
    assert said.out == again.out
    assert [line.split() for line in said.out.splitlines()] == [
        ["css_sources", "4", "of", "4", "trials", "finished"],
        ["css_labels", "3", "of", "3", "trials", "finished"],
        ["stpg_tail", "3", "of", "3", "trials", "finished"],
    ]
    assert len(store.finished()) == 4 + 3  # css_labels has the trials of css_sources
    assert store.studies() == [(name, "mini-smoke") for name in sorted(names)]
    assert NOTE in (tmp_path / "store" / "tables" / "stpg_tail@mini-smoke.md").read_text()
