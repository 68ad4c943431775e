"""Trials brought into TensorBoard, W&B and MLflow, read back with each tool's own reader."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from logged import Logged, mlflow_runs, tensorboard_runs, wandb_runs
from resolved import cell, search, table

from semisweep import Halving, Store
from semisweep.core.errors import ConfigError
from semisweep.store import stopped_trial
from semisweep.store.study_files import StoredStudy, StudyPlace
from semisweep.tracking.following import _logger
from semisweep.tracking.packages import check_loggers
from semisweep.tracking.run_tracker import RunTracker

Read = Callable[[Path], dict[str, Logged]]
READERS: dict[str, Read] = {
    "tensorboard": tensorboard_runs,
    "wandb": wandb_runs,
    "mlflow": mlflow_runs,
}
TRIAL = {"method": "a:A", "seed": 3, "config": {"threshold": 0.9}, "training": {"steps": 30}}
RESULT = {
    "method": "a:A",
    "seed": 3,
    "config.threshold": 0.9,
    "total_steps": 30,
    "last.test.miou": 0.5,
    "run.finished_at": 1.79e9,
    "run.seconds": 60.0,
}
NAME = "quickstart"


@pytest.fixture(autouse=True)
def own_places(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_DIR", "WANDB_PROJECT", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")


@pytest.fixture(params=list(READERS))
def tool(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Place:
    """A store with a study of one cell, and what looks at it; `again` is another process's."""

    def __init__(self, folder: Path, tool: str, database: Path) -> None:
        self.store = Store.open(folder / "store", create=True)
        self.folder, self.tool = folder / "logs" / tool, tool
        if tool == "mlflow":  # whose tables take seconds to make
            self.folder.mkdir(parents=True)
            shutil.copy(database, self.folder)
        found = table(cell({"0/0": "k0", "0/1": "k1"}), name=NAME, scale="mini")
        self.study = StoredStudy(StudyPlace(NAME, "mini"), found)
        self.again()

    def again(self) -> None:
        self.tracker = RunTracker(
            lambda: _logger(self.tool, self.folder), self.store, lambda: 1.79e9
        )

    def train(self, key: str, *steps: int) -> None:
        folder = self.store.trial(key)
        folder.describe({"format": 1, "trial": TRIAL})
        rows = [{"step": s, "loss": 1 / s, "val.miou": float("nan")} for s in steps]
        folder.append_history(rows)

    def look(self) -> dict[str, Logged]:
        self.tracker.look([self.study])
        self.tracker.leave()
        return self.read()

    def read(self) -> dict[str, Logged]:
        return READERS[self.tool](self.folder)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's file with an experiment and without runs."""
    folder = tmp_path_factory.mktemp("mlflow")
    _logger("mlflow", folder)
    return folder / "mlflow.db"


@pytest.fixture
def place(tmp_path: Path, tool: str, database: Path) -> Place:
    return Place(tmp_path, tool, database)


def test_a_trial_is_one_run_with_its_curves_settings_and_tags(place: Place) -> None:
    place.train("k0", 10, 20, 30)
    place.store.trial("k0").complete(RESULT)

    (run,) = place.look().values()
    assert run.curve("loss") == [(10, 0.1), (20, 0.05), (30, round(1 / 30, 5))]
    assert "val.miou" not in run.curves
    assert run.settings["config.threshold"] in (0.9, "0.9")
    assert run.scores["last.test.miou"] == pytest.approx(0.5)
    assert run.state == "finished"
    expected = {"study": NAME, "scale": "mini", "draw": "0", "replicate": "0", "seed": "3"}
    assert run.tags["key"] == "k0"
    assert run.tags.items() >= expected.items()
    assert {"row", "column"} <= run.tags.keys()


def test_the_steps_of_a_running_trial_come_as_they_are_there(place: Place) -> None:
    place.train("k0", 10)
    place.tracker.look([place.study])
    place.train("k0", 20)
    place.tracker.look([place.study])
    place.tracker.look([place.study])

    (run,) = place.look().values()
    assert [step for step, _ in run.curve("loss")] == [10, 20]
    assert run.state in ("running", "")


def test_another_process_goes_on_with_the_run(place: Place) -> None:
    place.train("k0", 10, 20)
    place.look()
    place.store.trial("k0").cut_history(10)  # as training does that resumes from a checkpoint
    place.train("k0", 20, 30)
    place.store.trial("k0").complete(RESULT)
    place.again()
    place.look()
    place.again()

    (run,) = place.look().values()
    assert [step for step, _ in run.curve("loss")] == [10, 20, 30]
    assert run.state == "finished"


