"""The store under races and kill -9: exactly one result, and nothing half written is read."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from semisweep import Store
from semisweep.store.trial_folder import TrialFolder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


@pytest.fixture
def trial(store: Store) -> TrialFolder:
    return store.trial("0123abcd")


def names(trial: TrialFolder, part: str = "") -> list[str]:
    return sorted(name for name in os.listdir(trial.path) if part in name)


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a process that waits for a line once it has printed "ready"."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


HOLDER = """
import sys
from pathlib import Path
from semisweep.store.trial_folder import TrialFolder

with TrialFolder(Path(sys.argv[1])).lock():
    print("ready", flush=True)
    input()
"""


def test_the_lock_of_a_killed_process_is_free(trial: TrialFolder) -> None:
    with python(HOLDER, trial.path) as process:
        process.kill()
        with trial.lock():
            assert process.wait() == -signal.SIGKILL


RACER = """
import sys
from pathlib import Path
from semisweep.store.trial_folder import TrialFolder

folder, number = Path(sys.argv[1]), int(sys.argv[2])
TrialFolder(folder / f"warm{number}").complete({})  # so that both have imported everything
print("ready", flush=True)
input()
for index in range(20):
    print(int(TrialFolder(folder / f"k{index}").complete({"winner": number})))
"""


def test_of_two_processes_that_complete_a_trial_exactly_one_does(store: Store) -> None:
    racers = [python(RACER, store.root / "trials", number) for number in (0, 1)]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
    won = [racer.communicate()[0].split() for racer in racers]

    for index, pair in enumerate(zip(*won, strict=True)):
        assert sorted(pair) == ["0", "1"]
        winner = {"key": f"k{index}", "winner": int(pair[1])}
        assert store.trial(f"k{index}").result() == winner
        assert names(store.trial(f"k{index}")) == ["result.parquet"]
    assert len(won[0]) == 20


WRITER = """
import sys
from pathlib import Path
from semisweep.store.trial_folder import TrialFolder

folder = TrialFolder(Path(sys.argv[1]))
print("ready", flush=True)
with folder.lock():
    attempt = folder.start_attempt()
    checkpoint = folder.read_checkpoint()
    step = checkpoint[0] if checkpoint else 0
    folder.rewind(step)
    while step < 60:
        step += 1
        folder.write_weights("best", step, b"weights %d" % step)
        folder.append_history([{"step": step, "text": "x" * 5000}])
        folder.write_checkpoint(step, (b"%d " % step) * 5000)
        print(step, flush=True)
    folder.complete({"seed": attempt})
"""


def invariants(trial: TrialFolder, printed: int) -> None:
    """Check what must hold at any moment after `printed` steps were reported as written."""
    if trial.finished:
        result = trial.result()
        assert result is not None
        assert printed == 60
        return
    history = [row.step for row in trial.evaluations()]
    assert history == list(range(1, len(history) + 1))
    checkpoint = trial.read_checkpoint()
    step = checkpoint[0] if checkpoint else 0
    assert step >= printed
    assert len(history) >= step
    if checkpoint:
        assert checkpoint[1] == (b"%d " % step) * 5000
        assert trial.read_weights("best", step) == b"weights %d" % step


def test_a_writer_killed_at_any_moment_leaves_a_trial_that_goes_on(
    trial: TrialFolder, caplog: pytest.LogCaptureFixture
) -> None:
    """Kills at random moments, each some steps further, then one run to the end."""
    moments = random.Random(0)
    printed, kills = 0, 5
    for attempt in range(kills + 1):
        with python(WRITER, trial.path) as process:
            if attempt < kills:
                time.sleep(moments.uniform(0, 0.08))
                process.kill()
            assert process.stdout is not None
            lines = process.stdout.read().split("\n")[:-1]
        printed = max([printed, *map(int, lines)])
        invariants(trial, printed)

    assert trial.finished
    assert trial.attempts > 2
    assert not [record for record in caplog.records if "damaged" in record.message]
    assert [row.step for row in trial.evaluations()] == list(range(1, 61))
    assert not names(trial, ".tmp")
    assert not names(trial, "checkpoint-")


KILLED_AT = """
import os, signal, sys
from pathlib import Path
from semisweep.store.trial_folder import TrialFolder

name, moment = sys.argv[2], int(sys.argv[3])
original, calls = getattr(os, name), 0

def die(*arguments, **named):
    global calls
    calls += 1
    if calls == moment:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments, **named)

folder = TrialFolder(Path(sys.argv[1]))
setattr(os, name, die)
folder.write_checkpoint(2, b"two" * 1000)
folder.append_history([{"step": 2}])
folder.complete({"seed": 1})
"""


@pytest.mark.parametrize(
    ("call", "moment"),
    [*(("fsync", moment) for moment in range(1, 7)), ("replace", 1), ("link", 1)],
)
def test_a_writer_killed_just_before_a_system_call_leaves_whole_files(
    trial: TrialFolder, call: str, moment: int
) -> None:
    """The worst moments: between writing, bringing to disk and naming."""
    trial.write_checkpoint(1, b"one" * 1000)
    trial.append_history([{"step": 1}])

    run = subprocess.run([sys.executable, "-c", KILLED_AT, trial.path, call, str(moment)])

    assert run.returncode == -signal.SIGKILL
    assert [row.step for row in trial.evaluations()] in ([1], [1, 2])
    if trial.finished:
        assert (call, moment) == ("fsync", 6)
        assert trial.result() == {"key": trial.key, "seed": 1}
    else:
        assert trial.read_checkpoint() in ((1, b"one" * 1000), (2, b"two" * 1000))
    assert trial.complete({"seed": 2}) == ((call, moment) != ("fsync", 6))
    assert names(trial) == ["history.jsonl", "result.parquet"]


def test_who_is_overtaken_while_completing_loses_without_an_error(
    trial: TrialFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first to finish clears all that is half written, that of the second included."""

    def overtaken(source: Path, target: Path) -> None:
        monkeypatch.undo()
        assert trial.complete({"winner": "first"})
        os.link(source, target)

    monkeypatch.setattr(os, "link", overtaken)

    assert not trial.complete({"winner": "second"})
    assert trial.result() == {"key": trial.key, "winner": "first"}
