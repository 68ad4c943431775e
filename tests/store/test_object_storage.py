"""Stores in object storage: what is refused, processes that race, die, hang and have odd clocks.

Every test talks to a real S3 server, in a process of its own.
"""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from semisweep import Store, export, history, load
from semisweep.core.errors import StoreError
from semisweep.store import object_requests, object_storage
from semisweep.store.object_storage import ObjectPath

if TYPE_CHECKING:
    from object_storage import ObjectStorage
from resolved import cell, table


@pytest.fixture
def store(s3: ObjectStorage) -> Store:
    return Store.open(s3.new(), create=True)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_requests, "PATIENCE_SECONDS", 0.3)


# Objects


def test_objects_are_made_read_listed_and_removed(s3: ObjectStorage) -> None:
    place = ObjectPath.parse(s3.new() + "/a")
    odd = "search%2Frate:x@mini.json"
    large = os.urandom(object_storage.CHUNK_BYTES + 5)

    (place / odd).write_bytes(b"one")
    (place / "below" / "deep").write_bytes(large)

    assert (place / odd).read_bytes() == b"one"
    assert (place / "below" / "deep").read_bytes() == large
    assert {(entry.name, entry.is_dir()) for entry in place.children()} == {
        (odd, False),
        ("below", True),
    }
    assert {name: found.st_size for name, found in place.below().items()} == {
        odd: 3,
        "below/deep": len(large),
    }
    assert place.exists()
    assert not place.is_file()
    assert not (place / "bel").exists()
    before = (place / odd).stat()
    (place / odd).write_bytes(b"two")
    assert (place / odd).stat().version != before.version
    for _ in range(2):
        (place / odd).unlink()
    with pytest.raises(FileNotFoundError):
        (place / odd).read_bytes()


def test_an_object_is_created_once(s3: ObjectStorage) -> None:
    path = ObjectPath.parse(s3.new()) / "one"

    assert [path.create(data) for data in (b"mine", b"yours", b"mine")] == [True, False, False]
    assert path.read_bytes() == b"mine"


def test_a_creation_whose_answer_was_lost_is_known_as_ones_own(
    s3: ObjectStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_requests, "FIRST_PAUSE_SECONDS", 0.01)
    place = ObjectPath.parse(s3.new())
    s3.faults(0.6, seed=1)

    assert all((place / str(number)).create(b"mine %d" % number) for number in range(8))
    assert not any((place / str(number)).create(b"yours") for number in range(8))


# What is refused


@pytest.mark.parametrize("url", ["s3://", "s3:///a", "s3://a?b=c", "s3://a/../b", "s3://a b/c"])
def test_what_is_no_url_of_object_storage_is_refused(url: str) -> None:
    with pytest.raises(StoreError, match=r"must be s3://BUCKET/PREFIX"):
        Store.open(url)


def test_credentials_in_a_url_are_refused_and_not_repeated() -> None:
    with pytest.raises(StoreError, match="must be in the environment") as caught:
        Store.open("s3://AKIA:hidden@bucket/prefix")

    assert "hidden" not in str(caught.value)


def test_a_store_that_is_not_there_is_not_made_by_reading(s3: ObjectStorage) -> None:
    url = s3.new()

    assert not Store.exists(url)
    with pytest.raises(StoreError, match=f"no store at {url}; run a study first"):
        load(url)
    assert ObjectPath.parse(url).below() == {}


def test_a_made_store_can_be_opened_again(s3: ObjectStorage) -> None:
    url = s3.new()
    made = Store.open(url, create=True)

    assert Store.exists(url)
    assert Store.open(Path(url)) == Store.open(url + "/") == Store.open(url, create=True) == made
    assert str(made.root) == url
    assert list(made.root.below()) == ["semisweep.json"]  # type: ignore[union-attr]


def test_a_bucket_that_is_not_there_is_named(
    s3: ObjectStorage, call: Callable[..., Any], refused: Any
) -> None:
    refused(call("status", "--store", "s3://absent/x"), "s3://absent/x", "make the bucket")