def test_a_failed_trial_that_is_trained_again_is_the_same_run(place: Place) -> None:
    place.train("k0", 10)
    place.store.trial("k0").fail({"error": "Traceback\nit broke", "attempts": 3, "trial": TRIAL})
    (run,) = place.look().values()
    assert (run.state, run.error) == ("failed", "Traceback\nit broke")

    place.store.trial("k0").forget_failure()
    place.train("k0", 20, 30)
    place.again()
    (run,) = place.look().values()
    assert run.state in ("running", "failed")  # of a tool that has no state of its own
    place.store.trial("k0").complete(RESULT)

    (run,) = place.look().values()
    assert [step for step, _ in run.curve("loss")] == [10, 20, 30]
    assert run.state == "finished"


def test_trials_have_runs_of_their_own(place: Place) -> None:
    place.train("k0", 10)
    place.train("k1", 10)

    runs = place.look()
    assert sorted(run.tags["key"] for run in runs.values()) == ["k0", "k1"]
    assert sorted(run.tags["replicate"] for run in runs.values()) == ["0", "1"]


def test_nothing_is_opened_that_is_logged_already(place: Place) -> None:
    place.train("k0", 10)
    place.store.trial("k0").complete(RESULT)
    place.look()
    files = sorted(path for path in place.folder.rglob("*") if path.is_file())
    place.again()

    place.look()
    assert sorted(path for path in place.folder.rglob("*") if path.is_file()) == files


def test_what_fails_is_tried_again_after_the_others(tmp_path: Path, database: Path) -> None:
    place = Place(tmp_path, "tensorboard", database)
    place.train("k0", 10)
    place.train("k1", 10)
    blocked = place.folder / "quickstart@mini"
    place.folder.mkdir(parents=True)
    blocked.write_text("a file stands where a folder should")
    for _ in range(2):
        with pytest.raises(Exception, match="quickstart"):
            place.tracker.look([place.study])
    blocked.unlink()

    place.tracker.look([place.study])
    assert len(place.look()) == 2


def test_a_stopped_trial_says_so(place: Place) -> None:
    found = dataclasses.replace(search(("k0",)), halving=Halving())
    place.study = StoredStudy(StudyPlace(NAME, "mini"), found)
    place.train("k0", 10)
    place.tracker.look([place.study])
    stopped_trial.stop(place.store.trial("k0"), 10, {"run.finished_at": 1.79e9})

    (run,) = place.look().values()
    assert run.state == "stopped"
    assert [step for step, _ in run.curve("loss")] == [10]


@pytest.mark.parametrize("name", list(READERS))
def test_a_missing_package_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, name: str, call: Any, refused: Any
) -> None:
    monkeypatch.setitem(sys.modules, name, None)

    refused(
        call("run", "quickstart", "--logger", name),
        f"got no package {name}; pip install 'semisweep[{name}]'",
    )
    assert not Path("semisweep-store").exists()


def test_nobody_is_asked_for_a_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("WANDB_API_KEY", "NETRC", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(ConfigError, match=r"wandb login, or export WANDB_MODE=offline"):
        check_loggers(["wandb"])


def test_stores_of_every_kind_are_followed(any_place: str, tmp_path: Path) -> None:
    store, events = Store.open(any_place, create=True), tmp_path / "events"
    found = table(cell([f"k{number}" for number in range(10)]), name=NAME, scale="mini")
    studies = [StoredStudy(StudyPlace(NAME, "mini"), found)]  # more than are asked one by one
    tracker = RunTracker(lambda: _logger("tensorboard", events), store, time.time)
    folder = store.trial("k0")
    with folder.lock():
        folder.start_attempt()
        folder.describe({"format": 1, "trial": TRIAL})
        folder.append_history([{"step": 10, "loss": 0.1}])
        tracker.look(studies)
        folder.append_history([{"step": 20, "loss": 0.05}])
        tracker.look(studies)
        folder.complete({**RESULT, "run.finished_at": time.time()})
    tracker.look(studies)

    (run,) = tensorboard_runs(events).values()
    assert run.curve("loss") == [(10, 0.1), (20, 0.05)]
    assert run.state == "finished"
    assert all(0 <= time.time() - own < 60 for own in run.times)
