"""The tuned ablation that comes along, and the one of the guide, are fair and can be run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from semisweep import Store, Study
from semisweep.checks.arm_integrity import check_arms
from semisweep.checks.validation import check_study
from semisweep.running.preparation import prepare
from semisweep.search.earlier_trials import template_of
from semisweep.search.tuning_choice import searches_of
from semisweep.study.catalogue import find_study
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request
from semisweep.study.resolve import Splits
from semisweep.study.tuned_rows import tuned_rows

GUIDE = Path(__file__).parents[2] / "studies" / "README.md"


def of_the_guide() -> Study:
    """Return the study of the guide's block that tunes rows, made by running it."""
    (block,) = (
        own for own in re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.S) if "tune=" in own
    )
    names: dict[str, Any] = {}
    exec(compile(block, str(GUIDE), "exec"), names)
    assert isinstance(names["study"], Study)
    return names["study"]


def studies() -> list[Study]:
    own = find_study("rankmatch_tuned")
    assert isinstance(own, Study)
    return [own, of_the_guide()]


@pytest.mark.parametrize("study", studies(), ids=lambda own: own.name)
def test_all_rows_are_tuned_alike_and_on_their_own(
    study: Study, tiny_shapes: Path, tmp_path: Path
) -> None:
    request = Request(roots=Roots(tmp_path, {"shapes": tiny_shapes}), store=str(tmp_path / "store"))
    splits, store = Splits(request.roots), Store.open(request.store, create=True)
    check_study(study, request, splits)
    searches = searches_of(study, request)
    found = prepare(study, request, splits, store, lambda text: None)

    assert tuned_rows(study, "mini") == list(study.rows)
    assert {own.trials for own in searches.values()} == {8}
    assert found.missing == (), "every cell waits for its search"
    templates = [template_of(own, request) for own in searches.values()]
    assert len({splits.key(own) for own in templates}) == len(study.rows)


@pytest.mark.parametrize("study", studies(), ids=lambda own: own.name)
def test_rows_differ_in_their_factor_beside_what_is_searched(study: Study) -> None:
    assert [str(own) for own in check_arms(study, "mini") if own.refused] == []
