"""A browser beside a real sweep: every result is on the page soon after it is in the store."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import driving
import pytest
from browser import Browser, browser, executable
from dashboard_server import serving

from semisweep import Store
from semisweep.data.shapes import make

pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(executable() is None, reason="there is no Chromium on PATH"),
]
SECONDS = 2.0  # until a result is on the page, of most; the sweep itself wants the machine too
LATEST_SECONDS = 6.0
MOST_SECONDS = 200.0
STUDY, CODE = "crash_studies:handful", "crash_studies"
SHOWN = "[...document.querySelectorAll('.state.finished')].map((own) => own.parentElement.querySelector('input').value)"  # fmt: skip  # noqa: E501


def test_every_result_appears_without_reloading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, root = make(tmp_path / "shapes", train=24, val=4, test=4, size=32), tmp_path / "store"
    Store.open(root, create=True)
    command = ["run", STUDY, "--store", root, "--data", f"shapes={data}", "--slots", "1"]
    (tmp_path / "ledger").touch()
    crash = Path(__file__).parent.parent / "crash"
    environment = driving.environment(crash, tmp_path / "ledger", OMP_NUM_THREADS="1")
    monkeypatch.setenv("PYTHONPATH", environment["PYTHONPATH"])  # for pictures, of the method
    with (
        serving(root, "--data", f"shapes={data}", "--code", CODE) as address,
        browser(tmp_path / "browser") as page,
        open(tmp_path / "said", "w") as said,
        subprocess.Popen(
            [sys.executable, "-m", "semisweep", *map(str, command)],
            env=environment,
            cwd=tmp_path,
            stdout=said,
            stderr=said,
            start_new_session=True,
        ) as sweep,
    ):
        try:
            page.open(address)
            while not page.value("Boolean(document.querySelector('table.studies a'))"):
                assert sweep.poll() is None, (tmp_path / "said").read_text()
                time.sleep(0.1)
            page.value("document.querySelector('table.studies a').click()")
            page.wait("location.pathname === '/study' && window.Plotly", 20)
            page.value("window.marked = true")
            late = lateness(page, Store.open(root), sweep)
        finally:
            if sweep.poll() is None:
                os.killpg(sweep.pid, signal.SIGKILL)

        assert sweep.returncode == 0, (tmp_path / "said").read_text()
        assert page.value("window.marked") is True
        keys = list(late)[:2]
        page.open(address.partition("/?")[0] + f"/compare?key={keys[0]}&key={keys[1]}&pictures=yes")
        assert page.value("document.querySelectorAll('#pictures img').length") == 4 * (
            2 + len(keys)
        )
        assert not page.complaints
    (study,) = Store.open(root).studies()
    assert len(late) == len(Store.open(root).study_keys(*study))
    print("seconds until a result was on the page:", *(f"{own:.2f}" for own in late.values()))
    assert median(late.values()) < SECONDS
    assert max(late.values()) < LATEST_SECONDS


def lateness(page: Browser, store: Store, sweep: subprocess.Popen[bytes]) -> dict[str, float]:
    """Return how long after its file each result was on the page, until the sweep has ended."""
    late: dict[str, float] = {}
    until = time.time() + MOST_SECONDS
    while time.time() < until:
        ended = sweep.poll() is not None
        shown, now = page.value(SHOWN), time.time()
        for key in set(shown) - late.keys():
            late[key] = now - (store.trial(key).path / "result.parquet").stat().st_mtime
        if ended and late.keys() >= store.finished():
            break
        time.sleep(0.1)
    return late
