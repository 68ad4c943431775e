"""The command line: what it says to good input, and to an error of our own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from resolved import cell, table

from semisweep import Store, load
from semisweep.store.compaction import compact
from semisweep.study.catalogue import study_names
from semisweep.study.named_values import method_names

Call = Callable[..., Any]
Check = Callable[..., None]

HEAVY = ("torch", "ray", "pandas", "timm", "optuna", "pyarrow", "pydantic", "numpy")

STUDY = """
from semisweep import Column, Preset, Row, Study
from semisweep import DataConfig, TrainingConfig
from semisweep_methods.supervised import Supervised
from semisweep import NetworkConfig
from {module} import Broken

network = NetworkConfig(backbone="test_resnet", output_stride=8, channels=8, pretrained=False)
study = Study(
    name="{module}_study", title="A broken method", base="broken", seeds=1,
    presets={{"mini": Preset(
        data=DataConfig(name="shapes", labelled=8),
        training=TrainingConfig(steps=2, crop_pixels=32, evaluations=1),
        config={{"network": network}}, metric="last.test.miou", metric_note="",
    )}},
    rows=[Row(name="broken", method=Broken), Row(name="whole", method=Supervised)],
    columns=[Column(name="few", set={{"mini": {{}}}})],
)
"""
METHOD = """
from semisweep_methods.supervised import Supervised


class Broken(Supervised):
    def step(self, batch, progress):
        raise KeyError("a bug of ours")
        yield
