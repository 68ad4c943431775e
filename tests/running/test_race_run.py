"""Races without Ray: which rows are stopped, what is stored of it, and how often it is wrong."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from semisweep import Column, DataConfig, Preset, Row, Store, Study, TrainingConfig
from semisweep.checks.validation import check_study
from semisweep.cluster.job import Outcome
from semisweep.core.errors import ConfigError
from semisweep.running.preparation import prepare
from semisweep.running.race_run import Race
from semisweep.statistics.alpha_spending import level_at_look
from semisweep.statistics.race_stops import STOPPING
from semisweep.store.resolved_study import ResolvedStudy, StoppedRow
from semisweep.study.data_roots import Roots
from semisweep.study.plan import plan
from semisweep.study.request import Request
from semisweep.study.resolve import Splits, resolve
from semisweep.tables.rendering import make_table, render
from semisweep.tables.row_comparisons import levels_of
from semisweep.training.method_fixtures import tiny_network
from semisweep_methods.supervised import Supervised
from semisweep_methods.unimatch import UniMatch

MEANS = {"base": 50.0, "good": 60.0, "close": 59.5, "bad": 40.0}


def study(draws: int = 1, seeds: int = 6, **more: Any) -> Study:
    rows = [Row(name="base", method=Supervised)]
    rows += [
        Row(name=name, method=UniMatch, set={"config.threshold": 0.5 + index / 10})
        for index, name in enumerate(("good", "close", "bad"))
    ]
    given: dict[str, Any] = {
        "name": "raced",
        "title": "A table of a race",
        "presets": {
            "mini": Preset(
                data=DataConfig(name="shapes", labelled=8),
                training=TrainingConfig(
                    steps=2, labelled_batch=4, unlabelled_batch=4, crop_pixels=32
                ),
                config={"network": tiny_network()},
                metric="last.test.miou",
                metric_note="mIoU",
            )
        },
        "rows": rows,
        "columns": [Column(name="8", set={"mini": {}})],
        "base": "base",
        "seeds": seeds,
        "draws": draws,
    }
    return Study(**{**given, **more})


class Place:
    """A race in a store; its trials are not trained, their scores are means and some noise."""

    def __init__(
        self, shapes: Path, folder: Path, raced: Study, val: float | None = None, **more: Any
    ) -> None:
        self.val, self.without_val = val, ("", "")  # what scores on the val part are multiplied by
        self.store = Store.open(folder, create=True)
        self.request = Request(
            roots=Roots(shapes.parent), store=str(folder), **{"race": True, **more}
        )
        splits = Splits(self.request.roots)
        self.resolved = resolve(raced, "mini", splits, {}, self.request.seeds)
        self.places = {
            key: (cell.row, replicate)
            for cell in self.resolved.table.cells
            for replicate, key in cell.trials.items()
        }
        self.race = Race(self.resolved, self.store, splits, self.request)
        self.trained: list[tuple[str, str]] = []

    def run(self, slots: int = 2, seed: int = 0, trials: int = 10**6) -> None:
        """Race on so many slots, of which a random one is the next to end."""
        chance = random.Random(seed)
        running: list[str] = []
        while len(self.trained) < trials:
            while len(running) < slots:
                job = self.race.next()
                if not job:
                    break
                running.append(job.key)
            if not running:
                assert job is None
                return
            self.finish(running.pop(chance.randrange(len(running))))

    def finish(self, key: str) -> None:
        row, replicate = self.places[key]
        noise = random.Random(f"{row} {replicate}").gauss(0, 0.3)
        shared = random.Random(replicate).gauss(0, 5)
        score = (MEANS[row] + shared + noise) / 100
        self.trained.append((row, replicate))
        row_of_val = {} if self.val is None else {"last.val.miou": self.val * score}
        if (row, replicate) == self.without_val:
            row_of_val = {}
        self.store.trial(key).complete({"last.test.miou": score, "run.seconds": 1.0, **row_of_val})
        self.race.done(Outcome(key, "finished"))

    def table(self) -> ResolvedStudy:
        found = self.store.read_table("raced", "mini")
        assert found is not None
        return found

    def stopped(self) -> tuple[StoppedRow, ...]:
        race = self.table().race
        assert race is not None
        return race.stopped

    def replicates(self) -> dict[str, int]:
        """Return how many replicates each row got."""
        rows = [row for row, _ in self.trained]
        return {row: rows.count(row) for row in MEANS}


def test_rows_that_are_clearly_worse_get_no_further_replicates(
    tiny_shapes: Path, tmp_path: Path
) -> None:
    place = Place(tiny_shapes, tmp_path, study())
    place.run()
    counts = place.replicates()

    assert counts["base"] == counts["good"] == counts["close"] == 6
    assert counts["bad"] == 4
    (stopped,) = place.stopped()
    assert (stopped.row, stopped.best, stopped.column) == ("bad", "good", "8")
    assert stopped.replicates == stopped.n == counts["bad"]
    assert stopped.p <= stopped.level == STOPPING  # after 4 of 6
    assert stopped.delta == pytest.approx(-20, abs=1)


def test_a_race_goes_replicate_by_replicate(tiny_shapes: Path, tmp_path: Path) -> None:
    place = Place(tiny_shapes, tmp_path, study())
    place.run(slots=3)

    seeds = [int(replicate.split("/")[1]) for _, replicate in place.trained]
    assert seeds == sorted(seeds)


def test_what_is_stopped_depends_on_results_alone(tiny_shapes: Path, tmp_path: Path) -> None:
    """Not on who ended first, nor on when the driver was killed."""
    tables = []
    for seed in range(3):
        place = Place(tiny_shapes, tmp_path / f"{seed}", study())
        place.run(slots=1 + seed, seed=seed)
        tables.append(json.dumps(place.table().encoded()))
    for _ in range(6):
        Place(tiny_shapes, tmp_path / "killed", study()).run(trials=3)
    place = Place(tiny_shapes, tmp_path / "killed", study())
    place.run()
    tables.append(json.dumps(place.table().encoded()))

    assert len(set(tables)) == 1
    assert Place(tiny_shapes, tmp_path / "killed", study()).race.total == 0


def test_the_printed_table_tells_what_was_stopped_and_why(
    tiny_shapes: Path, tmp_path: Path
) -> None:
    place = Place(tiny_shapes, tmp_path, study())
    place.run()
    shown = render(["raced"], place.request, further=True)
    count = place.replicates()["bad"]

    assert f"({count})" in next(line for line in shown.splitlines() if line.startswith("| bad"))
    assert "(6)" in next(line for line in shown.splitlines() if line.startswith("| good"))
    line = next(line for line in shown.splitlines() if line.startswith("| bad"))
    assert "stopped" in line
    cells = make_table(place.table(), place.request).cells
    decision = cells["bad", "8"].decision
    assert decision is not None
    assert (decision.verdict, decision.behind) == ("stopped", "good")
    assert shown.count("- Race: after 4 of 6 replicates, rows behind the best") == 1
    assert "Stopped:" not in shown
    assert "Incomplete" not in shown
    assert not plan([place.table()], place.store).missing


def test_rows_race_by_the_val_part_where_every_result_has_it(
    tiny_shapes: Path, tmp_path: Path
) -> None:
    """Here it has the rows the other way round."""
    tests = Place(tiny_shapes, tmp_path / "test", study())
    tests.run()
    place = Place(tiny_shapes, tmp_path / "val", study(), val=-1.0)
    place.run()
    some = Place(tiny_shapes, tmp_path / "some", study(), val=-1.0)
    some.without_val = ("close", "0/1")
    some.run()

    assert {item.row for item in tests.stopped()} == {"bad"}
    assert {(item.row, item.best) for item in place.stopped()} == {
        ("good", "bad"),
        ("close", "bad"),
    }
    assert any("by `last.val.miou`" in note for note in place.table().notes)
    assert {item.row for item in some.stopped()} == {"bad"}
    assert not any("val" in note for note in some.table().notes)


def test_a_race_may_be_topped_up_and_leaves_stopped_rows_alone(
    tiny_shapes: Path, tmp_path: Path
) -> None:
    place = Place(tiny_shapes, tmp_path, study())
    place.run()
    request = replace(place.request, race=False, check=False)
    splits = Splits(request.roots, place.store.keys())
    kept = prepare(study(), request, splits, place.store, print)
    more = prepare(study(), replace(request, seeds=9), splits, place.store, print)
    cells = {cell.row: len(cell.trials) for cell in more.table.cells}

    assert (kept.missing, kept.table.look, kept.table.race) == ((), 1, place.table().race)
    assert (more.table.look, more.table.looks) == (2, 0)
    assert cells == {"base": 9, "good": 9, "close": 9, "bad": 4}
    assert levels_of(more.table).now == level_at_look(2, raced=True)
    assert level_at_look(2, raced=True) == pytest.approx(level_at_look(2) / 2)


def test_without_a_race_the_same_table_wants_all_replicates(
    tiny_shapes: Path, tmp_path: Path
) -> None:
    place = Place(tiny_shapes, tmp_path, study())
    place.run()
    missing = plan([place.resolved.table], place.store).missing

    assert {place.places[key][0] for key in missing} == {"bad"}
    assert len(missing) == 6 - place.replicates()["bad"]


def test_every_draw_comes_before_any_second_seed_and_draws_are_counted(
    tiny_shapes: Path, tmp_path: Path
) -> None:
    place = Place(tiny_shapes, tmp_path, study(draws=4, seeds=2))
    place.run(slots=1)

    order = list(dict.fromkeys(replicate for _, replicate in place.trained))
    assert order == ["0/0", "1/0", "2/0", "3/0", "0/1", "1/1", "2/1", "3/1"]
    for stopped in place.stopped():
        assert stopped.n == min(4, stopped.replicates)
    assert place.replicates()["bad"] < 8


def test_a_failed_trial_is_no_replicate_and_stops_nobody(tiny_shapes: Path, tmp_path: Path) -> None:
    place = Place(tiny_shapes, tmp_path, study())
    job = place.race.next()
    assert job
    place.race.done(Outcome(job.key, "failed", "the worker group has ended"))
    place.run()

    assert place.replicates()["base"] == 5
    assert place.replicates()["good"] == 6
    assert place.store.failures().keys() == {job.key}
    assert Place(tiny_shapes, tmp_path, study()).race.total == 0
    again = Place(tiny_shapes, tmp_path, study(), retry_failed=True)
    assert again.race.next() == job


def test_a_race_keeps_its_number_of_looks(tiny_shapes: Path, tmp_path: Path) -> None:
    Place(tiny_shapes, tmp_path, study()).run(trials=5)
    with pytest.raises(ConfigError, match="got replicates=8, planned=6"):
        Place(tiny_shapes, tmp_path, study(), seeds=8)


@pytest.mark.parametrize(
    ("changes", "more", "told"),
    [
        (
            {"seeds": 2},
            {},
            "4 replicates (draws, where there are several) within the first three quarters, got "
            "rows=4, draws=1, seeds=2",
        ),
        ({}, {"seeds": 1}, "seeds=1"),
        ({"rows": [Row(name="base", method=Supervised)]}, {}, "at least 2 rows"),
        ({}, {"race": False, "trials": 3}, "--trials is for a search, got study='raced'"),
        ({}, {"race": False, "deterministic": True}, "--deterministic is for a search"),
        ({}, {"race": False, "continue_stopped": True}, "--continue-stopped is for a search"),
    ],
)
def test_a_race_that_cannot_be_run_is_refused(
    tiny_shapes: Path, tmp_path: Path, changes: dict[str, Any], more: dict[str, Any], told: str
) -> None:
    given = {"roots": Roots(tiny_shapes.parent), "store": str(tmp_path / "absent"), "race": True}
    request = Request(**{**given, **more})
    with pytest.raises(ConfigError) as caught:
        check_study(study(**changes), request, Splits(request.roots))

    assert told in str(caught.value)
