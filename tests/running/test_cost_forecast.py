"""What running studies would take, and how the guess is judged afterwards."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from report_store import fill_search, fill_table
from resolved import cell, search, table

from semisweep import Store
from semisweep.running.cost_estimate import Estimate
from semisweep.running.cost_forecast import (
    at_scale,
    between,
    forecast,
    memory_here,
    problems,
    remember,
    scores,
    slots_of,
)
from semisweep.running.cost_history import (
    PROBE_IMAGES,
    disk_bytes,
    here,
    history_of,
    kind_of_trial,
    probe,
)
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request, Resources
from semisweep.study.resolve import Splits, resolve


@pytest.fixture
def asked(tmp_path: Path, tiny_shapes: Path) -> Request:
    """A request for a store in which 12 trials of RankMatch have finished."""
    root = tmp_path / "store"
    fill_table(root, "rankmatch_agents", tiny_shapes.parent)
    return Request(roots=Roots(tiny_shapes.parent), store=str(root), resources=Resources(slots=2))


def test_history_tells_of_each_finished_trial(asked: Request) -> None:
    found = history_of(Store.open(asked.store))

    assert len(found) == 12
    assert {own.kind.method for own in found} == {"semisweep_methods.rankmatch:RankMatch"}
    assert all(own.steps == 1500 and 58 <= own.seconds <= 66 for own in found)
    assert "network.backbone=test_resnet" in found[0].kind.networks


def test_a_trial_that_is_to_run_is_of_the_kind_of_those_that_did(asked: Request) -> None:
    from semisweep.study.catalogue import find_study

    resolved = resolve(find_study("rankmatch_weight"), "mini", Splits(asked.roots))  # type: ignore[arg-type]
    kinds = {kind_of_trial(trial, "cpu", 1) for trial in resolved.trials.values()}

    assert kinds == {own.kind for own in history_of(Store.open(asked.store))}


def test_what_is_left_is_estimated_and_shared_trials_count_once(asked: Request) -> None:
    found = forecast(["rankmatch_agents", "rankmatch_weight", "rankmatch_selection"], asked)

    assert (found.plan.wanted, found.studies) == (36, 3)
    assert len(found.plan.finished) == 12
    assert found.between == found.plan.shared == 6
    assert len(found.plan.missing) == 18
    guess = found.estimate
    assert (guess.known, guess.unknown, guess.slots) == (18, 0, 2)
    assert guess.device_seconds is not None
    assert guess.device_seconds.covers(18 * 62)


def test_a_search_is_estimated_by_the_trials_it_may_still_choose(
    asked: Request, tiny_shapes: Path
) -> None:
    fill_search(Path(asked.store), tiny_shapes.parent, trials=4)

    found = forecast(["rankmatch_search"], asked)

    assert (found.plan.wanted, found.suggested) == (4, 8 + 2 * 3)  # the best two again
    assert found.estimate.known == 14


def test_trainings_between_studies_are_told_from_those_within_one() -> None:
    first = table(cell(["a"]), cell(["a", "b"], row="other"))
    second, third = table(cell(["b"])), search(["c"])

    assert between([first, second, third]) == 1
    assert between([first, first, second, third]) == 3
    assert between([]) == 0


def estimated(disk_bytes: float | None = None, memory_bytes: float | None = None) -> Estimate:
    return Estimate(
        seconds=None,
        device_seconds=None,
        disk_bytes=disk_bytes,
        memory_bytes=memory_bytes,
        known=1,
        unknown=0,
        slots=2,
    )


def test_what_would_not_fit_is_told(tmp_path: Path) -> None:
    request = Request(roots=Roots(tmp_path), store=str(tmp_path / "new" / "store"))
    huge, small, most = 1e18, 3.0, 0.7 * memory_here()

    assert list(problems(estimated(disk_bytes=small, memory_bytes=small), request, "cpu")) == []
    (disk,) = problems(estimated(disk_bytes=huge), request, "cpu")
    assert disk.startswith("disk: 931322574.6 GiB wanted")
    assert str(tmp_path) in disk
    (memory,) = problems(estimated(memory_bytes=most), request, "cpu")
    assert memory.startswith("memory:")
    assert memory.endswith("--slots 1 would fit")
    assert not (tmp_path / "new").exists()


def test_too_many_slots_are_told(asked: Request) -> None:
    import dataclasses

    many = dataclasses.replace(asked, resources=Resources(slots=10_000))

    assert any(text.startswith("slots: 10000 x 1") for text in forecast(["rankmatch_weight"], many).problems)  # fmt: skip  # noqa: E501


def test_a_remembered_estimate_is_scored_once_its_trials_have_finished(
    asked: Request, tiny_shapes: Path, call: Callable[..., Any]
) -> None:
    from semisweep.study.catalogue import find_study

    store, splits = Store.open(asked.store), Splits(asked.roots)
    resolved = resolve(find_study("rankmatch_weight"), "mini", splits)  # type: ignore[arg-type]
    left = {k: t for k, t in resolved.trials.items() if not store.trial(k).finished}
    remember(store, "rankmatch_weight", left, splits, asked)
    assert scores(store) == []

    fill_table(store.root, "rankmatch_weight", tiny_shapes.parent)

    found = {score.measure: score for score in scores(store)}
    assert list(found) == ["device_seconds", "seconds"]
    rows = [store.trial(key).result(["run.device_seconds"]) or {} for key in left]
    truth = sum(float(row["run.device_seconds"]) for row in rows)
    assert found["device_seconds"].truth == pytest.approx(truth)
    assert found["device_seconds"].guess.covers(truth)
    kept = json.loads((store.root / "plans" / "0001.json").read_text())
    assert kept["keys"] == list(left)
    said = call("status", "--store", store.root)
    assert "rankmatch_weight mini, device hours" in said.out
    assert said.out.splitlines()[-1] == "1 of 2 within their ranges"  # made-up times of day


def test_folders_are_measured_while_they_have_weights(asked: Request) -> None:
    store = Store.open(asked.store)
    folder = store.trial(store.keys()[0])
    assert disk_bytes(folder.path) == 0

    folder.write_weights("last", 1500, b"x" * 1000)

    inside = sum(os.stat(entry).st_size for entry in folder.path.iterdir())
    assert disk_bytes(folder.path) == inside > 1000


def test_a_probe_times_each_kind_once(asked: Request) -> None:
    from semisweep.study.catalogue import find_study

    splits = Splits(asked.roots)
    resolved = resolve(find_study("quickstart"), "mini", splits, {"training.steps": 6})  # type: ignore[arg-type]
    trials = [t for t in resolved.trials.values() if "Supervised" in t.method]
    assert len(trials) > 1

    (found,) = probe(trials, splits, "cpu", 1)

    assert found.kind == kind_of_trial(trials[0], "cpu", 1)
    assert found.steps == 6
    assert 0 < found.seconds < 600
    assert found.memory_bytes > 50e6
    assert found.disk_bytes > 1e5


def test_the_command_prints_ranges(
    asked: Request, tiny_shapes: Path, call: Callable[..., Any]
) -> None:
    options = ("--store", asked.store, "--data", f"shapes={tiny_shapes}", "--slots", "1")
    said = call("plan", "rankmatch_weight", "rankmatch_agents", *options)

    assert said.code == 0
    lines = said.out.splitlines()
    assert lines[0] == "wanted       24 trials by rankmatch_weight, rankmatch_agents at mini scale"
    assert "3 of them between studies" in lines[1]
    assert "expected, 1 trials at a time:" in lines
    assert any(line.startswith("  device hours") and "[" in line for line in lines)


def test_all_are_the_studies_that_have_the_scale() -> None:
    mini, paper = at_scale(["all"], "mini"), at_scale(["all"], "paper")

    assert "rankmatch_lucchi" not in mini
    assert "rankmatch_lucchi" in paper
    assert len(mini) > 40
    assert at_scale(["a", "b"], "mini") == ["a", "b"]


def test_the_device_here_is_known_without_torch() -> None:
    device, count = here()

    assert device in ("cpu", "cuda")
    assert count >= 1


@pytest.fixture
def four_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine as if it had 16 cores, and GPUs of which this process may use four."""
    listed = os.listdir
    files = ["null", "nvidiactl", "nvidia-uvm", *(f"nvidia{index}" for index in range(6))]
    monkeypatch.setattr(os, "listdir", lambda at: files if at == "/dev" else listed(at))
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2,3,5")


