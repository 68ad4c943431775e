"""Exit codes of run: 1 where any study has a failed trial, whatever the others have."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from report_store import fill_search, fill_table

from semisweep import Store

Call = Callable[..., Any]
TABLE, OTHER, SEARCH = "rankmatch_agents", "rankmatch_weight", "rankmatch_search"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, tiny_shapes: Path) -> Path:
    """Return a store of two tables and a search that have finished."""
    root = tmp_path_factory.mktemp("filled") / "store"
    for name in (TABLE, OTHER):
        fill_table(root, name, tiny_shapes.parent)
    fill_search(root, tiny_shapes.parent, trials=12, confirmed=True)
    return root


def fail_one(store: Store, name: str) -> None:
    """Replace a result of a study that no other one wants by a failure."""
    keys = {own: store.read_study(own, "mini").keys for own in (TABLE, OTHER, SEARCH)}  # type: ignore[union-attr]
    key = min(set(keys.pop(name)).difference(*keys.values()))
    (store.trial(key).path / "result.parquet").unlink()
    store.trial(key).fail({"key": key, "error": "the loss is not finite", "attempts": 1})


@pytest.mark.parametrize(
    "names",
    [some for count in (1, 2, 3) for some in itertools.permutations((TABLE, OTHER, SEARCH), count)],
    ids=" ".join,
)
def test_a_failed_trial_of_any_study_makes_the_exit_code(
    call: Call, filled: Path, tiny_shapes: Path, tmp_path: Path, names: tuple[str, ...]
) -> None:
    """In whatever order, of a search too; every study is shown all the same."""
    for failing in (OTHER, SEARCH, None):
        root = tmp_path / f"{failing}"
        shutil.copytree(filled, root)
        if failing:
            fail_one(Store.open(root), failing)
        said = call("run", *names, "--store", root, "--data", f"shapes={tiny_shapes}")

        assert said.code == (1 if failing in names else 0), said.error
        assert said.out.count("table: ") == len(names)
        assert said.error.count("failed: ") == (1 if failing in names else 0)
