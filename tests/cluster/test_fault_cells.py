"""Some cells of the matrix of faults that `make test-faults` runs in whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from fault_matrix import Cell, run_cell

from semisweep.data.shapes import make

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.mark.parametrize(
    "cell",
    [Cell("device", "raises", 1), Cell("decode", "killed", 1), Cell("report", "raises", 2)],
    ids=lambda cell: f"{cell.point}-{cell.kind}-{cell.workers}",
)
def test_a_fault_of_a_worker_ends_as_promised_and_is_said(cell: Cell, tmp_path: Path) -> None:
    """A sweep that ends before a trial was taken, a failed row, and a trial that has its result."""
    data = make(tmp_path / "shapes", train=24, val=4, test=4, size=32)
    end = run_cell(cell, data)

    assert not end.wrong, end.output