@pytest.mark.usefixtures("four_gpus")
@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        (Resources(), ("cuda", 4)),
        (Resources(workers=2), ("cuda", 2)),
        (Resources(gpus=0.5), ("cuda", 8)),
        (Resources(gpus=0.3333), ("cuda", 12)),
        (Resources(gpus=0.125), ("cuda", 16)),  # and no more, for want of cores
        (Resources(gpus=2), ("cuda", 2)),
        (Resources(gpus=0), ("cpu", 16)),
        (Resources(gpus=0.5, slots=3), ("cuda", 3)),
    ],
)
def test_slots_are_as_many_as_gpus_and_cores_have_room_for(
    tmp_path: Path, resources: Resources, expected: tuple[str, int]
) -> None:
    request = Request(roots=Roots(tmp_path), resources=resources)

    assert slots_of(request) == expected


@pytest.mark.usefixtures("four_gpus")
def test_more_than_a_gpus_memory_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 81920\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    request = Request(roots=Roots(tmp_path), resources=Resources(gpus=0.25))
    most = 30 * 2.0**30

    (memory,) = problems(estimated(memory_bytes=most), request, "cuda")
    assert memory == (
        "memory: 120.0 GiB wanted by 4 processes on a GPU, 80.0 GiB there; --gpus 0.5 would fit"
    )
    program.write_text("#!/bin/sh\necho 1024\n")
    (memory,) = problems(estimated(memory_bytes=most), request, "cuda")
    assert memory.endswith("; make trials smaller")


