"""What guides say to type is typed, in their order, on small data: each line does what it says.

Trainings are of four steps. A line that needs what a test has not is named in `WHY_NOT`, with the
tests that do the same.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from folder_files import write_folder_data
from guide_lines import files, lines

from semisweep import load
from semisweep.data.manifest_draft import draft
from semisweep.data.shapes import make

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1500)]

WHY_NOT = {
    "run rankmatch_components --address": "needs a cluster: tests/cluster and make test-cluster",
    "plan css_sources --scale paper": "needs Pascal VOC: tests/study/test_preset_options.py",
    "weights fetch methods_compared": "needs a network: tests/study/test_needed_weights.py",
    "run methods_compared --scale photo": "needs CamVid: tests/studies/test_photo.py",
    "run quickstart --scale photo": "needs CamVid: tests/studies/test_photo.py",
}
SMALL = [
    *("--set", "training.steps=4", "--set", "training.evaluations=1"),
    *("--set", "training.crop_pixels=32"),
]
TRAINS = [*SMALL, "--no-check"]
EVALUATED = ["--set", "training.steps=10", "--set", "training.evaluations=5"]  # for its rungs
BEFORE = {"table gps_updates": ["run", "gps_updates", *TRAINS]}  # what a line takes for granted
MORE = {  # what a test adds: trainings of four steps, and what a terminal would be asked
    "run css_search": [*TRAINS, *EVALUATED, "--trials", "3"],
    "export-optuna": [],
    "run rankmatch_agents": [*TRAINS, "--set", "training.crop_pixels=64", "--draws", "6"],
    "run rankmatch_weight": [*TRAINS, "--set", "training.steps=5", "--draws", "2"],
    "run": TRAINS,
    "debug": [*SMALL, "--store", "another-store"],
    "plan rankmatch_components": SMALL,
    "table rankmatch_components": SMALL,
    "table gps_updates": SMALL,
    "ablate taught.py:Taught --dry-run": SMALL,
    "ablate": [*TRAINS, "--draws", "2"],
    "table taught.py:Taught/shapley": SMALL,
    "table gps/leave-one-out": SMALL,
    "report": ["--output", "page.html"],
    "rm": ["--yes"],
}
DRAWN = {"val": 8, "test": 8}  # of the images of one's own, as the guide has it
OWN_WORDS = {"LISTS": "lists", "DIR": "mine", "IMAGE": "image.jpg"}
SHOWN = {  # the beginning of a line -> what it must print
    "studies all": "rankmatch_lucchi,RankMatch",
    "status": "rankmatch_components",
    "list": "css_search",
    "table rankmatch_components --keys": "semisweep debug rankmatch_components",
    "table rankmatch_components --compact --format latex": "\\toprule",
    "import": "1 of 1 numbers are new",
    "diff": "seed",
    "methods taught.py:Taught": "averaging=0.0",
    "ablate taught.py:Taught --dry-run": "taught.py:Taught/leave-one-out",
    "ablate taught.py:Taught --design": "selection × averaging",
    "table taught.py:Taught/shapley": "\\toprule",
    "table gps/leave-one-out": "\\toprule",
    "ablate css": "css/path, css/shapley",
    "show": "state     finished",
    "data check": "is whole",
    "store pack": " finished",
    "store merge": "nothing is new",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data of guides, small, where they are looked for."""
    root = tmp_path_factory.mktemp("newcomer")
    data = make(root / "semisweep-data" / "shapes", train=48, val=4, test=4, size=64)
    mine = write_folder_data(root / "all", parts={"train": 56}) / "train"
    shutil.move(mine, root / "mine")  # images and masks, and nothing that says more
    images = [Path(name).stem for name in draft(root / "mine", DRAWN).lists["train.txt"]]
    (root / "lists" / "8").mkdir(parents=True)
    for name, own in {"labeled": images[:8], "unlabeled": images[8:]}.items():
        (root / "lists" / "8" / f"{name}.txt").write_text("".join(f"{one}\n" for one in own))
    for name, text in files().items():
        (root / name).write_text(text)
    shutil.copy(next(data.rglob("*.jpg")), root / "image.jpg")
    (root / "results.csv").write_text(
        "study,row,column,value,scale\nrankmatch_components,baseline,1/16 (92),70.1,paper\n"
    )
    return root


def typed(folder: Path, words: list[str]) -> subprocess.CompletedProcess[str]:
    """Return how a line of a guide ended; a page that is served is left after some seconds."""
    command = [sys.executable, "-m", "semisweep", *words]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "80",
        "WANDB_MODE": "offline",
    }
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            if words[0] == "dashboard":
                assert process.stdout is not None
                first = process.stdout.readline()
                process.send_signal(signal.SIGINT)
                out, error = process.communicate(timeout=60)
                out = first + out
            else:
                out, error = process.communicate(timeout=300)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(words, process.returncode, out, error)


def filled_in(folder: Path, words: list[str]) -> list[str]:
    """Return a line with what stands for one's own keys and files, and with what a test adds."""
    keys = list(load(str(folder / "semisweep-store"))["key"]) if "KEY" in words else []
    found = [keys.pop(0) if word == "KEY" else OWN_WORDS.get(word, word) for word in words]
    found = [
        word.replace("=DIR", f"={folder / 'mine'}").replace("LISTS", "lists") for word in found
    ]
    line = " ".join(words)
    return found + next((more for start, more in MORE.items() if line.startswith(start)), [])


def test_every_line_of_the_guides_does_what_it_says(folder: Path) -> None:
    asked = {line: words for words in lines() for line in [" ".join(words)]}
    left = [line for line in asked if any(line.startswith(start) for start in WHY_NOT)]
    own = {line: words for line, words in asked.items() if line not in left}
    removed = [line for line in own if line.startswith("rm ")]  # at last
    failed = []
    for line in [*(line for line in own if line not in removed), *removed]:
        for words in (words for start, words in BEFORE.items() if line.startswith(start)):
            assert typed(folder, words).returncode == 0
        done = typed(folder, filled_in(folder, own[line]))
        wanted = [text for start, text in SHOWN.items() if line.startswith(start)]
        print(f"{line}\n{done.stdout[-600:]}\n{done.stderr[-600:]}")
        if done.returncode or any(text not in done.stdout for text in wanted):
            failed.append(f"{line}: exit {done.returncode}: {done.stderr[-600:]}")

    assert not failed, "\n".join(failed)
    assert len(left) == len(WHY_NOT)
    assert len(own) > 25
