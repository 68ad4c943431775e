"""A sweep submitted to a Ray cluster's server of jobs: `ray job submit -- semisweep run ...`.

The cluster is one head on loopback, with dashboard and metrics, started as a process of its own.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import driving
import psutil  # type: ignore[import-untyped]
import pytest

from semisweep import Store
from semisweep.cluster.connection import LOOPBACK_SWITCH
from semisweep.data.shapes import make
from semisweep.store.trial_log import read_logs

HERE = Path(__file__).parent.parent
RAY = str(Path(sys.executable).parent / "ray")
TOKEN = "6" * 64
PATIENCE = 120
pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]


class Submitted(NamedTuple):
    """What a submitted sweep did and said, and what was seen of it meanwhile."""

    code: int
    said: str
    store: Store
    metrics: str
    tasks: str
    listening: list[str]


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody has."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in held]
    for server in held:
        server.close()
    return ports


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Return a process and all below it."""
    own = psutil.Process(process.pid)
    return [own, *own.children(recursive=True)]


def addresses(processes: list[psutil.Process]) -> list[str]:
    """Return at which addresses processes listen."""
    found = []
    for process in processes:
        with suppress(psutil.Error):
            states = process.net_connections(kind="inet")
            found += [state.laddr.ip for state in states if state.status == psutil.CONN_LISTEN]
    return found


def until_it_answers(url: str, text: str = "") -> str:
    """Return what is at a URL once it answers, and has a text."""
    end = time.monotonic() + PATIENCE
    while True:
        with suppress(OSError):
            request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
            with urllib.request.urlopen(request, timeout=10) as answer:
                found: str = answer.read().decode()
            if text in found:
                return found
        assert time.monotonic() < end, f"{url} has no {text!r}"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def submitted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Submitted]:
    root = tmp_path_factory.mktemp("submitted")
    data = make(root / "data" / "shapes", train=24, val=4, test=4, size=32)
    steps = root / "steps"
    steps.mkdir()
    (steps / "hold").touch()
    (root / "ledger").touch()
    port, dashboard, metrics = free_ports(3)
    temporary = Path(tempfile.mkdtemp(prefix="ssr-", dir="/tmp"))  # short: sockets
    environment = driving.environment(HERE / "crash", root / "ledger") | {
        LOOPBACK_SWITCH: "0",
        "STEPS": str(steps),
        "OMP_NUM_THREADS": "1",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": TOKEN,
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    options = [
        "--node-ip-address=127.0.0.1",
        "--num-cpus=2",
        f"--port={port}",
        f"--dashboard-port={dashboard}",
        f"--temp-dir={temporary}",
    ]
    options += [f"--metrics-export-port={metrics}", "--dashboard-host=127.0.0.1"]
    with (root / "head").open("wb") as said:
        head = subprocess.Popen(
            [RAY, "start", "--head", "--block", *options],
            env=environment,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
    processes = []
    try:
        address = f"http://127.0.0.1:{dashboard}"
        until_it_answers(f"{address}/api/version")
        command = [sys.executable, "-m", "semisweep", "run", "cluster_studies:three"]
        command += ["--store", str(root / "store"), "--data", f"shapes={data}"]
        job = subprocess.Popen(
            [RAY, "job", "submit", "--address", address, "--", *command],
            cwd=root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        exported = until_it_answers(
            f"http://127.0.0.1:{metrics}/metrics", "ray_semisweep_trials_running"
        )
        end = time.monotonic() + PATIENCE
        while len(list(steps.glob("[0-9]"))) < 2 and time.monotonic() < end:
            time.sleep(0.1)
        tasks = subprocess.run(
            [RAY, "list", "tasks", "--address", address, "--filter", "state=RUNNING"],
            env=environment,
            capture_output=True,
            text=True,
        ).stdout
        processes = family(head)
        listening = addresses(processes)
        (steps / "hold").unlink()
        output, _ = job.communicate(timeout=PATIENCE)
        yield Submitted(
            job.returncode, output, Store.open(root / "store"), exported, tasks, listening
        )
    finally:
        processes = list({*processes, *family(head)})
        for process in reversed(processes):
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(processes, timeout=20)
        head.wait()
        shutil.rmtree(temporary, ignore_errors=True)


def test_a_submitted_sweep_runs_on_the_cluster_and_prints_its_table(submitted: Submitted) -> None:
    assert submitted.code == 0, submitted.said
    assert re.search(r"^\| steady .*\(3\)", submitted.said, re.MULTILINE)
    assert "[3/3] finished" in submitted.said
    assert len(submitted.store.finished()) == 3


def test_prometheus_gets_metrics_with_the_studys_name(submitted: Submitted) -> None:
    for name in ("finished", "failed", "running", "waiting"):
        assert re.search(
            rf'^ray_semisweep_trials_{name}{{.*study="three".*}} \d',
            submitted.metrics,
            re.MULTILINE,
        ), name


def test_running_trials_are_tasks_with_the_names_of_study_row_and_replicate(
    submitted: Submitted,
) -> None:
    assert "three: steady, 0/" in submitted.tasks, submitted.tasks


def test_all_of_it_listens_on_loopback_only(submitted: Submitted) -> None:
    assert submitted.listening
    outside = {ip for ip in submitted.listening if ip not in ("127.0.0.1", "::ffff:127.0.0.1")}
    assert not outside


def test_each_trial_has_a_log(submitted: Submitted) -> None:
    for key in submitted.store.finished():
        (text,) = read_logs(submitted.store.trial(key)).values()
        lines = [line[20:] for line in text.splitlines()]
        assert lines[0].startswith(f"attempt 1 on {socket.gethostname()}, process ")
        assert lines[1] == "from step 0 of 16 on cpu"
        assert lines[-1] == "finished"
        assert sum(line.startswith("step ") for line in lines) == 4