@pytest.mark.usefixtures("four_gpus")
def test_the_share_of_a_gpu_is_planned_by_what_trials_were_measured_to_need(
    tmp_path: Path, tiny_shapes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from semisweep.core.config import flatten
    from semisweep.study.catalogue import find_study

    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 81920\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    splits = Splits(Roots(tiny_shapes.parent))
    found = resolve(find_study("quickstart"), "mini", splits)  # type: ignore[arg-type]
    store = Store.open(tmp_path / "store", create=True)
    request = Request(roots=splits.roots, store=str(store.root), resources=Resources(gpus="auto"))
    assert forecast(["quickstart"], request).estimate.slots == 4, "nothing is known yet"
    for key, trial in list(found.trials.items()):
        row = flatten(trial.encoded()) | {"run.device": "cuda:0", "run.workers": 1}
        if trial.seed == 0:
            peak = {"run.peak_memory_bytes": 15 * 2**30, "run.peak_reserved_bytes": 20 * 2**30}
            store.trial(key).complete(row | peak)

    assert forecast(["quickstart"], request).estimate.slots == 12


def test_a_probe_looks_at_few_images_and_multiplies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from semisweep.data.shapes import make
    from semisweep.study.catalogue import find_study
    from semisweep.training import metric

    root = make(tmp_path / "shapes", train=64, val=40, test=4, size=32)
    splits = Splits(Roots(tmp_path, {"shapes": root}))
    resolved = resolve(
        find_study("rankmatch_weight"),  # type: ignore[arg-type]
        "mini",
        splits,
        {"training.crop_pixels": 32},
    )
    trial = next(iter(resolved.trials.values()))
    asked: list[Sequence[str] | None] = []
    whole = metric.evaluate

    def counting(*arguments: Any, **named: Any) -> Any:
        asked.append(named["ids"])
        return whole(*arguments, **named)

    monkeypatch.setattr(metric, "evaluate", counting)
    (found,) = probe([trial], splits, "cpu", 1)

    assert [len(ids or ()) for ids in asked] == [1, PROBE_IMAGES]
    assert found.seconds > 0
