"""Commands that compute on a GPU, a process group on it, and its memory running out."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lone_group import COLLECTIVES, exercise, lone_group

from semisweep import Store, Study, evaluations, load
from semisweep.cluster.trial_execution import execute
from semisweep.core.device import advice_on, peak_memory
from semisweep.data.registry import open_dataset
from semisweep.running.cost_history import here, probe
from semisweep.running.job_sources import job_for
from semisweep.study.catalogue import find_study
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request
from semisweep.study.resolve import Splits, resolve

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("studies"),
]
SHORT = ("--set", "training.steps=6", "--set", "training.evaluations=1")
Say = Callable[..., None]


@pytest.fixture
def options(tiny_shapes: Path, tmp_path: Path) -> list[object]:
    return ["--store", tmp_path / "store", "--data", f"shapes={tiny_shapes}"]


@pytest.fixture
def debugged(call: Callable[..., Any], options: list[object], device: str) -> dict[str, Any]:
    """Train a short trial of each row in this process; return the row of the first."""
    for row in ("patient", "match"):
        said = call("debug", "gpu_studies:pair", row, *options, "--device", device, *SHORT)
        assert said.code == 0, said.error
        assert "finished: last.test.miou" in said.out
    frame = load(options[1])
    assert len(frame) == 2
    return dict(frame.iloc[0])


def test_debug_evaluate_and_predict_compute_on_the_device(
    call: Callable[..., Any],
    options: list[object],
    debugged: dict[str, Any],
    device: str,
    tiny_shapes: Path,
    tmp_path: Path,
    say: Say,
) -> None:
    dataset = open_dataset("shapes", tiny_shapes)
    image = next(tiny_shapes.rglob(f"{dataset.part('test')[0]}.jpg"))
    key, given = debugged["key"], (*options, "--device", device)

    scored = call("evaluate", key, "--part", "test", "--weights", "last", *given)
    predicted = call("predict", key, image, "--weights", "last", *given)

    assert scored.code == predicted.code == 0, scored.error + predicted.error
    (row,) = evaluations(options[1]).to_dict("records")
    again = row["miou"]
    say(
        "debug, evaluate, predict",
        device=debugged["run.device"],
        miou_of_training=debugged["last.test.miou"],
        miou_of_evaluate=again,
    )
    assert debugged["run.device"] == row["run.device"] == device
    assert abs(again - debugged["last.test.miou"]) <= 0.005
    paths = predicted.out.split()
    assert len(paths) == 2
    assert all((tmp_path / path).stat().st_size > 0 for path in paths)


def test_a_report_shows_what_arms_see_on_the_device(
    call: Callable[..., Any], options: list[object], debugged: dict[str, Any], device: str, say: Say
) -> None:
    study = find_study("gpu_studies:pair")
    assert isinstance(study, Study)
    splits = Splits(Roots(Path("."), {"shapes": Path(str(options[3]).partition("=")[2])}))
    changes = {"training.steps": 6, "training.evaluations": 1}
    found = resolve(study, "mini", splits, changes)
    Store.open(str(options[1])).write_study("pair", "mini", found.table)

    said = call("report", "gpu_studies:pair", *options, "--images", 2, "--device", device)

    assert said.code == 0, said.error
    text = Path("report.html").read_text()
    pictures = re.findall(r'alt="[^"]*mIoU ([\d.]+) in this image"', text)
    say("report --images 2", mIoU_of_pictures=" ".join(pictures))
    assert len(pictures) == 4


def test_a_plan_probes_on_the_device_and_measures_each_kind_alone(
    call: Callable[..., Any], options: list[object], device: str, tiny_shapes: Path, say: Say
) -> None:
    said = call("plan", "gpu_studies:pair", *options, *SHORT, "--probe")
    held = torch.empty(2**28, device=device)  # 1 GiB, and gone before anything is measured
    before = peak_memory(device)
    del held
    study = find_study("gpu_studies:pair")
    splits = Splits(Roots(Path("."), {"shapes": tiny_shapes}))
    trials = resolve(study, "mini", splits).trials.values()  # type: ignore[arg-type]
    found = list(probe(trials, splits, device, 1))

    assert said.code == 0, said.error
    assert "peak memory of a process, GiB" in said.out
    say(
        "plan --probe",
        kinds=len(found),
        seconds_a_trial=" ".join(f"{own.seconds:.2f}" for own in found),
        peaks_MiB=" ".join(f"{own.memory_bytes / 2**20:.1f}" for own in found),
    )
    assert [own.kind.device for own in found] == [device, device]
    for own in found:
        assert own.seconds > 40 * 0.05, "its naps alone take so long"
    if device == "cuda":
        assert here()[0] == "cuda"
        assert before >= 2**30
        assert all(2**20 < own.memory_bytes < 2**30 for own in found)


def test_a_process_group_of_one_worker_communicates_on_the_device(
    device: str, tmp_path: Path, say: Say
) -> None:
    backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
    with lone_group(backend, tmp_path):
        calls = {place: exercise(place) for place in dict.fromkeys(("cpu", device))}

    say(f"group of one, {backend}", **{place: dict(own) for place, own in calls.items()})
    for own in calls.values():
        assert set(own) == set(COLLECTIVES)


def test_running_out_of_memory_ends_in_an_error_with_advice(
    call: Callable[..., Any], options: list[object], device: str, tiny_shapes: Path, say: Say
) -> None:
    study = find_study("gpu_studies:greedy")
    store, splits = (
        Store.open(str(options[1]), create=True),
        Splits(Roots(Path("."), {"shapes": tiny_shapes})),
    )
    request = Request(roots=splits.roots, store=str(store.root))
    ((key, trial),) = resolve(study, "mini", splits).trials.items()  # type: ignore[arg-type]
    job = job_for(key, trial, store, splits, request)
    job = dataclasses.replace(job, device=device)

    with pytest.raises(RuntimeError, match="allocate") as caught:
        execute(job, lambda said: None, raise_errors=True)
    kinds = [type(caught.value).__name__]
    advice = advice_on(caught.value)
    if device == "cuda":
        error = huge_crop(call, options)
        kinds.append(type(error).__name__)
        assert advice_on(error) == advice
        assert torch.ones(2, device=device).sum().item() == 2, "the process can go on"

    say("out of memory", errors=" ".join(kinds), advice=advice)
    assert advice is not None
    assert "training.crop_pixels" in advice


def huge_crop(call: Callable[..., Any], options: list[object]) -> BaseException:
    """Return the error of a crop that does not fit the little memory that is left to it."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    room = torch.cuda.memory_reserved() + 64 * 2**20
    torch.cuda.set_per_process_memory_fraction(room / total)
    try:
        with pytest.raises(torch.OutOfMemoryError) as caught:
            call("debug", "gpu_studies:pair", "patient", *options, *SHORT, "--device", "cuda",
                 "--set", "training.crop_pixels=1024")  # fmt: skip
        return caught.value
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
