"""A trial brought to its result in this process, and in processes that are killed on the way."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import semisweep
from semisweep import DataConfig, OptimizerConfig, Store, TrainingConfig, Trial, export
from semisweep.cluster.job import Job, Outcome
from semisweep.cluster.trial_execution import LEDGER, execute
from semisweep.core.config import replace
from semisweep.core.errors import TrainingError
from semisweep.data.registry import open_dataset
from semisweep.data.shapes import make
from semisweep.data.splits import make_split
from semisweep.store import files
from semisweep.store.trial_folder import TrialFolder
from semisweep.store.trial_log import read_logs
from semisweep.store.trial_records import TrialProgress
from semisweep.training.method_fixtures import tiny_network
from semisweep.training.trainer import from_bytes
from semisweep.training.trial import trial_key
from semisweep_methods.supervised import SupervisedConfig
from semisweep_methods.unimatch import UniMatchConfig

TRIAL = Trial(
    method="semisweep_methods.supervised:Supervised",
    config=SupervisedConfig(network=tiny_network()),
    data=DataConfig(name="shapes", labelled=8),
    training=TrainingConfig(
        steps=3,
        labelled_batch=4,
        unlabelled_batch=4,
        crop_pixels=32,
        evaluations=2,
        optimizer=OptimizerConfig(learning_rate=0.01),
    ),
    seed=0,
)
LONG = dataclasses.replace(
    TRIAL,
    method="semisweep_methods.unimatch:UniMatch",
    config=UniMatchConfig(network=tiny_network(), threshold=0.2),
    training=dataclasses.replace(TRIAL.training, steps=24, evaluations=8),
)
COLUMNS = """
key method config.network.backbone data.labelled training.optimizer.learning_rate seed
data.labelled_digest data.unlabelled_digest total_steps parameters
last.val.miou last.test.miou best.val.miou best.test.miou best.step
last.test.pixel_accuracy last.test.iou.background
source.version source.digest library.torch library.python
run.attempts run.seconds run.device_seconds run.peak_memory_bytes run.workers run.host
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("data") / "shapes", train=24, val=4, test=4, size=32)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "ledger"
    path.touch()
    monkeypatch.setenv(LEDGER, str(path))
    return path


def job_of(trial: Trial, root: Path, store: Store, **more: Any) -> Job:
    key = trial_key(trial, make_split(open_dataset("shapes", root), trial.data))
    given = {"key": key, "trial": trial.encoded(), "store": str(store.root)}
    return Job(**{**given, "data_root": str(root), **more})


def nothing(said: Mapping[str, Any]) -> None:
    """Take a report."""


def events(ledger: Path) -> list[str]:
    return [line.split()[1] for line in ledger.read_text().splitlines()]


def test_a_finished_trial_has_the_documented_columns(root: Path, store: Store) -> None:
    job = job_of(TRIAL, root, store)
    said: list[TrialProgress] = []

    outcome = execute(job, said.append)

    assert outcome == Outcome(job.key, "finished")
    row = store.trial(job.key).result()
    assert row is not None
    assert [name for name in COLUMNS.split() if row.get(name) is None] == []
    assert (row["total_steps"], row["run.attempts"], row["run.workers"]) == (3, 1, 1)
    frame = semisweep.load(store.root)
    assert list(frame["key"]) == [job.key]
    assert list(frame["status"]) == ["finished"]
    assert said[0] == TrialProgress(step=0, total_steps=3, device="cpu")
    assert [told.evaluation.step for told in said if told.evaluation] == [2, 3]


def test_the_folder_of_a_finished_trial_holds_what_further_questions_need(
    root: Path, store: Store
) -> None:
    job = job_of(TRIAL, root, store)
    execute(job, nothing)
    folder = store.trial(job.key)
    names = {name.partition("-")[0] for name in os.listdir(folder.path)}

    assert names <= {
        *("attempt", "confusion", "history.jsonl", "lock", "log", "result.parquet"),
        *("trial.json", "weights"),
    }
    assert (folder.description().identity or {})["seed"] == 0
    assert len(folder.description().fields.texts("labelled")) == 8
    assert folder.read_confusion("last-test").shape[0] == 4
    assert set(from_bytes(folder.read_weights("last"))) == set(
        from_bytes(folder.read_weights("best"))
    )


