"""A real sweep that is killed and goes on, while it is logged to all tools at once."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import driving
import optuna
import pytest
from logged import mlflow_runs, tensorboard_runs, wandb_runs

from semisweep.data.shapes import make
from semisweep.tracking.tensorboard_events import _last_steps

pytestmark = [pytest.mark.ray, pytest.mark.slow]
CRASH = Path(__file__).parent.parent / "crash"
LOSS = "network.loss"
EVALUATED = list(range(3, 61, 3))


class Sweep:
    """A study that is run in processes of their own."""

    def __init__(self, folder: Path, study: str, *options: str) -> None:
        data = make(folder / "shapes", train=24, val=4, test=4, size=32)
        (folder / "ledger").touch()
        more = {"OMP_NUM_THREADS": "1", "WANDB_MODE": "offline", "MLFLOW_TRACKING_URI": ""}
        self.environment = driving.environment(CRASH, folder / "ledger", **more)
        arguments = ["run", study, "--store", "store", "--data", f"shapes={data}", "--slots", "1"]
        self.command, self.folder = driving.command(*arguments, *options), folder

    def start(self) -> driving.Driver:
        return driving.Driver(self.command, self.folder, self.environment)

    def kill(self, driver: driving.Driver) -> None:
        driver.send(signal.SIGKILL)
        driver.wait()
        driver.end_family()

    def finish(self) -> str:
        driver = self.start()
        assert driver.wait() == 0, driver.errors
        told = [line.strip() for line in driver.errors.splitlines()]
        assert not [line for line in told if line.startswith("warning:")], driver.errors
        return driver.errors


def test_no_step_is_logged_twice_after_a_kill(tmp_path: Path) -> None:
    options = [word for tool in ("tensorboard", "wandb", "mlflow") for word in ("--logger", tool)]
    sweep = Sweep(tmp_path, "logged_studies:two", *options)
    logs, begun = tmp_path / "semisweep-logs", time.time()
    driver = sweep.start()

    def is_amid() -> bool:
        time.sleep(0.2)
        places = {path.parent for path in logs.rglob("events.out.tfevents.*")}
        steps = [_last_steps(place).get(LOSS, 0) for place in places]
        return any(5 < own < 50 for own in steps) and bool(mlflow_steps(logs))

    driver.until(is_amid)
    sweep.kill(driver)
    before = {name for name, steps in mlflow_steps(logs).items() if steps}
    assert before, "nothing had been logged when the sweep was killed"
    sweep.finish()

    found = {
        "tensorboard": tensorboard_runs(logs / "tensorboard"),
        "wandb": wandb_runs(logs / "wandb"),
        "mlflow": mlflow_runs(logs / "mlflow"),
    }
    for tool, runs in found.items():
        assert len(runs) == 2, tool
        for run in runs.values():
            assert [step for step, _ in run.curve(LOSS)] == EVALUATED, tool
            assert [step for step, _ in run.curve("val.miou")] == EVALUATED, tool
            assert run.state == "finished", tool
            assert sorted(run.times) == run.times, tool
            assert begun < run.times[0] < run.times[-1] < time.time(), tool
            assert "last.test.miou" in run.scores, tool
    losses = [sorted(run.curve(LOSS) for run in runs.values()) for runs in found.values()]
    assert losses[0] == losses[1] == losses[2]
    assert before <= found["mlflow"].keys()


def mlflow_steps(logs: Path) -> dict[str, list[int]]:
    """Return the logged steps of each run, if the database is there."""
    import sqlite3

    path = logs / "mlflow" / "mlflow.db"
    if not path.exists():
        return {}
    found: dict[str, list[int]] = {}
    query = (
        "select t.value, m.step from metrics m join tags t on t.run_uuid = m.run_uuid "
        "where t.key = 'semisweep.run' and m.key = 'network.loss'"
    )
    with suppress(sqlite3.OperationalError), sqlite3.connect(path) as database:
        for name, step in database.execute(query):
            found.setdefault(name, []).append(step)
    return found


def test_optuna_opens_a_search_while_it_runs_and_after_a_kill(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, "logged_studies:rates", "--optuna-storage", "rates.db")
    driver = sweep.start()
    path = tmp_path / "rates.db"

    def trials() -> list[Any]:
        time.sleep(0.2)
        with suppress(KeyError, Exception):
            storage = f"sqlite:///{path}"
            return optuna.load_study(study_name="rates@mini", storage=storage).get_trials()
        return []

    driver.until(lambda: path.exists() and any(len(t.intermediate_values) > 2 for t in trials()))
    seen = trials()
    running = [trial for trial in seen if trial.state.name == "RUNNING"]
    assert len(running) == 1
    assert running[0].datetime_start
    assert not running[0].datetime_complete
    sweep.kill(driver)
    sweep.finish()

    after = trials()
    assert [trial.number for trial in after] == [0, 1]
    assert [trial.user_attrs["key"] for trial in after[: len(seen)]] == [
        trial.user_attrs["key"] for trial in seen
    ]
    assert [trial.params for trial in after[: len(seen)]] == [trial.params for trial in seen]
    for trial in after:
        folder = tmp_path / "store" / "trials" / trial.user_attrs["key"]
        begun = (folder / "attempt-0001").stat().st_mtime
        ended = (folder / "result.parquet").stat().st_mtime
        assert trial.state.name == "COMPLETE"
        assert list(trial.intermediate_values) == EVALUATED
        assert abs(trial.datetime_start.timestamp() - begun) < 5
        assert abs(trial.datetime_complete.timestamp() - ended) < 10
    assert os.listdir(tmp_path).count("rates.db") == 1
