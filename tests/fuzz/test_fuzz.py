"""Some hundred of the calls that `make test-fuzz` makes by the ten thousand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent


@pytest.mark.parametrize(
    ("script", "options"),
    [("command_line.py", ("--calls", "1500")), ("store_files.py", ("--changes", "80"))],
)
@pytest.mark.timeout(600)
def test_nothing_that_is_given_ends_in_a_traceback(
    tmp_path: Path, script: str, options: tuple[str, ...]
) -> None:
    found = os.environ.get("PYTHONPATH", "")
    paths = [str(HERE.parent / "shared"), *([found] if found else [])]
    done = subprocess.run(
        [sys.executable, str(HERE / script), str(tmp_path / "folder"), *options],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " 0 wrong ends" in done.stdout