def test_a_trial_that_has_its_result_is_not_trained_again(
    root: Path, store: Store, ledger: Path
) -> None:
    job = job_of(TRIAL, root, store)
    outcomes = [execute(job, nothing) for _ in range(2)]

    assert [outcome.status for outcome in outcomes] == ["finished", "known"]
    assert events(ledger) == ["started", "training", "finished"]
    assert store.trial(job.key).attempts == 1


def test_an_error_that_users_can_mend_is_a_row_with_one_line(root: Path, store: Store) -> None:
    job = job_of(replace(TRIAL, {"training.optimizer.learning_rate": 1e30}), root, store)

    outcome = execute(job, nothing)

    assert (outcome.status, outcome.unexpected) == ("failed", False)
    failure = store.trial(job.key).failure()
    assert failure is not None
    assert failure.error == outcome.error
    assert failure.error.startswith("every loss must be finite, got network.")
    assert "\n" not in failure.error
    assert (failure.attempts, failure.trial) == (1, job.trial)
    frame = semisweep.load(store.root)
    assert list(frame["status"]) == ["failed"]
    assert list(frame["training.optimizer.learning_rate"]) == [1e30]


BROKEN = """
from semisweep_methods.supervised import Supervised

class Broken(Supervised):
    def step(self, batch, progress):
        if progress.step == 1:
            1 / 0
        yield from super().step(batch, progress)
"""


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    """Return a trial of somebody's own method, which has a fault."""
    (tmp_path / "broken_method.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)
    return dataclasses.replace(TRIAL, method="broken_method:Broken")


def test_an_error_of_ours_is_raised_and_in_the_log_and_no_row(
    root: Path, store: Store, broken: Trial, ledger: Path
) -> None:
    """Whether there is another attempt is for whoever gave the job; the trial goes on then."""
    job = job_of(broken, root, store)

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            execute(job, nothing)

    folder = store.trial(job.key)
    assert folder.failure() is None
    assert not folder.in_training
    assert folder.attempts == 2
    for text in read_logs(folder).values():
        assert f"at trial {job.key} failed" in text
        assert "Traceback (most recent call last)" in text
        assert "ZeroDivisionError: division by zero" in text
    assert events(ledger) == ["started", "training"] * 2


def test_errors_are_raised_and_no_rows_when_debugging(
    root: Path, store: Store, broken: Trial
) -> None:
    job = job_of(broken, root, store)
    diverging = replace(TRIAL, {"training.optimizer.learning_rate": 1e30})
    with pytest.raises(ZeroDivisionError):
        execute(job, nothing, raise_errors=True)
    with pytest.raises(TrainingError, match="every loss must be finite"):
        execute(job_of(diverging, root, store), nothing, raise_errors=True)

    assert store.failures() == {}


def test_other_images_than_those_of_the_plan_are_refused(
    root: Path, store: Store, tmp_path: Path
) -> None:
    other = make(tmp_path / "other", seed=7, train=24, val=4, test=4, size=32)
    job = dataclasses.replace(job_of(TRIAL, root, store), data_root=str(other))

    outcome = execute(job, nothing)

    assert outcome.status == "failed"
    assert f"at {other} must be those the sweep was planned with" in outcome.error


def test_a_trial_that_is_interrupted_leaves_a_checkpoint_and_goes_on_from_it(
    root: Path, store: Store, ledger: Path, tmp_path: Path
) -> None:
    """After three of six steps, which is no step of an evaluation."""
    trial = dataclasses.replace(TRIAL, training=dataclasses.replace(TRIAL.training, steps=6))
    job = job_of(trial, root, store)
    folder, asked = store.trial(job.key), 0

    def interrupted() -> bool:
        nonlocal asked
        asked += 1
        return asked == 2

    assert execute(job, nothing, interrupted=interrupted) == Outcome(job.key, "interrupted")
    checkpoint = folder.read_checkpoint()
    assert checkpoint is not None
    assert checkpoint[0] == 2
    assert not folder.in_training
    assert folder.failure() is None
    assert execute(job, nothing).status == "finished"
    assert events(ledger) == ["started", "training", "started", "training", "finished"]
    undisturbed = Store.open(tmp_path / "undisturbed", create=True)
    assert execute(job_of(trial, root, undisturbed), nothing).status == "finished"
    assert export(store) == export(undisturbed)


def test_a_trial_that_another_process_has_taken_over_is_busy_and_no_failure(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The taker's lease is there when the trainer, taken for dead, comes to write its result."""
    monkeypatch.setenv("SEMISWEEP_LEASES", "1")
    leased = Store.open(tmp_path / "leased", create=True)
    job = job_of(TRIAL, root, leased)
    folder = leased.trial(job.key)

    def taken(told: TrialProgress) -> None:
        own = Path(str(folder.path)) / "lease-000001.json"
        if told.evaluation:
            own.with_name("lease-000002.json").write_bytes(own.read_bytes())

    outcome = execute(job, taken)

    assert outcome.status == "busy"
    assert folder.failure() is None
    assert not folder.finished


def test_a_full_disk_is_no_failure_of_the_trial_which_goes_on_when_there_is_room(
    root: Path, mounted: Callable[..., Path]
) -> None:
    store = Store.open(mounted("-t", "tmpfs", "-o", "size=32m", "tmpfs") / "store", create=True)
    job = job_of(TRIAL, root, store)
    ballast = store.root / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(2**14))

    full = execute(job, nothing)
    assert (full.status, full.unexpected) == ("unwritable", False)
    assert "No space left on device; free some space and run again" in full.error
    assert store.failures() == {}
    ballast.unlink()
    assert execute(job, nothing).status == "finished"


def test_a_store_that_became_read_only_is_no_failure_of_the_trial(
    root: Path, store: Store, mounted: Callable[..., Path]
) -> None:
    place = mounted("--bind", str(store.root))
    if subprocess.run(["mount", "-o", "remount,ro,bind", str(place)]).returncode:
        pytest.skip("remounting read-only is not allowed here")

    outcome = execute(job_of(TRIAL, root, Store.open(place)), nothing)

    assert outcome.status == "unwritable"
    assert "Read-only file system; choose another folder" in outcome.error


RESIDENT = """
import dataclasses, os, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from semisweep.cluster.trial_execution import execute
from semisweep.running.job_sources import job_for
from semisweep.training.process_state import ProcessState
from semisweep.study.request import Request, Roots
from semisweep import Store
from semisweep.study.resolve import Splits, resolve
from weighty import weighty

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

store, splits = Store.open(sys.argv[1], create=True), Splits(Roots(Path(sys.argv[2])))
request = Request(roots=splits.roots, store=sys.argv[1])
state = ProcessState.capture()
for key, trial in resolve(weighty, "mini", splits).trials.items():
    job = job_for(key, trial, store, splits, request)
    assert execute(job, lambda said: None).status == "finished"
    state.restore()
    print(resident(), flush=True)
"""
WEIGHTY = """
import dataclasses
import torch
from crash_studies import Brief, make
from semisweep import Row

class Weighty(Brief):
    def __init__(self, config, classes, seed=0):
        super().__init__(config, classes, seed)
        self.register_buffer("ballast", torch.ones(2**18))
        self.ring = [self]

weighty = dataclasses.replace(
    make("weighty", 50), base="weighty", rows=[Row(name="weighty", method=Weighty)]
)
"""
LEFT_MEBIBYTES = 8  # by forty trials, each of which has at least three of its own in a cycle


def test_several_trials_of_one_process_leave_no_memory_behind(root: Path, tmp_path: Path) -> None:
    """Ten trials for caches and allocators to settle, and forty more."""
    (tmp_path / "weighty.py").write_text(WEIGHTY)
    path = os.pathsep.join([str(tmp_path), *sys.path])
    run = subprocess.run(
        [sys.executable, "-c", RESIDENT, str(tmp_path / "store"), str(root.parent)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    sizes = [int(line) for line in run.stdout.split()]

    assert len(sizes) == 50, run.stderr
    assert (max(sizes[-5:]) - max(sizes[5:10])) / 2**20 < LEFT_MEBIBYTES, sizes


# Imports once, and then forks a process for every job that it is given.
FORKER = """
import json, os, sys, time
import torch
torch.set_num_threads(1)
import timm
from semisweep.cluster.trial_execution import execute
from semisweep.cluster.job import Job
from semisweep.training import checkpoint_writer

def hang_in_checkpoint(number, mark):
    fsync, seen = os.fsync, []
    checkpoint_writer.CHEAP_SECONDS = 0.0  # training never waits for what is being written
    checkpoint_writer.MOST_SHARE = 1e9

    def hanging(file):
        descriptor = file if isinstance(file, int) else file.fileno()
        if "/checkpoint-" in os.readlink(f"/proc/self/fd/{descriptor}"):
            seen.append(descriptor)
            if len(seen) == number:
                open(mark, "w").close()
                time.sleep(600)
        fsync(file)

    os.fsync = hanging

print("ready", flush=True)
for line in sys.stdin:
    message = json.loads(line)
    if "wait" in message:
        print(os.waitstatus_to_exitcode(os.waitpid(message["wait"], 0)[1]), flush=True)
        continue
    child = os.fork()
    if child == 0:
        os.environ["SEMISWEEP_LEDGER"] = message["ledger"]
        os.environ["SEMISWEEP_LEASE_SECONDS"] = "1"
        if "hang" in message:
            hang_in_checkpoint(*message["hang"])
        status = execute(Job(**message["job"]), lambda said: None).status
        while status == "busy" and message.get("patient"):
            time.sleep(0.1)
            status = execute(Job(**message["job"]), lambda said: None).status
        os._exit(["finished", "known", "busy"].index(status))
    print(child, flush=True)
"""
FINISHED, KNOWN, BUSY = 0, 1, 2


class Forker:
    """A process whose children execute jobs."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", FORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        assert self._read() == "ready"

    def start(self, job: Job, ledger: Path, **more: object) -> int:
        """Return the id of a process that executes a job.

        `hang`: the number of the checkpoint whose writing hangs, and a file that then is there.
        `patient`: it waits while another process has the trial.
        """
        self._write({"job": dataclasses.asdict(job), "ledger": str(ledger), **more})
        return int(self._read())

    def wait(self, child: int) -> int:
        """Return the exit code of a process: minus the signal that ended it, if one did."""
        self._write({"wait": child})
        return int(self._read())

    def _write(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message) + "\n")

    def _read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@pytest.fixture(scope="module")
def forker() -> Iterator[Forker]:
    made = Forker()
    yield made
    made.process.communicate()


@pytest.fixture(scope="module")
def undisturbed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, Store]:
    """Return the long trial, and the store of a training of it that nothing interrupted."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    store = Store.open(tmp_path_factory.mktemp("undisturbed"), create=True)
    job = job_of(LONG, root, store)
    assert execute(job, nothing).status == "finished"
    torch.set_num_threads(threads)
    return job, store


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.002)


def trains_or_has_ended(ledger: Path, process: int, folder: TrialFolder) -> bool:
    """Return whether a process has begun to train, or has nothing left to train."""
    return f" training {process} " in ledger.read_text() or folder.finished


def same(found: TrialFolder, expected: TrialFolder) -> None:
    """Check that two trainings ended the same, bit for bit."""
    for name in ("last", "best"):
        first, second = (from_bytes(own.read_weights(name)) for own in (found, expected))
        assert list(first) == list(second)
        assert all(torch.equal(first[item], second[item]) for item in first), name
    assert str(found.evaluations()) == str(expected.evaluations())
    for name in ("last-val", "best-test"):
        assert (found.read_confusion(name) == expected.read_confusion(name)).all()


def test_a_training_killed_at_random_moments_ends_as_if_nothing_had_been(
    forker: Forker, undisturbed: tuple[Job, Store], store: Store, ledger: Path
) -> None:
    """SIGKILL at whatever the process is doing, eight times, then one run to the end."""
    job, expected = undisturbed
    job = dataclasses.replace(job, store=str(store.root))
    folder, moments, kills = store.trial(job.key), random.Random(4), 0
    for _ in range(8):
        child = forker.start(job, ledger)
        until(partial(trains_or_has_ended, ledger, child, folder))
        time.sleep(moments.uniform(0, 0.3))
        os.kill(child, signal.SIGKILL)
        kills += forker.wait(child) == -signal.SIGKILL
    assert forker.wait(forker.start(job, ledger)) in (FINISHED, KNOWN)

    assert kills >= 3
    assert folder.attempts > kills / 2
    assert events(ledger).count("finished") == 1
    same(folder, expected.trial(job.key))
    assert export(store) == export(expected)


@pytest.mark.parametrize(
    ("number", "leased"), [(1, False), (2, False), (3, False), (2, True)], ids=str
)
def test_a_training_killed_while_a_checkpoint_is_being_written_goes_on_from_the_one_before(
    forker: Forker,
    undisturbed: tuple[Job, Store],
    tmp_path: Path,
    ledger: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    leased: bool,
) -> None:
    """Training has gone on meanwhile to its last step, better weights and rows included."""
    if leased:
        monkeypatch.setenv("SEMISWEEP_LEASES", "1")
    store = Store.open(tmp_path / "hanging", create=True)
    job, expected = undisturbed
    job, mark = dataclasses.replace(job, store=str(store.root)), tmp_path / "mark"
    folder = store.trial(job.key)
    child = forker.start(job, ledger, hang=[number, str(mark)])
    until(mark.exists)
    until(lambda: len(folder.evaluations()) == 8)
    os.kill(child, signal.SIGKILL)
    forker.wait(child)

    assert not folder.finished
    checkpoint = folder.read_checkpoint()
    begun = [entry for entry in files.scan(folder.states) if entry.name.startswith("checkpoint")]
    assert sum(files.is_temporary(entry.name) for entry in begun) == 1
    assert len(begun) == number
    assert (checkpoint is None) == (number == 1)
    if checkpoint is not None:
        best = from_bytes(checkpoint[1])["best_step"]
        assert checkpoint[0] < 24
        assert folder.read_weights("best", best), "the checkpoint knows of these"
    assert forker.wait(forker.start(job, ledger, patient=True)) == FINISHED
    same(folder, expected.trial(job.key))
    assert export(store) == export(expected)
    assert not [entry for entry in files.scan(folder.states) if files.is_temporary(entry.name)]


@pytest.mark.parametrize("damage", ["one bit", "cut short", "empty"])
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(
    forker: Forker,
    undisturbed: tuple[Job, Store],
    store: Store,
    ledger: Path,
    damage: str,
) -> None:
    job, expected = undisturbed
    job = dataclasses.replace(job, store=str(store.root))
    folder = store.trial(job.key)
    child = forker.start(job, ledger)
    kept = lambda: sorted(folder.path.glob("checkpoint-*"))  # noqa: E731
    until(lambda: len(folder.evaluations()) >= 4 and len(kept()) == 2)
    os.kill(child, signal.SIGKILL)
    forker.wait(child)
    checkpoints = kept()
    assert len(checkpoints) == 2
    content = bytearray(checkpoints[-1].read_bytes())
    content[len(content) // 2] ^= 1
    left = {"one bit": len(content), "cut short": len(content) // 2, "empty": 0}[damage]
    checkpoints[-1].write_bytes(content[:left])

    assert events(ledger) == ["started", "training"]
    assert forker.wait(forker.start(job, ledger)) == FINISHED
    same(folder, expected.trial(job.key))
    assert export(store) == export(expected)


def test_of_two_processes_that_are_given_the_same_trial_exactly_one_trains(
    forker: Forker, undisturbed: tuple[Job, Store], store: Store, ledger: Path
) -> None:
    job, expected = undisturbed
    job = dataclasses.replace(job, store=str(store.root))
    children = [forker.start(job, ledger) for _ in range(2)]

    assert sorted(forker.wait(child) for child in children) == [FINISHED, BUSY]
    assert forker.wait(forker.start(job, ledger)) == KNOWN
    assert events(ledger) == ["started", "training", "finished"]
    assert export(store) == export(expected)
