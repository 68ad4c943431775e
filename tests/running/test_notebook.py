"""The notebook of studies/, executed by a real kernel: what a newcomer runs first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "studies" / "a_first_ablation.ipynb"
SMALL = (
    '"training.steps": 100, "training.evaluations": 2',
    '"training.steps": 4, "training.evaluations": 2',
)

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]


def test_no_outputs_are_committed() -> None:
    cells = json.loads(NOTEBOOK.read_text())["cells"]

    assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory, tiny_shapes: Path) -> Any:
    """Return the notebook as it is after all cells, with a few steps a trial; and its folder."""
    import nbformat
    from nbclient import NotebookClient

    folder = tmp_path_factory.mktemp("notebook")
    text = NOTEBOOK.read_text()
    small = text.replace(*(part.replace('"', '\\"') for part in SMALL))
    assert small != text
    notebook = nbformat.reads(small, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEMISWEEP_DATA", str(tiny_shapes.parent))
        patch.setenv("OMP_NUM_THREADS", "1")
        client = NotebookClient(
            notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": folder}}
        )
        client.execute()
    return notebook, folder


def outputs_of(notebook: Any, begins: str) -> list[dict[str, Any]]:
    """Return the contents by type of what the cell that begins so has shown."""
    (cell,) = (cell for cell in notebook.cells if cell.source.startswith(begins))
    return [output.data for output in cell.outputs if "data" in output]


def test_a_run_shows_its_progress_and_its_table(executed: Any) -> None:
    progress, table = outputs_of(executed[0], "results = ")

    assert '<progress value="9" max="9">' in progress["text/html"]
    assert progress["text/plain"].startswith("9 of 9 trials, ")
    assert table["text/html"].startswith('<section id="a_first_ablation">')
    assert table["text/plain"].startswith("## Does entropy minimisation help? (mini scale)\n")
    assert table["text/plain"].count("(3)") == 3


def test_its_trials_are_in_a_store_and_frames_show_them(executed: Any) -> None:
    (trials,) = outputs_of(executed[0], "trials = ")
    (meanings,) = outputs_of(executed[0], "semisweep.columns")

    assert trials["text/html"].count("finished") == 9
    assert "entropy:Entropy" in trials["text/plain"]
    assert "which draw of the labelled images" in meanings["text/html"]
    assert list((executed[1] / "a-first-store" / "tables").iterdir())


def test_latex_keeps_the_letters(executed: Any) -> None:
    (cell,) = (cell for cell in executed[0].cells if "to_latex" in cell.source)
    (stream,) = cell.outputs

    assert r"{}\ensuremath{\lambda} = 0.1 & " in stream.text
    assert r"\caption{Does entropy minimisation help?" in stream.text
