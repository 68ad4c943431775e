"""The check before arms train: refusals with the reason, warnings, and verdicts made once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from semisweep import Column, Row, Store, Study
from semisweep.checks.remembered_checks import UNCHECKED, RememberingChecker, check_before
from semisweep.core.errors import ConfigError
from semisweep.running.preparation import prepare
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request
from semisweep.study.resolve import Splits
from semisweep_methods.rankmatch import RankMatch
from semisweep_methods.unimatch import UniMatch
from semisweep_studies.presets import MINI

COLUMN = Column(name="few", set={"mini": {"data.labelled": 16}})
SOUND = Row(name="weight", method=RankMatch, set={"config.rank_weight": 0.5})


def study(*rows: Row) -> Study:
    base = Row(name="base", method=RankMatch)
    return Study(
        name="arms",
        title="Arms",
        presets={"mini": MINI},
        base="base",
        rows=[dataclasses.replace(row, scaled=scaled(row)) for row in (base, *rows)],
        columns=[COLUMN],
    )


def scaled(row: Row) -> dict[str, dict[str, Any]]:
    return {"mini": {"config.agents": 8}} if row.method is RankMatch else {}


@pytest.fixture
def request_here(tiny_shapes: Path, tmp_path: Path) -> Request:
    store = str(tmp_path / "store")
    return Request(roots=Roots(tmp_path, {"shapes": tiny_shapes}), store=store)


def prepared(own: Study, request: Request, **more: Any) -> tuple[Any, list[str]]:
    said: list[str] = []
    request = dataclasses.replace(request, **more)
    return prepare(
        own, request, Splits(request.roots), Store.open(request.store, create=True), said.append
    ), said


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (Row(name="same", method=RankMatch, set={"config.rank_weight": 0.1}), "no-op"),
        (
            Row(
                name="bundle",
                method=RankMatch,
                set={"config.rank_weight": 0.5, "training.optimizer.learning_rate": 0.1},
            ),
            "confounded: it also differs from the base row in training.optimizer.learning_rate",
        ),
    ],
)
def test_an_arm_that_must_not_train_is_refused_before_anything_is_kept(
    request_here: Request, row: Row, reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        prepared(study(SOUND, row), request_here)
    assert Store.open(request_here.store).studies() == []


def test_without_the_check_the_table_says_so_for_good(request_here: Request) -> None:
    row = Row(name="same", method=RankMatch, set={"config.rank_weight": 0.1})

    first, _ = prepared(study(row), request_here, check=False)
    assert UNCHECKED in first.table.notes
    store = Store.open(request_here.store)
    for key in first.missing:
        store.trial(key).complete({"last.test.miou": 0.5})
    again, _ = prepared(study(row), request_here)
    assert again.missing == ()
    assert UNCHECKED in again.table.notes


def test_a_top_up_adds_to_what_is_inconclusive_and_a_run_keeps_it(request_here: Request) -> None:
    store = Store.open(request_here.store, create=True)
    own = study(SOUND)

    def run(score: Any, **more: Any) -> Any:
        found, _ = prepared(own, request_here, check=False, **more)
        for number, key in enumerate(found.missing):
            store.trial(key).complete({"last.test.miou": score(found.trials[key], number)})
        return found

    first = run(lambda trial, number: 0.5 + 0.01 * (number % 4))
    assert (first.table.look, first.table.looks) == (1, 0)
    second = run(lambda trial, number: 0.5, top_up=True)
    added = [len(cell.trials) for cell in second.table.cells]
    assert (second.table.look, second.table.looks) == (2, 0)
    assert added[0] == added[1] > 3
    assert len(second.missing) == 2 * (added[0] - 3)
    kept = run(lambda trial, number: 0.5)
    assert kept.missing == ()
    assert kept.table.look == 2
    assert [len(cell.trials) for cell in kept.table.cells] == added
    grown, _ = prepared(own, request_here, check=False, draws=9)
    assert (grown.table.look, len(grown.table.cells[0].trials)) == (3, 9)


def test_a_top_up_needs_a_table_of_the_same_changes(request_here: Request) -> None:
    prepared(study(SOUND), request_here, check=False)

    with pytest.raises(ConfigError, match="with the same --set"):
        prepared(study(SOUND), request_here, top_up=True, changes={"training.steps": 9})


def test_what_cannot_be_shown_is_a_warning(request_here: Request) -> None:
    row = Row(name="longer", method=RankMatch, set={"training.steps": 100}, probe=None)

    found, said = prepared(study(row), request_here)

    assert len(found.missing) == 6
    assert [line.partition(": not probed")[0] for line in said] == ["warning: arms: longer, few"]


def test_a_verdict_is_reached_once_for_a_store(
    request_here: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(request_here.store, create=True)
    splits = Splits(request_here.roots)
    own = study(SOUND, Row(name="unimatch", method=UniMatch))
    assert check_before(own, "mini", {}, splits, store) == []
    monkeypatch.setattr(
        "semisweep.checks.arm_integrity.Checker.lockstep", lambda *_: pytest.fail("rehearsed again")
    )

    assert check_before(own, "mini", {}, splits, store) == []
    assert len(RememberingChecker(splits, store).known) == 2


def test_a_verdict_is_of_the_source_code_that_reached_it(
    request_here: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(request_here.store, create=True)
    checker = RememberingChecker(Splits(request_here.roots), store)
    (_, trial), *_ = _replicates(study(SOUND))
    before = checker.mark(trial, trial, [], None, False)
    monkeypatch.setattr("semisweep.checks.remembered_checks.source", lambda packages: "other")

    assert checker.mark(trial, trial, [], None, False) != before


def _replicates(own: Study) -> list[Any]:
    from semisweep.study.resolve import replicates

    return list(replicates(own, "mini", own.rows[0], COLUMN, {}))


def test_the_command_refuses_with_the_reason(
    call: Callable[..., Any], refused: Callable[..., None], tiny_shapes: Path, tmp_path: Path
) -> None:
    (tmp_path / "arm_studies.py").write_text(STUDY)

    said = call("run", "arm_studies.py:arms", "--data", f"shapes={tiny_shapes}", "--store", "s")

    refused(said, "in its factor only, got same, few: no-op")
    assert not list((tmp_path / "s").glob("trials/*"))


STUDY = """
from semisweep import Column, Row, Study
from semisweep_methods.rankmatch import RankMatch
from semisweep_studies.presets import MINI

arms = Study(
    name="arms", title="Arms", presets={"mini": MINI}, base="base",
    rows=[
        Row(name="base", method=RankMatch, scaled={"mini": {"config.agents": 8}}),
        Row(name="same", method=RankMatch, scaled={"mini": {"config.agents": 8}}),
    ],
    columns=[Column(name="few", set={"mini": {"data.labelled": 16}})],
)
"""
