"""Bad input ends in one line and exit code 2, and touches nothing that is stored."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from semisweep import Store

Call = Callable[..., Any]
Check = Callable[..., None]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["run", "quickstrt"], ["unknown study 'quickstrt'", "did you mean quickstart?"]),
        (["plan", "quickstrt"], ["unknown study 'quickstrt'", "did you mean quickstart?"]),
        (["table", "quickstrt"], ["unknown study 'quickstrt'", "did you mean quickstart?"]),
        (["debug", "quickstrt", "x"], ["unknown study 'quickstrt'", "did you mean quickstart?"]),
        (["run", "quickstart", "--scale", "papr"], ["unknown scale 'papr'", "did you mean paper?"]),
        (["plan", "quickstart", "--scale", "papr"], ["'papr'", "did you mean paper?"]),
        (["debug", "quickstart", "RankMatch", "--scale", "papr"], ["did you mean paper?"]),
        (["run", "quickstart", "--set", "training.steps"], ["NAME=VALUE", "'training.steps'"]),
        (["run", "quickstart", "--data", "=here"], ["NAME=VALUE", "'=here'"]),
        (["run", "quickstart", "--data", "shaps=here"], ["data set 'shaps'", "shapes"]),
        (["plan", "quickstart", "--data", "shaps=here"], ["data set 'shaps'", "shapes"]),
        (["run", "quickstart", "--data", "voc=here"], ["must exist", "root=", "here"]),
        (["run", "quickstart", "--seeds", "0"], ["--seeds", "0 is not in the range"]),
        (["run", "quickstart", "--workers", "none"], ["--workers", "'none'"]),
        (["run", "quickstart", "--nonsense"], ["--nonsense"]),
        (["run"], ["STUDY"]),
        (["methods", "rankmach"], ["unknown method 'rankmach'", "did you mean rankmatch "]),
        (["debug", "quickstart", "Rankmatch"], ["unknown row", "did you mean RankMatch"]),
        (["debug", "quickstart", "RankMatch", "--column", "1"], ["unknown column", "1/16 (92)"]),
        (["debug", "quickstart", "UniMatch", "--device", "gpu"], ["torch can use", "device='gpu'"]),
        (["report", "--images", "1", "--device", "cuda:99"], ["torch can use", "'cuda:99'"]),
        (["plan", "quickstart", "--gpus", "half"], ["--gpus", "'half'"]),
        (["debug", "rankmatch_search", "x"], ["a search has no rows", "study='rankmatch_search'"]),
        (["run", "rankmatch_search", "--trials", "0"], ["--trials", "0 is not in the range"]),
        (["plan", "here.py:study"], ["the file of a study must exist", "file=here.py"]),
        (["plan", "no_such:study"], ["must be importable", "study='no_such:study'"]),
        (["plan", ":study"], ["package.module:name", "study=':study'"]),
        (["plan", "semisweep_studies.quickstart:quikstart"], ["did you mean quickstart?"]),
        (["plan", "semisweep_studies.quickstart:Row"], ["must be a Study or a Search", "Row=type"]),
        (
            ["plan", "semisweep.training.trial:FIELDS"],
            ["must be a Study or a Search", "FIELDS=tuple"],
        ),
        (["plan", "quickstart", "--gpus", "nan"], ["a number from 0 to 1024", "gpus=nan"]),
        (["run", "quickstart", "--hung-minutes", "nan"], ["a number from 0", "hung_minutes=nan"]),
        (["run", "quickstart", "--seeds", "9" * 11], ["from 1 to 1000", "seeds=99999999999"]),
        (["run", "quickstart", "--race", "--top-up"], ["--race", "--top-up"]),
        (["debug", "quickstart", "UniMatch", "--seed", "9" * 23], ["--seed", "is not in the"]),
        (["methods", "os:path"], ["must be a class of Method", "os:path="]),
        (["methods", "json:loads"], ["must be a class of Method", "json:loads="]),
        (["status", "--store", ""], ["a store must be named", "store=''"]),
        (["status", "--store", "x" * 300], ["must be usable", "File name too long"]),
        (["studies", f"{'y' * 300}.py:x"], ["File name too long"]),
        (["data", "make", "shaps", "--root", "here"], ["'shaps' is not"]),
        (["data", "check", "shaps", "--root", "here"], ["data set 'shaps'", "shapes"]),
    ],
)
def test_bad_words_end_in_one_line(
    call: Call, refused: Check, kept_store: Path, arguments: list[str], parts: list[str]
) -> None:
    takes_store = arguments[0] in ("run", "plan", "table", "debug") and len(arguments) > 1
    more = ["--store", kept_store] if takes_store else []

    refused(call(*arguments, *more), *parts)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (
            "config.network.backbone=resnt50",
            ["unknown backbone 'resnt50'", "did you mean resnet50"],
        ),
        ("config.network.weights=here.pth", ["weights", "here.pth"]),
        ("config.thresold=0.5", ["unknown field 'config.thresold'", "config.threshold"]),
        ("training.optimizer.rate=0.5", ["unknown field 'training.optimizer.rate'"]),
        ("config.threshold=1.5", ["less than or equal to 1", "config.threshold=1.5"]),
        ("config.threshold=nan", ["config.threshold='nan'"]),
        ("training.steps={[]:1}", ["training.steps='{[]:1}'"]),
        ("training.steps=b'1'", ["training.steps="]),
        (f"training.steps={'9' * 6000}", ["training.steps='9999", "..."]),
        (f"training.steps={'-' * 5000}1", ["training.steps='----", "..."]),
        ("training.steps=1e30", ["training.steps=1e+30"]),
        ("training.labelled_batch=100000", ["4096", "training.labelled_batch=100000"]),
        ("training.crop_pixels=1", ["greater than or equal to 8", "training.crop_pixels=1"]),
        ("training.crop_pixels=1000000", ["8192", "training.crop_pixels=1000000"]),
        (f"training.record_every={2**64}", ["training.record_every=18446744073709551616"]),
        ("training.epochs=3", ["--set training.epochs=null"]),
        ("training.steps=-1", ["greater than or equal to 1", "training.steps=-1"]),
        (
            "training.precision=int8",
            ["'fp32', 'tf32', 'bf16' or 'fp16'", "training.precision='int8'"],
        ),
        ("config.agents=4", ["the study itself varies", "config.agents"]),
        ("seed=3", ["must begin with config., data. or training.", "'seed'"]),
        ("data.family=mine", ["its lists on disk", "/splits/mine/", "labelled.txt"]),
        ("training.unlabelled_batch=64", ["unlabelled_batch=64", "unlabelled images="]),
    ],
)
@pytest.mark.parametrize("command", [["plan", "quickstart"], ["debug", "quickstart", "UniMatch"]])
def test_bad_fields_end_in_one_line(
    call: Call,
    refused: Check,
    kept_store: Path,
    tiny_shapes: Path,
    command: list[str],
    change: str,
    parts: list[str],
) -> None:
    said = call(*command, "--store", kept_store, "--data", f"shapes={tiny_shapes}", "--set", change)

    refused(said, *parts)


@pytest.mark.parametrize(
    ("study", "option", "parts"),
    [
        ("quickstart", ["--trials", "3"], ["--trials is for a search", "study='quickstart'"]),
        ("quickstart", ["--deterministic"], ["--deterministic is for a search"]),
        ("quickstart", ["--continue-stopped"], ["--continue-stopped is for a search"]),
        ("quickstart", ["--race", "--seeds", "2"], ["4 replicates", "--draws 8 is enough"]),
        ("rankmatch_search", ["--race"], ["a race is one of a table's rows"]),
        ("css_search", ["--set", "training.evaluations=1"], ["before the end", "evaluations=1"]),
        ("css_search", ["--set", "config.warm_up_epochs=3"], ["the study itself varies"]),
        ("segkc_sizes", ["--set", "config.senior.channels=3"], ["the study itself varies"]),
    ],
)
def test_what_a_study_cannot_be_run_with_ends_in_one_line(
    call: Call,
    refused: Check,
    kept_store: Path,
    tiny_shapes: Path,
    study: str,
    option: list[str],
    parts: list[str],
) -> None:
    place = ["--store", kept_store, "--data", f"shapes={tiny_shapes}"]

    refused(call("run", study, *place, *option), *parts)


def test_a_store_of_another_format_is_refused(call: Call, refused: Check, tmp_path: Path) -> None:
    marker = Store.open(tmp_path / "other", create=True).root / "semisweep.json"
    marker.write_text('{"format": 99}')

    for command in (["run", "quickstart"], ["plan", "quickstart"], ["table", "quickstart"]):
        said = call(*command, "--store", tmp_path / "other")
        refused(said, "format 1", "format=99", f"store={tmp_path / 'other'}")
    refused(call("status", "--store", tmp_path / "other"), "format=99")
    assert marker.read_text() == '{"format": 99}'
    assert list((tmp_path / "other").iterdir()) == [marker]


def test_a_store_that_is_a_file_is_refused(call: Call, refused: Check, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")

    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        said = call("run", "quickstart", "--store", place)
        refused(said, "a store must be writable", str(place), "a file stands where")
    assert (tmp_path / "file").read_text() == "kept"


def test_a_store_on_a_read_only_file_system_is_refused(
    call: Call, refused: Check, kept_store: Path, tmp_path: Path
) -> None:
    place = tmp_path / "mounted"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "--bind", kept_store, place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mounting is not allowed here: {mounted.stderr.decode().strip()}")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", place], check=True)
        said = call("run", "quickstart", "--store", place)
        refused(said, "a store must be writable", str(place), "Read-only file system")
        assert call("table", "quickstart", "--scale", "paper", "--store", place).code == 0
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_store_in_storage_of_another_kind_is_refused(call: Call, refused: Check) -> None:
    for command in ("run", "plan", "table"):
        said = call(command, "quickstart", "--store", "gs://bucket/store")
        refused(said, "a store must be a folder or s3://BUCKET/PREFIX", "scheme=gs")


def test_reading_commands_make_no_store(
    call: Call, refused: Check, tmp_path: Path, tiny_shapes: Path
) -> None:
    options = ("--store", tmp_path / "absent", "--data", f"shapes={tiny_shapes}")

    assert call("table", "quickstart", *options).code == 0
    assert call("plan", "quickstart", *options).code == 0
    refused(call("status", *options[:2]), "run a study first", str(tmp_path / "absent"))
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "127.0.0.1"])
def test_a_dead_address_is_refused(
    call: Call, refused: Check, kept_store: Path, address: str
) -> None:
    started = time.monotonic()
    said = call("run", "quickstart", "--store", kept_store, "--address", address)

    refused(said, f"address={address!r}")
    assert time.monotonic() - started < 10


def test_an_address_where_somebody_else_listens_is_refused(
    call: Call, refused: Check, kept_store: Path
) -> None:
    """Ray alone would wait for minutes for one that says nothing, and then end the process."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        started = time.monotonic()
        said = call("run", "quickstart", "--store", kept_store, "--address", address)

    refused(said, "a Ray cluster must answer", f"address={address!r}")
    assert time.monotonic() - started < 20


def test_a_number_of_workers_that_does_not_fit_is_refused_with_those_that_do(
    call: Call, refused: Check, kept_store: Path, tiny_shapes: Path
) -> None:
    options = ("--store", kept_store, "--data", f"shapes={tiny_shapes}")

    said = call("run", "quickstart", *options, "--workers", 3)

    refused(said, "must divide the global batches", "workers=3", "that work: 1, 2")
