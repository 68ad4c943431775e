"""The dictionary of columns is complete, and has nothing that is nowhere."""

from __future__ import annotations

import ast
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from semisweep import columns, load
from semisweep.core.errors import ConfigError
from semisweep.store.column_meanings import MEANINGS, OTHER, meaning

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
# Where columns are made that a test's own trials, on a CPU, do not have.
MAKERS = ("cluster/trial_execution.py", "core/provenance.py", "evaluation/scored_again.py")


def made_columns() -> set[str]:
    """Return every text in the makers that is a column's name."""
    found = set()
    for name in MAKERS:
        tree = ast.parse((ROOT / "platform" / "semisweep" / name).read_text())
        texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
        found |= {str(text) for text in texts if str(text).startswith(("run.", "data.", "budget."))}
    return found


def test_what_every_trial_has_is_named_and_measurements_of_methods_are_the_rest() -> None:
    import pandas as pd

    names = {*load(GOLDEN / "store_v1").columns, *made_columns()}
    names |= set(pd.read_parquet(GOLDEN / "mini_tables.parquet").columns)
    names |= {"last.val.iou.disc", "val.pixel_accuracy"}
    assert len(names) > 100

    assert {name for name in names if meaning(name) == OTHER} == {"flag"}  # of a test's method
    assert meaning("supervised") == OTHER


def test_no_rule_is_hidden_behind_another() -> None:
    for rule in MEANINGS:
        name = rule.replace("*", "x")
        first = next(known for known in MEANINGS if fnmatchcase(name, known))
        assert first == rule


def test_every_fact_of_a_run_has_a_line_of_its_own() -> None:
    runs = {name for name in made_columns() if name.startswith("run.")}

    assert len(runs) > 10
    assert runs <= MEANINGS.keys()
    assert {rule for rule in MEANINGS if rule.startswith("run.") and rule != "run.*"} <= runs


def test_a_frame_is_explained_column_by_column() -> None:
    frame = load(GOLDEN / "store_v1", columns=["seed", "last.test.miou"])
    found = columns(frame)

    assert list(found["column"]) == ["key", "status", "seed", "last.test.miou"]
    assert found["meaning"][3].startswith("mean IoU of the part")
    assert len(columns()) == len(MEANINGS)
    with pytest.raises(ConfigError, match="unknown list of columns"):
        columns("seed")
