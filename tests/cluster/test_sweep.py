"""Whole sweeps on a real local Ray: killed drivers, killed workers, two workers, a search.

Every driver is a process of its own, as a user's is. What it left behind when it was killed is
waited for, and ended by its process id.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil  # type: ignore[import-untyped]
import pytest
from driving import Driver, Line, command, environment, read_ledger

from semisweep import Search, Store, Study, export
from semisweep.cluster.trial_execution import execute
from semisweep.data.shapes import make
from semisweep.running.job_sources import job_for
from semisweep.running.search_run import Suggestions, turn
from semisweep.study.catalogue import find_study
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request
from semisweep.study.resolve import Splits, resolve

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]

MODULE = '''
"""Somebody's own method and studies, in a module of their own."""

import os
import random
import signal
import time
from pathlib import Path

from optuna.distributions import FloatDistribution

from semisweep import NetworkConfig
from semisweep import Halving
from semisweep import Column, Preset, Row, Search, Study
from semisweep import DataConfig, OptimizerConfig, TrainingConfig
from semisweep.training import checkpoint_writer
from semisweep_methods.supervised import Supervised
from semisweep_methods.unimatch import UniMatch

checkpoint_writer.CHEAP_SECONDS = 60.0  # a slow disk must not change which steps are repeated


class Mortal(Supervised):
    """Loses its process in mid-training: once (seed 0), each time (1), or has a fault (2)."""

    def step(self, batch, progress):
        folder = Path(os.environ["MORTAL"])
        with (folder / f"steps-{progress.seed}").open("a") as trace:
            trace.write(f"{progress.step} ")
        if progress.step == 4:
            died = folder / f"died-{progress.seed}"
            if progress.seed == 2:
                raise RuntimeError("a fault of the method")
            if progress.seed == 1 or not died.exists():
                died.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        yield from super().step(batch, progress)


preset = Preset(
    data=DataConfig(name="shapes", labelled=8),
    training=TrainingConfig(
        steps=6,
        labelled_batch=4,
        unlabelled_batch=4,
        crop_pixels=32,
        evaluations=3,
        optimizer=OptimizerConfig(learning_rate=0.01),
    ),
    config={
        "network": NetworkConfig(
            backbone="test_resnet", output_stride=8, channels=16, pretrained=False
        ),
        "threshold": 0.2,
    },
    metric="last.test.miou",
    metric_note="mIoU",
)
column = Column(name="8 labelled", set={"mini": {}})
small = Study(
    name="small",
    title="Two methods and one that dies",
    presets={"mini": preset},
    base="supervised",
    seeds=3,
    rows=[
        Row(name="supervised", method=Supervised),
        Row(name="mortal", method=Mortal),
        Row(name="unimatch", method=UniMatch),
    ],
    columns=[column],
)
every_step = {"mini": {"training.steps": 5, "training.evaluations": 5}}
alone = Study(
    name="alone",
    title="One trial whose history has every step",
    presets={"mini": preset},
    base="unimatch",
    seeds=1,
    rows=[Row(name="unimatch", method=UniMatch)],
    columns=[Column(name="every step", set=every_step)],
)
rates = Search(
    name="rates",
    title="A search for a learning rate",
    presets={"mini": preset},
    method=Supervised,
    space={
        "mini": {"training.optimizer.learning_rate": FloatDistribution(1e-4, 0.1, log=True)}
    },
    trials=7,
    confirm=2,
    confirm_seeds=2,
    set={"mini": {"training.steps": 2, "training.evaluations": 1}},
)


class Unsteady(Supervised):
    """Trains for a time that nobody can foresee."""

    def step(self, batch, progress):
        time.sleep(random.SystemRandom().random() / 5)
        yield from super().step(batch, progress)