def test_storage_that_does_not_answer_is_one_line_without_secrets(
    s3: ObjectStorage, monkeypatch: pytest.MonkeyPatch, impatient: None
) -> None:
    secret = os.environ["AWS_SECRET_ACCESS_KEY"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://me:{secret}@127.0.0.1:1")

    with pytest.raises(StoreError) as told:
        Store.open("s3://tests/x")

    for part in ("store=s3://tests/x", "at http://127.0.0.1:1", "no connection", "ENDPOINT_URL"):
        assert part in str(told.value)
    assert secret not in str(told.value)


def test_storage_that_overlooks_conditions_is_refused(s3: ObjectStorage) -> None:
    """Two processes could both complete a trial there."""
    url = s3.new()
    s3.ask("PUT", "careless?on=1")

    with pytest.raises(StoreError, match="If-None-Match"):
        Store.open(url, create=True)
    assert ObjectPath.parse(url).below() == {}


def test_secrets_are_nowhere_in_a_store(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), store.trial("aa").lock():
        store.trial("aa").describe({"format": 1})
        store.trial("aa").complete({"seed": 1})

    assert isinstance(store.root, ObjectPath)
    contents = b"".join((store.root / name).read_bytes() for name in store.root.below())
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"):
        assert os.environ[name].encode() not in contents + caplog.text.encode()


def test_a_reader_of_storage_that_fails_has_no_answer_rather_than_a_wrong_one(
    s3: ObjectStorage, store: Store, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        store.trial(f"k{number}").complete({"seed": number})
    s3.faults(1.0, only="refused")

    for ask in (load, history, export, Store.finished, Store.failures, Store.keys):
        with pytest.raises(StoreError, match="object storage must answer"):
            ask(store)  # type: ignore[operator]
    s3.faults(0.3)
    monkeypatch.setattr(object_requests, "PATIENCE_SECONDS", 30)
    monkeypatch.setattr(object_requests, "FIRST_PAUSE_SECONDS", 0.01)
    assert list(load(store)["seed"]) == [0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9]


# Processes


def python(code: str, *arguments: object, seconds: float = 1.0) -> subprocess.Popen[str]:
    """Start a process that waits for a line once it has printed "ready"."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "SEMISWEEP_LEASE_SECONDS": str(seconds)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    assert line(process) == "ready"
    return process


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


RACER = """
import sys
from semisweep import Store

store, number = Store.open(sys.argv[1]), int(sys.argv[2])
store.trial(f"warm{number}").complete({})  # so that both have imported everything
print("ready", flush=True)
input()
for index in range(50):
    print(int(store.trial(f"k{index}").complete({"winner": number})), flush=True)
"""


def test_of_two_processes_that_complete_a_trial_exactly_one_does(store: Store) -> None:
    racers = [python(RACER, store.root, number) for number in (0, 1)]
    for racer in racers:
        go(racer)
    won = [racer.communicate()[0].split() for racer in racers]

    frame = load(store, columns=["winner"]).set_index("key")
    assert len(won[0]) == len(won[1]) == 50
    for index, pair in enumerate(zip(*won, strict=True)):
        assert sorted(pair) == ["0", "1"]
        assert frame.loc[f"k{index}", "winner"] == int(pair[1])
    assert len(frame) == 52


# A trial of two steps, as `execute` does one; what it says was written goes to a pipe at once.
TRIAL = """
import os, signal, sys
from semisweep.store import object_requests
from semisweep.store.object_storage import ObjectPath
from semisweep import Store

def train(store, key, say):
    trial = store.trial(key)
    with trial.lock():
        if trial.finished:
            trial.clean()
            return say("known")
        attempt = trial.start_attempt()
        trial.describe({"format": 1})
        found = trial.read_checkpoint()
        step = found[0] if found else 0
        if found:
            assert found[1] == b"state %d" % step
            assert trial.read_weights("best", step) == b"best %d" % step
        say(f"from {step}")
        trial.rewind(step)
        while step < 2:
            step += 1
            trial.write_weights("best", step, b"best %d" % step)
            trial.append_history([{"step": step}])
            trial.write_checkpoint(step, b"state %d" % step)
            say(f"step {step}")
        won = trial.complete({"seed": 1, "last.test.miou": 0.5, "run.attempts": attempt})
        say(f"won {int(won)}")
"""

KILLED_AT = (
    TRIAL
    + """
from semisweep.store.result_file import encode_row

encode_row({"seed": 1})  # what all would do again
left = 0
for name in ("write_bytes", "create", "unlink", "remove", "copy"):
    def counted(*arguments, original=getattr(ObjectPath, name), **named):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **named)
    setattr(ObjectPath, name, counted)


def forked(key, moment, descriptor):
    global left
    child = os.fork()
    if not child:
        left = moment
        with os.fdopen(descriptor, "w", buffering=1) as pipe:
            train(Store.open(sys.argv[1]), key, lambda text: pipe.write(text + "\\n"))
        os._exit(0)
    return child


def run(moments):  # side by side, as most of it is waiting for leases to end
    said = {}
    for round in (0, 1, 2):
        children = {}
        for moment in moments if round < 2 else [m for m in moments if m % 3 == 0]:
            said.setdefault(moment, [])
            read, write = os.pipe()
            left = (moment, moment // 2 + 1 if moment % 3 == 0 else 0, 0)[round]
            children[moment] = forked(f"k{moment}", left, write), read
            os.close(write)
        for moment, (child, read) in children.items():
            with os.fdopen(read) as pipe:
                lines = pipe.read().split("\\n")[:-1]
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            said[moment].append((code, lines))
    return said

print("ready", flush=True)
input()
first, size = 1, 8
while True:
    said = run(range(first, first + size))
    for moment, rounds in said.items():
        import json
        print(json.dumps([moment, rounds]), flush=True)
    if any(rounds[0][0] == 0 for rounds in said.values()):
        break
    first += size
"""
)


def test_a_trial_killed_before_any_of_its_writes_goes_on_or_has_finished(store: Store) -> None:
    """Killed at a write, some again in the next attempt, and then left in peace."""
    with python(KILLED_AT, store.root, seconds=0.4) as process:
        go(process)
        assert process.stdout is not None
        found = [json.loads(text) for text in process.stdout]
    finished = load(store, columns=["last.test.miou"])

    killed = 0
    for moment, rounds in found:
        killed += rounds[0][0] == -signal.SIGKILL
        written = [0]
        for _, said in rounds:
            start = [int(text.split()[1]) for text in said if text.startswith("from")]
            assert not start or start[0] >= written[-1], (moment, rounds)
            written += [int(text.split()[1]) for text in said if text.startswith("step")]
        wins = [text for _, said in rounds for text in said if text == "won 1"]
        assert len(wins) <= 1, (moment, rounds)
        assert rounds[-1][0] == 0, (moment, rounds)
        assert rounds[-1][1][-1:] in (["won 1"], ["known"]), (moment, rounds)
        trial = store.trial(f"k{moment}")
        assert [row.step for row in trial.evaluations()] == [1, 2], (moment, rounds)
        assert trial.read_weights("best") == b"best 2"
        names = trial.path.below()  # type: ignore[union-attr]
        assert not [name for name in names if "checkpoint-" in name], (moment, rounds)
    assert killed > 12
    assert list(finished["last.test.miou"]) == [0.5] * len(found)


HOLDER = (
    TRIAL
    + """
import time
shift = float(sys.argv[3])
time.time = lambda original=time.time: original() + shift * 3600
trial = Store.open(sys.argv[1]).trial(sys.argv[2])
with trial.lock():
    trial.start_attempt()
    trial.rewind(0)
    trial.append_history([{"step": 1}])
    trial.write_weights("best", 1, b"best 1")
    trial.write_checkpoint(1, b"state 1")
    print("ready", flush=True)
    input()
    for act in (
        lambda: trial.write_checkpoint(2, b"late"),
        lambda: trial.append_history([{"step": 2, "late": 1}]),
        lambda: trial.complete({"winner": "late"}),
    ):
        try:
            print(act(), flush=True)
        except Exception as error:
            print(type(error).__name__, flush=True)
"""
)


def test_the_right_of_a_killed_process_is_free_after_its_time_to_live(store: Store) -> None:
    """And not before, as long as it lives; wall clocks ten hours apart change nothing."""
    with python(HOLDER, store.root, "aa", -5, seconds=1) as owner:
        trial = store.trial("aa")
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            with trial.try_lock() as held:
                assert not held
            time.sleep(0.1)
        assert trial.in_training

        with python(TAKER, store.root, "aa", 5, seconds=1) as taker:
            owner.kill()
            killed = time.monotonic()
            go(taker)
            assert line(taker) == "1 1"
            waited = time.monotonic() - killed
        assert 0.5 < waited < 1 + 8
    assert trial.finished


TAKER = (
    TRIAL
    + """
import time
shift = float(sys.argv[3])
time.time = lambda original=time.time: original() + shift * 3600
trial = Store.open(sys.argv[1]).trial(sys.argv[2])
print("ready", flush=True)
input()
with trial.lock():
    trial.start_attempt()
    found = trial.read_checkpoint()
    trial.rewind(found[0])
    print(found[0], len(trial.evaluations()), flush=True)
    trial.append_history([{"step": 2}])
    trial.complete({"winner": "taker"})
"""
)


def test_a_process_that_hung_loses_what_another_took_over(store: Store) -> None:
    """SIGSTOP for longer than its lease lives; then it goes on as if nothing had been."""
    with python(HOLDER, store.root, "aa", 7, seconds=0.5) as owner:
        os.kill(owner.pid, signal.SIGSTOP)
        with python(TAKER, store.root, "aa", -7, seconds=0.5) as taker:
            go(taker)
            assert line(taker) == "1 1"
            os.kill(owner.pid, signal.SIGCONT)
            go(owner)
            assert [line(owner) for _ in range(3)][:2] == ["LeaseError", "LeaseError"]
            assert taker.wait() == 0
    trial = store.trial("aa")
    assert trial.result() == {"key": "aa", "winner": "taker"}
    assert [row.values for row in trial.evaluations()] == [{"step": 1}, {"step": 2}]


SWEEPER = (
    TRIAL
    + """
object_requests.FIRST_PAUSE_SECONDS = 0.01
store = Store.open(sys.argv[1])
print("ready", flush=True)
input()
for index in range(4):
    train(store, f"k{index}", lambda text: print(f"k{index} {text}", flush=True))
"""
)


def test_requests_that_fail_at_random_lose_and_double_nothing(
    s3: ObjectStorage, store: Store
) -> None:
    """Three processes that want the same four trials, while every fourth request goes wrong."""
    processes = [python(SWEEPER, store.root, seconds=2) for _ in range(3)]
    before = s3.ask("GET", "requests")
    s3.faults(0.25, seed=1)
    for process in processes:
        go(process)
    said = [process.communicate()[0].split("\n") for process in processes]
    s3.faults(0)
    after = s3.ask("GET", "requests")

    assert [process.returncode for process in processes] == [0, 0, 0]
    for index in range(4):
        own = [text for lines in said for text in lines if text.startswith(f"k{index} ")]
        assert own.count(f"k{index} won 1") == 1, own
        assert own.count(f"k{index} known") == 2, own
        assert [row.step for row in store.trial(f"k{index}").evaluations()] == [1, 2]
    assert after["faults"] - before["faults"] > 20
    assert len(load(store)) == 4


def test_parts_and_queries_answer_as_on_a_disk(store: Store, tmp_path: Path) -> None:
    from semisweep.store.compaction import compact

    disk = Store.open(tmp_path / "disk", create=True)
    for place in (disk, store):
        for number in range(12):
            trial = place.trial(f"k{number:02d}")
            trial.append_history([{"step": step, "loss": step / 7} for step in (1, 2)])
            if number % 4 == 3:
                trial.fail({"error": "it broke", "trial": {"seed": number}})
            elif number % 4 != 2:
                trial.complete({"seed": number, "last.test.miou": number / 13, "run.seconds": 1.0})

    def answers(place: Store) -> list[Any]:
        frames = [
            load(place),
            history(place),
            load(place, where={"seed": [1, 3]}),
            history(place, ["k02", "k04"], columns=["loss"]),
        ]
        return [*(frame.to_csv() for frame in frames), export(place), place.failures()]

    expected = answers(disk)
    assert answers(store) == expected
    done = [(item.kind, item.trials, item.parts) for item in compact(store)]
    assert done == [("results", 9, 1), ("history", 9, 1)]
    assert answers(store) == expected
    assert all(item.written == 0 for item in compact(store))

    again = store.trial("k01")
    (again.path / "result.parquet").unlink()
    again.complete({"seed": 77})
    assert list(load(store, keys=["k01"], columns=["seed"])["seed"]) == [77]
    damaged = next(iter((store.root / "results").below()))  # type: ignore[union-attr]
    (store.root / "results" / damaged).write_bytes(b"PAR1")
    assert len(load(store)) == 9
    assert io.BytesIO(export(store)).readline() == b"key,last.test.miou,seed\n"


@pytest.mark.parametrize(
    ("endpoint", "told"),
    [
        ("http://127.0.0.1:9", "AWS_ENDPOINT_URL=http://127.0.0.1:9: Connection refused"),
        ("http://me:secret@no-such-host.invalid", "=http://no-such-host.invalid: "),
        ("notaurl", "must be http://HOST or https://HOST, with :PORT"),
        ("ftp://127.0.0.1", "must be http://HOST or https://HOST"),
        ("http://host:99999", "must be http://HOST or https://HOST"),
    ],
)
@pytest.mark.parametrize("command", [("status",), ("table", "quickstart")])
def test_an_endpoint_that_is_none_is_told_soon(
    call: Callable[..., Any],
    refused: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    endpoint: str,
    told: str,
    command: tuple[str, ...],
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    began = time.monotonic()

    said = call(*command, "--store", "s3://bucket/store")

    refused(said, told)
    assert "secret" not in said.error
    assert time.monotonic() - began < object_requests.PATIENCE_SECONDS / 2


# The command line


def test_every_command_works_on_object_storage_as_on_a_disk(
    s3: ObjectStorage, call: Callable[..., Any], tiny_shapes: Path, tmp_path: Path
) -> None:
    small = ("training.steps=2", "training.evaluations=1", "training.crop_pixels=32")
    changes = [word for change in small for word in ("--set", change)]
    data = ("--data", f"shapes={tiny_shapes}")

    def said(store: object) -> list[str]:
        def ask(*arguments: object) -> str:
            found = call(*arguments, "--store", store)
            assert found.code == 0, found.error
            return str(found.out)

        for seed in (3, 4):
            ask("debug", "rankmatch_components", "baseline", *data, *changes, "--seed", seed)
        keys = list(load(str(store))["key"])
        ask("plan", "rankmatch_components", *data, *changes)
        ask("compact")
        lines = ask("evaluate", *keys, *data, "--device", "cpu").split("\n")
        again = ask("evaluate", *keys, *data, "--device", "cpu").split("\n")
        assert [f"{line}  (known)" if line else "" for line in lines] == again
        Store.open(str(store)).write_study(
            "mine", "mini", table(cell([keys[0]], published=71.6), name="mine")
        )
        return [
            *lines,
            ask("status"),
            ask("table", "mine").replace(str(store), "STORE"),
            ask("diff", *keys).split("volatile")[0],
            ask("gc", "--dry-run"),
            ask("gc"),
            ask("gc"),
            export(str(store)).decode(),
            load(str(store), columns=["seed", "last.test.miou"]).to_csv(),
            history(str(store), columns=["val.miou"]).to_csv(),
        ]

    assert said(s3.new()) == said(tmp_path / "disk")
