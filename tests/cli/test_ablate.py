"""`semisweep ablate`: names of designs, their options, and what is told of wrong ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from report_store import fill_table

Call = Callable[..., Any]


def test_a_dry_run_plans_all_designs_at_once(
    call: Call, tiny_shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMISWEEP_DATA", str(tiny_shapes.parent))
    said = call("ablate", "gps", "--design", "shapley", "--design", "leave-one-out", "--dry-run",
                "--store", tmp_path / "store")  # fmt: skip

    assert said.code == 0
    assert "39 trials by gps/shapley, gps/leave-one-out" in said.out
    assert "24" in next(line for line in said.out.splitlines() if line.startswith("to run"))


def test_it_takes_all_options_of_run(call: Call) -> None:
    run, ablate = call("run", "--help").out, call("ablate", "--help").out
    options = {word for word in run.split() if word.startswith("--")}

    assert options <= set(ablate.split())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["gps", "--budget", "9"], "--budget must come with --design shapley"),
        (["gps", "--resolution", "4"], "--resolution must come with --design factorial"),
        (["gps", "--design", "no"], "'no' is not one of"),
        (["no"], "unknown study 'no/leave-one-out'"),
        (["gps", "--switches", "guide,no"], "unknown switch of GPS 'no'"),
        (["gps", "--switches", "cutmix"], "must be on in the whole method, got switch=cutmix"),
        (["supervised"], "must have a switch that is on"),
        (["gps", "--design", "cumulative", "--switches", "feedback,guide"], "feedback needs guide"),
    ],
)
def test_wrong_words_are_one_line(
    call: Call, refused: Call, tmp_path: Path, words: list[str], told: str
) -> None:
    refused(call("ablate", *words, "--dry-run", "--store", tmp_path / "store"), told)


@pytest.fixture
def filled(tmp_path: Path, tiny_shapes: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a store with made-up results of a design."""
    monkeypatch.setenv("SEMISWEEP_DATA", str(tiny_shapes.parent))
    fill_table(tmp_path / "store", "gps/shapley", tiny_shapes.parent, seeds=1)
    return tmp_path / "store"


def test_its_table_is_asked_for_by_its_name(call: Call, filled: Path) -> None:
    said = call("table", "gps/shapley", "--store", filled)
    assert said.code == 0
    assert "| guide " in said.out
    assert "full minus none" in said.out
    assert f"semisweep table gps/shapley --store {filled} --notes" in said.out

    effects = call("table", "gps/shapley", "--effects", "--format", "csv", "--store", filled)
    assert effects.out.splitlines()[1].startswith("gps/shapley,shapley,")


@pytest.mark.parametrize("command", ["list", "status"])
def test_it_is_listed(call: Call, filled: Path, command: str) -> None:
    said = call(command, "--store", filled)

    assert said.code == 0
    assert "gps/shapley" in said.out


def test_it_is_removed_with_its_tables(call: Call, filled: Path) -> None:
    call("table", "gps/shapley", "--store", filled)
    assert call("rm", "gps/shapley", "--yes", "--store", filled).code == 0

    assert not [path for path in filled.rglob("*") if "shapley" in path.name]


def test_effects_are_of_designs_alone(call: Call, refused: Call, filled: Path) -> None:
    refused(call("table", "gps_losses", "--effects", "--store", filled), "study=gps_losses",
            "semisweep ablate")  # fmt: skip
    refused(
        call("table", "gps/shapley", "--effects", "--compact", "--store", filled),
        "--compact and --effects",
    )
