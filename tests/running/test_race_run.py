"""Races without Ray: which rows are stopped, what is stored of it, and how often it is wrong."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy import stats

from semisweep import Column, DataConfig, Preset, Row, Store, Study, TrainingConfig
from semisweep.checks.validation import check_study
from semisweep.cluster.job import Outcome
from semisweep.core.errors import ConfigError
from semisweep.running.race_run import Race, behind
from semisweep.statistics.alpha_spending import level_at_look
from semisweep.statistics.verdicts import judge
from semisweep.store.resolved_study import ResolvedStudy, StoppedRow
from semisweep.study.plan import plan
from semisweep.study.request import Request, Roots
from semisweep.study.resolve import Splits, resolve
from semisweep.tables.rendering import render
from semisweep.training.method_fixtures import tiny_network
from semisweep_methods.supervised import Supervised
from semisweep_methods.unimatch import UniMatch

MEANS = {"base": 50.0, "good": 60.0, "close": 59.5, "bad": 40.0}
TABLES, ROWS = 2000, 6


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

    def __init__(self, shapes: Path, folder: Path, raced: Study, **more: Any) -> None:
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
        self.store.trial(key).complete({"last.test.miou": score, "run.seconds": 1.0})
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
    assert 3 <= counts["bad"] < 6
    (stopped,) = place.stopped()
    assert (stopped.row, stopped.best, stopped.column) == ("bad", "good", "8")
    assert stopped.replicates == stopped.n == counts["bad"]
    assert stopped.p <= stopped.level == level_at_look(counts["bad"] - 1, 5)
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
    assert f"- Stopped: bad, after {count} of 6 replicates: Δ to “good” -20." in shown
    assert "- Race: after each replicate, rows that are worse than the best" in shown
    assert "(look 5 of 5)" in shown
    assert "Incomplete" not in shown
    assert not plan([place.table()], place.store).missing


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
        ({"seeds": 2}, {}, "3 replicates, got rows=4, replicates=2"),
        ({}, {"seeds": 1}, "replicates=1"),
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


def test_the_base_row_and_the_best_are_never_behind() -> None:
    values = {
        name: {f"0/{seed}": mean + seed % 2 / 10 + index / 100 * seed for seed in range(4)}
        for index, (name, mean) in enumerate(MEANS.items())
    }
    planned = [f"0/{seed}" for seed in range(6)]

    found = behind({**values, "bad": {}}, "bad", planned, 0.01, 6)
    assert [(item.row, item.best) for item in found] == [("base", "good"), ("close", "good")]
    assert [item.row for item in behind(values, "base", planned, 0.01, 6)] == ["close", "bad"]
    assert behind({"base": {}, "good": {}}, "base", planned, 0.01, 1) == []
    assert behind({"good": values["good"]}, "base", planned, 0.01, 1) == []


class Raced(NamedTuple):
    """What became of a simulated table: who was stopped, and what its numbers say at last."""

    stopped: int
    claimed: bool
    missed: Any  # [R - 1]  whose interval of the difference to the base leaves out the truth


def raced(values: Any, names: list[str], levels: list[float]) -> Raced:
    """Race the rows of one table [R, N]; the first is the base."""
    rows = {f"{row}": dict(zip(names, own, strict=True)) for row, own in enumerate(values.tolist())}
    counts = dict.fromkeys(rows, len(names))
    for look, level in enumerate(levels[:-1], start=1):
        live = {row: own for row, own in rows.items() if counts[row] == len(names)}
        seen = {row: {name: own[name] for name in names[: look + 1]} for row, own in live.items()}
        for item in behind(seen, "0", names, level, ROWS * (ROWS - 1) // 2):
            counts[item.row] = look + 1
    kept = [values[row, :n] - values[0, :n] for row, n in enumerate(counts.values())][1:]
    mean, std = ([f(own) for own in kept] for f in (np.mean, lambda own: np.std(own, ddof=1)))
    n = np.array([len(own) for own in kept])
    found = judge(mean, std, n, margin=1.0, alpha=levels[-1])
    half = stats.t.ppf(1 - levels[-1] / 2, n - 1) * np.array(std) / np.sqrt(n)
    stopped = sum(count < len(names) for count in counts.values())
    return Raced(stopped, bool((found.better | found.worse).any()), np.abs(mean) > half)


@pytest.mark.parametrize("draws", [1, 8])
def test_races_without_any_true_difference_rarely_stop_or_claim_anything(draws: int) -> None:
    """2,000 tables of six equal rows and eight replicates, whose draws matter.

    Bounds are those that a true rate of 5 % would exceed once in a thousand such simulations.
    """
    numbers = np.random.default_rng(draws)
    names = [f"{i}/0" if draws > 1 else f"0/{i}" for i in range(8)]
    shared = numbers.normal(0, 2, (TABLES, 1, 8))
    values = shared + numbers.normal(0, 0.5, (TABLES, ROWS, 8))
    levels = [level_at_look(look, 7) for look in range(1, 8)]
    found = [raced(table, names, levels) for table in values]
    most = stats.binom.ppf(0.999, TABLES, 0.05)

    wrong = sum(table.stopped > 0 or table.claimed for table in found)
    print(f"stopped or claimed in {wrong} of {TABLES} tables")
    assert wrong <= most
    assert (np.array([table.missed for table in found]).sum(axis=0) <= most).all()


def test_races_stop_what_is_worse_by_much() -> None:
    numbers = np.random.default_rng(0)
    values = numbers.normal(0, 0.5, (50, ROWS, 8)) + np.array([0, 4, 4, 4, 0, 0])[:, None]
    levels = [level_at_look(look, 7) for look in range(1, 8)]
    found = [raced(table, [f"0/{i}" for i in range(8)], levels) for table in values]

    assert sum(table.stopped == 2 for table in found) > 40
