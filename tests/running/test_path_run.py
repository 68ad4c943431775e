"""The path of a method: which step is next, from results alone."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from report_store import fill

from semisweep import Store, Study
from semisweep.core.errors import SweepError
from semisweep.running.path_run import walk
from semisweep.study.catalogue import find_study
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request
from semisweep.study.resolve import Splits, resolve

PATH = "gps/path"  # guide, exchange, feedback after guide, ramp after feedback


def value(on: frozenset[str]) -> float:
    """Return a score: exchange is best alone, the guide is worth more than it after feedback."""
    worth = {"guide": 0.01, "exchange": 0.05, "feedback": 0.02, "ramp": 0.01}
    return 0.5 + sum(worth[name] for name in on)


class Runs:
    """Runs studies by writing made-up results of what has none; `trained` counts them."""

    def __init__(self, store: Store, data: Path) -> None:
        self.store, self.splits = store, Splits(Roots(data))
        self.seen: list[str] = []
        self.trained = 0
        self.fail: str = ""

    def __call__(self, study: Study, request: Request) -> None:
        self.seen.append(study.name)
        resolved = resolve(study, request.scale, self.splits)
        for cell in resolved.table.cells:
            on = frozenset(["guide", "exchange", "feedback", "ramp"]
                           if cell.row == "full" else cell.row.split("+"))  # fmt: skip
            for key in cell.trials.values():
                if cell.row != self.fail and not self.store.trial(key).finished:
                    self.trained += 1
                    score = value(on - {"none"})
                    fill(self.store, key, resolved.trials[key], score, random.Random(key))
        self.store.write_study(study.name, request.stored_scale, resolved.table)


@pytest.fixture
def walked(tmp_path: Path, tiny_shapes: Path) -> Callable[..., tuple[Study, Runs, list[str]]]:
    """Return a function that goes the path in a store of this test."""

    def go(fail: str = "") -> tuple[Study, Runs, list[str]]:
        store = Store.open(tmp_path / "store", create=True)
        runs, said = Runs(store, tiny_shapes.parent), list[str]()
        runs.fail = fail
        request = Request(store=str(store.root), roots=Roots(tiny_shapes.parent))
        study = find_study(PATH)
        assert isinstance(study, Study)
        return walk(study, request, store, runs, said.append), runs, said

    return go


def test_each_step_adds_what_is_best_on_val(walked: Callable[..., object]) -> None:
    found, runs, said = walked()  # type: ignore[misc]

    assert found.design.orders == (("exchange", "guide", "feedback", "ramp"),)
    assert [row.name for row in found.rows] == [
        "none", "exchange", "guide+exchange", "guide+exchange+feedback", "full"
    ]  # fmt: skip
    assert found.name == PATH
    assert runs.seen == [f"{PATH}/step-{n}" for n in (1, 2, 3)]
    assert said[0] == f"note: {PATH}: step 1 adds exchange"
    assert found.presets["mini"].metric == "last.test.miou"


def test_a_path_goes_the_same_way_again_and_trains_nothing(walked: Callable[..., object]) -> None:
    first, runs, _ = walked()  # type: ignore[misc]
    again, more, _ = walked()  # type: ignore[misc]

    assert runs.trained > 0
    assert more.trained == 0
    assert again.design == first.design


def test_a_step_whose_rows_have_failed_is_not_chosen(walked: Callable[..., object]) -> None:
    found, _, _ = walked(fail="exchange")  # type: ignore[misc]

    assert found.design.orders[0][0] == "guide"


def test_a_path_ends_in_one_line_where_no_row_has_finished(
    walked: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SweepError, match=r"must have a row whose trials have all finished.*step-2"):
        walked(fail="guide+exchange")