halved = Search(
    name="halved",
    title="A search that stops what falls behind",
    presets={"mini": preset},
    method=Unsteady,
    space={
        "mini": {"training.optimizer.learning_rate": FloatDistribution(1e-4, 0.5, log=True)}
    },
    trials=8,
    halving=Halving(rungs=(0.5,), reduction=2, peers=1),
    confirm=1,
    confirm_seeds=2,
    set={"mini": {"training.steps": 4, "training.evaluations": 4}},
)
'''


class Place:
    """A folder with a data set, a store, a ledger and a module of studies."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = make(root / "shapes", train=24, val=4, test=4, size=32)
        self.ledger = root / "ledger"
        self.ledger.touch()
        (root / "tiny_studies.py").write_text(MODULE)
        self.roots = Roots(root, {"shapes": self.data})

    def start(self, study: str, store: str, *options: str) -> Driver:
        """Start `semisweep run` as a user does."""
        arguments = ["run", f"tiny_studies:{study}", "--store", str(self.root / store)]
        # A rehearsal of the method that kills its process would end the driver.
        arguments += ["--data", f"shapes={self.data}", "--no-check", *options]
        variables = environment(self.root, self.ledger, MORTAL=str(self.root))
        return Driver(command(*arguments), self.root, variables)

    def start_at_once(self, study: str, store: str, *options: str) -> Driver:
        """Start `semisweep run` so that Ray starts before the study is known."""
        arguments = ["run", f"tiny_studies:{study}", "--store", str(self.root / store)]
        variables = environment(self.root, self.ledger, SEMISWEEP_DATA=str(self.root))
        return Driver(command(*arguments, *options), self.root, variables)

    def lines(self) -> list[Line]:
        """Return what the ledger says."""
        return read_ledger(self.ledger)

    def keys(self, event: str) -> list[str]:
        """Return the keys of an event, in order."""
        return [line.key for line in self.lines() if line.event == event]

    def store(self, name: str) -> Store:
        """Return a store of this place."""
        return Store.open(self.root / name, create=True)

    def steps(self, seed: int) -> list[int]:
        """Return which steps the mortal trial of a seed began, in all its processes."""
        return [int(step) for step in (self.root / f"steps-{seed}").read_text().split()]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("sweep")
    with pytest.MonkeyPatch.context() as patch:
        made = Place(root)
        patch.syspath_prepend(str(root))
        patch.setenv("MORTAL", str(root / "quiet"))
        (root / "quiet").mkdir()
        (root / "quiet" / "died-0").touch()
        yield made


def undisturbed(place: Place, name: str, store: Store) -> None:
    """Train the trials of a study in this process, those that cannot end left out."""
    study = find_study(f"tiny_studies:{name}")
    assert isinstance(study, Study)
    splits = Splits(place.roots)
    request = Request(roots=place.roots, store=str(store.root))
    for key, trial in resolve(study, "mini", splits).trials.items():
        if trial.method != "tiny_studies:Mortal" or trial.seed == 0:
            job = job_for(key, trial, store, splits, request)
            assert execute(job, lambda said: None).status == "finished"


class Killed(NamedTuple):
    """A sweep whose driver was killed, and the same command again."""

    finished_before: list[str]
    lines_before: int
    again: Driver
    code: int


@pytest.fixture(scope="module")
def killed(place: Place) -> Killed:
    driver = place.start("small", "killed", "--slots", "2")
    driver.until(lambda: "finished" in [line.event for line in place.lines()])
    driver.send(signal.SIGKILL)
    driver.wait()
    driver.end_family()
    finished, lines = place.keys("finished"), len(place.lines())
    again = place.start("small", "killed", "--slots", "2")
    return Killed(finished, lines, again, again.wait())


def test_after_a_kill_of_the_driver_no_finished_trial_is_run_again(
    place: Place, killed: Killed
) -> None:
    begun_later = {line.key for line in place.lines()[killed.lines_before :]}

    assert 1 <= len(killed.finished_before) < 7
    assert not begun_later & set(killed.finished_before)
    assert place.store("killed").finished() == set(place.keys("finished"))
    assert set(Counter(place.keys("finished")).values()) == {1}
    assert len(place.keys("finished")) == 7


def test_a_killed_and_resumed_sweep_gives_the_results_of_an_undisturbed_one(
    place: Place, killed: Killed
) -> None:
    """That one trains here, trial after trial: where in a slot a trial stands changes no bit."""
    undisturbed(place, "small", place.store("undisturbed"))

    assert export(place.store("killed")) == export(place.store("undisturbed"))


def test_a_sweep_with_failed_trials_says_so_and_shows_its_table(
    place: Place, killed: Killed
) -> None:
    assert killed.code == 1, killed.again.errors
    assert "| supervised " in killed.again.output
    failed = [line for line in killed.again.errors.splitlines() if line.startswith("failed: ")]
    assert len(failed) == 2
    assert len(place.store("killed").failures()) == 2


def test_a_trial_whose_worker_is_killed_goes_on_from_its_checkpoint(
    place: Place, killed: Killed
) -> None:
    assert place.steps(0) == [0, 1, 2, 3, 4, 4, 5]


def test_a_trial_that_kills_its_worker_each_time_fails_after_three(
    place: Place, killed: Killed
) -> None:
    failures = place.store("killed").failures().values()
    (failure,) = [own for own in failures if own.trial["seed"] == 1]

    assert place.steps(1) == [0, 1, 2, 3, 4, 4, 4]
    assert failure.error.startswith("a trial may end the processes that train it 3 times")


def test_a_fault_of_ours_is_kept_with_its_traceback_and_its_process_is_not_used_again(
    place: Place, killed: Killed
) -> None:
    failures = place.store("killed").failures()
    (key,) = [key for key, own in failures.items() if own.trial["seed"] == 2]
    own = [line for line in place.lines() if (line.key, line.event) == (key, "started")]
    others = [line for line in place.lines() if line.key != key]

    assert failures[key].error.startswith("Traceback")
    assert failures[key].error.endswith("RuntimeError: a fault of the method")
    assert len({line.process for line in own}) == len(own) >= 3
    for line in own:
        assert line.process not in {other.process for other in others if other.at > line.at}


def test_slots_stay_alive_and_take_one_trial_after_another(place: Place, killed: Killed) -> None:
    """Seven trials that train to the end, and four deaths or faults, in far fewer processes."""
    begun = [line.process for line in place.lines() if line.event == "training"]

    assert max(Counter(begun).values()) >= 3


def test_two_train_workers_give_the_losses_of_one(place: Place) -> None:
    driver = place.start("alone", "two", "--workers", "2", "--slots", "1")
    assert driver.wait() == 0, driver.errors
    undisturbed(place, "alone", place.store("one"))
    (key,) = place.store("two").finished()
    two, one = (place.store(name).trial(key) for name in ("two", "one"))

    assert (two.result() or {})["run.workers"] == 2
    assert [row.step for row in two.evaluations()] == [1, 2, 3, 4, 5]
    for found, expected in zip(two.evaluations(), one.evaluations(), strict=True):
        losses = [name for name in expected.values if name.startswith("network.")]
        assert {"network.loss", "network.strong", "network.perturbed"} <= set(losses)
        for name in losses:
            assert found.values[name] == pytest.approx(expected.values[name], abs=1e-5), name


@pytest.fixture(scope="module")
def searched(place: Place) -> tuple[Driver, int, float, list[psutil.Process], Driver]:
    """Interrupt a search after two trials, and run it again; what ended it was SIGTERM."""
    before = len(place.keys("finished"))
    driver = place.start("rates", "search", "--slots", "1")
    driver.until(lambda: len(place.keys("finished")) >= before + 2)
    asked = time.monotonic()
    driver.send(signal.SIGTERM)
    code = driver.wait(seconds=60)
    seconds = time.monotonic() - asked
    left = driver.end_family(seconds=10)
    again = place.start("rates", "search", "--slots", "1")
    again.wait()
    return driver, code, seconds, left, again


@pytest.mark.slow
def test_a_terminated_driver_ends_soon_and_cleanly_and_says_how_to_go_on(
    searched: tuple[Driver, int, float, list[psutil.Process], Driver],
) -> None:
    driver, code, seconds, left, _ = searched

    assert code == 130, driver.errors
    assert seconds < 20
    assert not left
    last = driver.errors.strip().splitlines()[-1]
    assert last.startswith("interrupted; what is finished is kept. To go on: semisweep run")
    assert "Traceback" not in driver.errors


@pytest.mark.slow
def test_an_interrupted_search_suggests_what_an_undisturbed_one_does(
    place: Place, searched: tuple[Driver, int, float, list[psutil.Process], Driver]
) -> None:
    again = searched[-1]
    assert again.process.returncode == 0, again.errors
    search = find_study("tiny_studies:rates")
    assert isinstance(search, Search)
    store = place.store("undisturbed search")
    source = Suggestions(search, Request(roots=place.roots, store=str(store.root)), store)
    while (job := source.next()) is not None:
        outcome = execute(job, lambda said: None)
        source.done(outcome)

    expected = store.read_search("rates", "mini")
    assert expected is not None
    assert len(expected.trials) == 7
    assert len(expected.confirmations[0].keys) == 4
    assert place.store("search").read_study("rates", "mini") == expected


@pytest.mark.slow
def test_no_trial_of_the_search_was_finished_twice(place: Place, searched: tuple[Any, ...]) -> None:
    finished = Counter(place.keys("finished"))
    search = place.store("search").read_search("rates", "mini")
    assert search is not None

    assert [finished[key] for key in search.keys] == [1] * (7 + 4)


@pytest.mark.slow
def test_a_search_that_waits_for_its_turn_has_no_workers_and_then_goes_on(place: Place) -> None:
    """Idle workers of whoever waits could be in the way of whoever has the turn."""

    def has_ray() -> bool:
        for process in driver.children():
            with suppress(psutil.NoSuchProcess):  # they end while they are looked at
                if process.name() == "raylet":
                    return True
        return False

    store = place.store("waiting search")
    with turn(store, "rates", "mini", lambda: None):
        driver = place.start_at_once("rates", "waiting search", "--slots", "1")
        driver.until(has_ray)
        driver.until(lambda: not has_ray())
        assert not store.keys()
    code = driver.wait()

    assert code == 0, driver.errors
    assert "waits, as another process goes on with it" in driver.errors
    assert len(store.finished()) == 7 + 4


@pytest.mark.slow
def test_two_slots_repeat_a_deterministic_search_and_stop_what_one_process_does(
    place: Place,
) -> None:
    """However long each trial takes; that process trains one after another, with the same lag."""
    driver = place.start("halved", "halved", "--slots", "2", "--deterministic")
    assert driver.wait() == 0, driver.errors
    search = find_study("tiny_studies:halved")
    assert isinstance(search, Search)
    store = place.store("halved alone")
    request = Request(roots=place.roots, store=str(store.root))
    source = Suggestions(search, request, store, lag=2)
    while job := source.next():
        outcome = execute(job, lambda said: None)
        source.done(outcome)

    found = place.store("halved").read_study("halved", "mini")
    assert found == store.read_study("halved", "mini")
    stopped = place.store("halved").stopped()
    assert stopped.keys() == store.stopped().keys()
    assert 1 <= len(stopped) < 8
    assert f"{len(stopped)} stopped at a rung" in driver.output
    assert export(place.store("halved")) == export(store)