"""


def imported(*arguments: str, folder: Path) -> set[str]:
    """Return the heavy packages that a command imports, in a process of its own."""
    script = (
        "import sys; from semisweep.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        f"print('imported', *(name for name in {HEAVY!r} if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    assert imported("--help", folder=tmp_path) == set()


def test_a_table_of_what_was_run_imports_neither_torch_nor_ray(
    kept_store: Path, tmp_path: Path
) -> None:
    options = ("--scale", "paper", "--store", str(kept_store))

    assert not imported("table", "quickstart", *options, folder=tmp_path) & {
        *("torch", "ray", "pandas", "timm", "optuna")
    }


def test_a_table_from_parts_imports_no_more(described_store: Store, tmp_path: Path) -> None:
    """Of two trials in a part one is wanted, so that the other has to be filtered out."""
    compact(described_store)
    described_store.trial("newer").complete({"seed": 1, "miou": 0.5})
    own = cell({"0/0": "aa11", "1/0": "newer"})
    kept = table(own, name="quickstart", scale="paper", metric="miou")
    described_store.write_study("quickstart", "paper", kept)
    options = ("--scale", "paper", "--store", str(described_store.root))

    assert not imported("table", "quickstart", *options, folder=tmp_path) & {
        *("torch", "ray", "pandas", "timm", "optuna")
    }


@pytest.mark.parametrize(
    "command",
    ["run", "plan", "table", "status", "studies", "methods", "compact", "gc", "diff"],
)
def test_every_command_explains_itself(call: Call, command: str) -> None:
    said = call(command, "--help")

    assert said.code == 0
    assert said.out.startswith(f"Usage: semisweep {command}")


def test_no_command_shows_the_help(call: Call) -> None:
    for arguments in ([], ["data"]):
        said = call(*arguments)
        assert "Usage: semisweep" in said.out
        assert said.out.count("\n") > 5
        assert "Traceback" not in said.error


def test_a_table_shows_what_the_store_has(call: Call, kept_store: Path) -> None:
    markdown = call("table", "quickstart", "--scale", "paper", "--store", kept_store, "--notes")
    csv = call("table", "quickstart", "--scale", "paper", "--store", kept_store, "--format", "csv")

    assert markdown.code == csv.code == 0
    assert "## A table of tests (paper scale)" in markdown.out
    assert "71.6" in markdown.out
    assert "50.0" in markdown.out
    assert "it broke" in markdown.out
    assert csv.out.splitlines()[1].startswith("quickstart,")
    assert ",aaaa" in csv.out


def test_every_cell_leads_to_its_trials_and_to_a_command_that_repeats_them(
    call: Call, kept_store: Path
) -> None:
    text = call("table", "quickstart", "--store", kept_store, "--scale", "paper", "--keys").out
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[2:]]

    assert [row[:5] for row in rows if len(row) > 1] == [
        ["ours", "one", "0/0", "aaaa", "finished"],
        ["ours", "one", "0/1", "bbbb", "failed"],
    ]
    assert rows[1][5] == (
        "semisweep debug quickstart ours --column one --seed 1 --scale paper --store another-store"
    )


def test_curves_are_told_by_their_place(call: Call, kept_store: Path) -> None:
    folder = Store.open(kept_store).trial("aaaa")
    folder.append_history([{"step": 5, "val.miou": 0.25}, {"step": 10, "val.miou": 0.5}])
    arguments = ("quickstart", "--store", kept_store, "--scale", "paper", "--curve", "val.miou")
    said = call("table", *arguments)
    (folder.path / "history.jsonl").unlink()

    assert said.out.splitlines() == [
        "study,row,column,replicate,key,step,val.miou",
        "quickstart,ours,one,0/0,aaaa,5,0.25",
        "quickstart,ours,one,0/0,aaaa,10,0.5",
    ]


def test_curves_of_losses_are_of_every_row_and_those_of_scores_of_evaluations(
    call: Call, kept_store: Path
) -> None:
    folder = Store.open(kept_store).trial("aaaa")
    rows = [{"step": step, "student.loss": step / 8} for step in (1, 2)]
    folder.append_history([*rows, {"step": 3, "student.loss": 0.5, "val.miou": 0.25}])
    arguments = ("quickstart", "--store", kept_store, "--scale", "paper", "--curve")
    losses = call("table", *arguments, "student.loss").out.splitlines()
    scores = call("table", *arguments, "val.miou").out.splitlines()
    (folder.path / "history.jsonl").unlink()

    assert [line.rpartition("aaaa,")[2] for line in losses[1:]] == ["1,0.125", "2,0.25", "3,0.5"]
    assert [line.rpartition("aaaa,")[2] for line in scores[1:]] == ["3,0.25"]


def test_a_terminal_gets_a_drawn_table(
    call: Call, kept_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semisweep.cli.table.in_terminal", lambda: True)
    shown = call("table", "quickstart", "--store", kept_store, "--scale", "paper").out
    plain = call("table", "quickstart", "--store", kept_store, "--scale", "paper", "--format",
                 "markdown").out  # fmt: skip

    assert "─" * 20 in shown
    assert "| ours " not in shown
    assert "71.6" in shown
    assert "| ours " in plain


def test_status_counts_the_trials_of_every_study(call: Call, kept_store: Path) -> None:
    said = call("status", "--store", kept_store)

    assert said.code == 0
    assert said.out.splitlines()[1].split() == [
        *("quickstart", "paper", "1", "1", "0", "0", "complete")
    ]


@pytest.fixture
def described_store(tmp_path: Path) -> Store:
    """Two trials that differ in a field of the configuration, their score and their time."""
    store = Store.open(tmp_path / "described", create=True)
    for key, weight in (("aa11", 0.1), ("ab22", 0.2)):
        trial = {"method": "a:A", "config": {"weight": weight, "name": f"w{weight}"}, "seed": 0}
        identity = {"method": "a:A", "config": {"weight": weight}, "seed": 0}
        folder = store.trial(key)
        folder.describe({"key": key, "trial": trial, "identity": identity})
        folder.write_weights("last", 1, b"weights")
        folder.complete({"seed": 0, "miou": 5 * weight, "run.seconds": 10 * weight})
    return store


def test_diff_shows_what_differs_identity_first_and_volatile_last(
    call: Call, described_store: Store
) -> None:
    said = call("diff", "aa", "ab", "--store", described_store.root)
    lines = [line.split() for line in said.out.splitlines()]

    assert said.code == 0
    assert lines[0] == ["aa11", "ab22"]
    assert [line[0] for line in lines[1:]] == [
        *("identity:", "config.weight", "configuration:", "config.name", "result:", "miou"),
        *("volatile:", "run.seconds"),
    ]
    assert lines[2] == ["config.weight", "0.1", "0.2"]
    same = call("diff", "aa11", "aa", "--store", described_store.root)
    assert same.out.count(": equal") == 4


def test_the_start_of_a_key_must_be_of_one_trial(
    call: Call, refused: Check, described_store: Store
) -> None:
    options = ("--store", described_store.root)

    refused(call("diff", "a", "aa", *options), "key='a'", "aa11, ab22", "give more of it")
    refused(call("diff", "aa", "c", *options), "key='c'", "none")


def test_a_store_is_compacted_and_gives_the_same(call: Call, described_store: Store) -> None:
    before = load(described_store)

    said = call("compact", "--store", described_store.root)
    again = call("compact", "--store", described_store.root)

    assert said.code == again.code == 0
    assert said.out.splitlines()[0] == "results       2 trials in 1 parts; 1 written, 0 removed"
    assert again.out.splitlines()[0] == "results       2 trials in 1 parts; 0 written, 0 removed"
    assert load(described_store).equals(before)


def test_gc_frees_what_no_study_wants_and_only_says_so_when_dry(
    call: Call, described_store: Store
) -> None:
    options = ("--store", described_store.root)
    weights = sorted(described_store.root.glob("trials/*/weights-*"))
    described_store.write_study("mine", "mini", table(cell(["aa11"])))

    dry = call("gc", "--dry-run", *options)
    assert sorted(described_store.root.glob("trials/*/weights-*")) == weights
    said = call("gc", *options)

    assert dry.code == said.code == 0
    assert "would free 1 files" in dry.out
    assert "freed 1 files" in said.out
    assert "study mine@mini" in said.out
    assert sorted(described_store.root.glob("trials/*/weights-*")) == weights[:1]
    assert len(load(described_store)) == 2


def test_reading_a_store_imports_neither_torch_nor_ray(
    described_store: Store, tmp_path: Path
) -> None:
    compact(described_store)
    described_store.trial("newer").complete({"seed": 1})
    options = ("--store", str(described_store.root))

    for command in (("gc", "--dry-run"), ("diff", "aa", "ab"), ("status",)):
        found = imported(*command, *options, folder=tmp_path)
        assert not found & {"torch", "ray", "pandas", "timm", "optuna"}, command


def test_studies_and_methods_are_listed(call: Call) -> None:
    listed = call("studies").out
    assert [line.split()[0] for line in listed.splitlines()] == list(study_names())
    listed = call("methods").out
    assert [line.split()[0] for line in listed.splitlines()] == list(method_names())
    assert {"supervised", "unimatch", "rankmatch"} <= set(method_names())


def test_a_method_says_where_its_values_come_from(call: Call) -> None:
    lines = call("methods", "RankMatch").out.splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line]

    assert cells[0] == ["field", "used", "symbol", "paper", "released code", "why"]
    agents = next(line for line in cells if line[0] == "agents")
    assert agents[1:3] == ["128", "N"]
    assert agents[4] == "64"
    assert "network.backbone" in [line[0] for line in cells]


def test_a_plan_counts_equal_trials_once(call: Call, tiny_shapes: Path, tmp_path: Path) -> None:
    options = ("--data", f"shapes={tiny_shapes}", "--store", tmp_path / "new")

    said = call("plan", "rankmatch_agents", "rankmatch_weight", *options)
    lines = said.out.splitlines()
    numbers = [next(word for word in line.split() if word.isdigit()) for line in lines[:5]]

    assert said.code == 0
    assert "24 trials by rankmatch_agents, rankmatch_weight at mini scale" in said.out
    assert numbers == ["24", "3", "0", "0", "21"]
    assert "kept by 21 trials when finished" in said.out
    assert "activations come on top" in said.out


def test_a_trial_can_be_debugged_and_its_result_read(
    call: Call, tiny_shapes: Path, tmp_path: Path
) -> None:
    store = tmp_path / "debugged"
    options = ("--data", f"shapes={tiny_shapes}", "--store", store)
    small = ("training.steps=2", "training.evaluations=1", "training.crop_pixels=32")
    changes = [word for change in small for word in ("--set", change)]

    said = call("debug", "rankmatch_components", "baseline", *options, *changes, "--seed", 3)
    options = (*options, "--device", "cpu")
    again = call("debug", "rankmatch_components", "baseline", *options, *changes, "--seed", 3)

    assert said.code == again.code == 0, said.error + again.error
    assert "finished: last.test.miou" in said.out
    assert "known: last.test.miou" in again.out
    frame = load(store)
    assert list(frame["seed"]) == [3]
    assert list(frame["training.steps"]) == [2]
    assert frame["key"][0] in said.out


def test_embedded_data_are_made_once_and_not_over_others(
    call: Call, refused: Check, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("kept")

    said = call("data", "make", "shapes", "--root", tmp_path / "mine")

    refused(said, "empty folder", str(tmp_path / "mine"))
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "kept"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_can_complete_names(call: Call, shell: str) -> None:
    assert f"_SEMISWEEP_COMPLETE={shell}_source" in call("completion", shell).out


def test_names_of_studies_are_completed(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "_SEMISWEEP_COMPLETE": "bash_complete",
        "COMP_WORDS": "semisweep run rankmatch_a",
        "COMP_CWORD": "2",
    }
    done = subprocess.run(
        [Path(sys.executable).with_name("semisweep")],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.stdout.split() == ["plain,rankmatch_agents"]


def test_a_bug_in_a_method_shows_its_traceback(
    process: Call, tmp_path: Path, tiny_shapes: Path
) -> None:
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "broken_method.py").write_text(METHOD)
    (tmp_path / "broken_study.py").write_text(STUDY.format(module="broken_method"))
    options = ("--store", tmp_path / "fresh", "--data", f"shapes={tiny_shapes}")

    said = process("debug", "broken_study.py:study", "broken", *options, path=modules)

    assert said.code == 1
    assert "Traceback (most recent call last)" in said.error
    assert 'broken_method.py", line 7, in step' in said.error
    assert "KeyError: 'a bug of ours'" in said.error


def test_a_compact_table_is_printed_in_each_format(
    call: Callable[..., Any], kept_store: Path
) -> None:
    shown = ("table", "quickstart", "--store", kept_store, "--scale", "paper", "--compact")

    assert "(1 of 2, 1 failed)" in call(*shown).out
    assert "\\caption{A table of tests" in call(*shown, "--format", "latex").out
    assert "<caption>A table of tests" in call(*shown, "--format", "html").out
    assert call(*shown, "--format", "csv").out.startswith('row,"')


def test_csv_for_spreadsheets_begins_with_its_mark(
    call: Callable[..., Any], kept_store: Path, refused: Callable[..., None]
) -> None:
    shown = ("table", "quickstart", "--store", kept_store, "--scale", "paper")

    assert call(*shown, "--format", "csv", "--bom").out.startswith("\ufeffstudy,paper,")
    refused(call(*shown, "--bom"), "--bom is for CSV, got format=terminal; add --format csv")
    refused(call(*shown, "--compact", "--notes"), "a compact table has no notes")
