"""Ctrl-C in a script that calls `semisweep.run` is a KeyboardInterrupt; the call goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(500)]

SCRIPT = """
import sys
import semisweep
from semisweep import Column, Row, Study
from semisweep_methods.supervised import Supervised
from semisweep_studies.presets import MINI

study = Study(
    name="of_a_script", title="Made in a script", presets={"mini": MINI}, base="one",
    rows=[Row(name="one", method=Supervised)],
    columns=[Column(name="few", set={"mini": {"data.labelled": 8}})],
)
options = {"data": {"shapes": sys.argv[1]}, "slots": 1, "draws": 1}
options["set"] = {"training.steps": 150, "training.evaluations": 5}
try:
    semisweep.run(study, "store", **options)
except KeyboardInterrupt:
    print("caught", len(semisweep.load("store")), flush=True)
print(semisweep.run(study, "store", **options))
"""


def test_a_script_is_interrupted_and_goes_on(tmp_path: Path, tiny_shapes: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, "script.py", str(tiny_shapes)],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not list(tmp_path.glob("store/trials/*/history*")):  # there was an evaluation
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=400)
    finally:
        process.kill()

    assert process.returncode == 0, error
    assert out.startswith("caught 0\n## Made in a script (mini scale)\n")
    assert " (1) |" in out
    assert "interrupted; what is finished is kept. To go on: run it again\n" in error
    assert error.count("1 trials to run; Ray is starting") == 2
    assert "Traceback" not in error
