"""Kept weights scored under further protocols: once, by what was trained, without training."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import pickle
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from resolved import cell, table

from semisweep import (
    DataConfig,
    OptimizerConfig,
    Store,
    TrainingConfig,
    Trial,
    evaluations,
    export,
    load,
)
from semisweep.cli.store import evaluate as command
from semisweep.cluster.job import Job
from semisweep.cluster.trial_execution import LEDGER, execute
from semisweep.core.config import encode
from semisweep.core.errors import ConfigError, DataError, SemisweepError, StoreError
from semisweep.data.augmentation import normalise
from semisweep.data.registry import open_dataset
from semisweep.data.shapes import make
from semisweep.data.splits import make_split
from semisweep.evaluation.kept_weights import kept_names, opened_trial, rebuild, weights_file
from semisweep.evaluation.rescoring import evaluate_trials, read_rows
from semisweep.store import checkpoint_file
from semisweep.store.garbage_collection import examine, free
from semisweep.study.data_roots import Roots
from semisweep.training.method_fixtures import tiny_network
from semisweep.training.protocols import Protocol, parse_protocol
from semisweep.training.trial import trial_key
from semisweep_methods.supervised import SupervisedConfig

WHOLE = Protocol()
WINDOW = Protocol(name="window", size_pixels=24)
TRIAL = Trial(
    method="semisweep_methods.supervised:Supervised",
    config=SupervisedConfig(network=tiny_network()),
    data=DataConfig(name="shapes", labelled=8),
    training=TrainingConfig(
        steps=6,
        labelled_batch=4,
        unlabelled_batch=4,
        crop_pixels=32,
        evaluations=3,
        optimizer=OptimizerConfig(learning_rate=0.02),
    ),
    seed=0,
)


class Trained(NamedTuple):
    store: Store
    key: str
    roots: Roots


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    root = make(folder / "shapes", train=24, val=5, test=3, size=32)
    store = Store.open(folder / "store", create=True)
    key = trial_key(TRIAL, make_split(open_dataset("shapes", root), TRIAL.data))
    torch.set_num_threads(1)
    job = Job(key=key, trial=TRIAL.encoded(), store=str(store.root), data_root=str(root))
    assert execute(job, lambda _: None).status == "finished"
    return Trained(store, key, Roots(folder))


@pytest.fixture
def copied(trained: Trained, tmp_path: Path) -> Trained:
    """The same trial in a store of its own, which a test may change."""
    shutil.copytree(trained.store.root, tmp_path / "store")
    return trained._replace(store=Store.open(tmp_path / "store"))


def scored(
    trained: Trained, *protocols: Protocol, **more: Any
) -> list[tuple[dict[str, Any], bool]]:
    said: list[tuple[dict[str, Any], bool]] = []

    def say(row: Mapping[str, Any], is_new: bool) -> None:
        said.append((dict(row), is_new))

    evaluate_trials(trained.store, [trained.key], protocols or (WHOLE,), trained.roots, say, **more)
    return said


def called(trained: Trained, *arguments: str) -> Result:
    roots = f"shapes={trained.roots.of('shapes')}"
    whole = [*arguments, "--store", str(trained.store.root), "--data", roots, "--device", "cpu"]
    return CliRunner().invoke(command, whole)


def test_training_and_a_later_evaluation_give_the_same_numbers(copied: Trained) -> None:
    result = copied.store.trial(copied.key).result()
    assert result is not None

    said = scored(copied)

    assert [(row["weights"], row["part"]) for row, _ in said] == [
        (weights, part) for weights in ("last", "best") for part in ("val", "test")
    ]
    for row, is_new in said:
        assert is_new
        start = f"{row['weights']}.{row['part']}."
        for name in ("miou", "pixel_accuracy", "iou.background"):
            assert row[name] == result[start + name]
        assert row["step"] == (6 if row["weights"] == "last" else result["best.step"])
        assert row["images"] == {"val": 5, "test": 3}[row["part"]]


@pytest.mark.parametrize("keep", ["last", "best"])
def test_of_one_kept_weights_both_numbers_are_known_and_these_are_scored(
    trained: Trained, tmp_path: Path, keep: str
) -> None:
    store = Store.open(tmp_path / "store", create=True)
    root = str(trained.roots.of("shapes"))
    job = Job(
        key=trained.key, trial=TRIAL.encoded(), store=str(store.root), data_root=root, keep=keep
    )
    assert execute(job, lambda _: None).status == "finished"
    own = trained._replace(store=store)
    folder = store.trial(own.key)
    names = {file.stem for file in checkpoint_file.find(folder.states)}
    said = [row for row, _ in scored(own)]

    assert names == {f"weights-{keep}"}
    assert {row["weights"] for row in said} == {keep}
    expected = trained.store.trial(trained.key).result()
    assert expected is not None
    found = folder.result()
    assert found is not None
    assert {n: v for n, v in found.items() if n.startswith(("last.", "best."))} == {
        n: v for n, v in expected.items() if n.startswith(("last.", "best."))
    }
    assert said[0]["miou"] == expected[f"{keep}.val.miou"]
    assert kept_names(folder, ("best", "last")) == [keep]


def test_a_window_scores_what_a_slow_loop_over_pixels_scores(copied: Trained) -> None:
    row = scored(copied, WINDOW, weights=["last"], parts=["val"])[0][0]

    folder = copied.store.trial(copied.key)
    trial, dataset = opened_trial(folder, copied.roots)
    method = rebuild(trial, len(dataset.classes), weights_file(folder, "last"), "cpu")
    shared, either = np.zeros(len(dataset.classes)), np.zeros(len(dataset.classes))
    for image_id in dataset.part("val"):
        image = torch.as_tensor(normalise(dataset.image(image_id)))[None]
        total = torch.zeros(len(dataset.classes), 32, 32, dtype=torch.float64)
        for top in (0, 8):
            for left in (0, 8):
                with torch.inference_mode():
                    logits = method.predict(image[..., top : top + 24, left : left + 24])
                share = logits[0].double().softmax(dim=0)
                total[:, top : top + 24, left : left + 24] += share
        guess, truth = total.argmax(dim=0).numpy(), dataset.mask(image_id)
        for name in range(len(dataset.classes)):
            own, real = (guess == name) & (truth != 255), truth == name
            shared[name] += np.count_nonzero(own & real)
            either[name] += np.count_nonzero(own | real)
    expected = float(np.mean(shared[either > 0] / either[either > 0]))

    assert row["miou"] == pytest.approx(expected, abs=1e-12)


def test_an_evaluation_is_made_once_and_changes_nothing_else(
    copied: Trained, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(LEDGER, str(tmp_path / "ledger"))
    before = (
        export(copied.store),
        {path.name for path in copied.store.trial(copied.key).path.iterdir()},
    )

    first = scored(copied, WHOLE, WINDOW)
    again = scored(copied, WINDOW, WHOLE)

    assert [is_new for _, is_new in first] == [True] * 8
    assert [is_new for _, is_new in again] == [False] * 8
    key = lambda row: row["evaluation"]  # noqa: E731
    assert sorted((row for row, _ in first), key=key) == sorted((row for row, _ in again), key=key)
    names = {path.name for path in copied.store.trial(copied.key).path.iterdir()}
    assert before[0] == export(copied.store)
    assert sorted(name.partition("-")[0] for name in names - before[1]) == ["evaluation"] * 8
    assert before[1] <= names
    assert not (tmp_path / "ledger").exists()  # nothing was trained


def test_evaluations_of_two_at_once_leave_one_row_each(copied: Trained) -> None:
    said: list[tuple[dict[str, Any], bool]] = []
    threads = [
        threading.Thread(target=lambda: said.extend(scored(copied, parts=["test"])))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(said) == 4
    assert len(read_rows(copied.store.trial(copied.key))) == 2
    assert sum(is_new for _, is_new in said) == 2
    assert not list(copied.store.root.rglob("*.tmp"))


def test_a_frame_of_evaluations_has_protocols_and_joins_with_trials(copied: Trained) -> None:
    scored(copied, WHOLE, WINDOW, parts=["val"])

    frame = evaluations(copied.store.root)

    assert list(frame.columns[:7]) == (
        ["key", "evaluation", "protocol", "weights", "part", "step", "miou"]
    )
    assert list(frame["protocol"]) == [WHOLE.text()] * 2 + [WINDOW.text()] * 2
    assert list(frame["weights"]) == ["best", "last"] * 2
    assert list(frame["protocol.size_pixels"][2:]) == [24, 24]
    assert all(parse_protocol(text).text() == text for text in frame["protocol"])
    assert frame["evaluation"].is_unique
    joined = load(copied.store).merge(frame, on="key", suffixes=("", ".later"))
    assert len(joined) == 4
    assert (joined["last.val.miou"] == joined["miou"])[joined["weights"].eq("last")].iloc[0]

    assert evaluations(copied.store, keys=["absent"]).empty
    copied.store.write_study("mine", "mini", table(cell([copied.key])))
    copied.store.write_study("other", "mini", table(cell(["absent"])))
    assert len(evaluations(copied.store, study="mine@mini")) == 4
    assert evaluations(copied.store, study="other").empty
    with pytest.raises(ConfigError, match="did you mean mine@mini"):
        evaluations(copied.store, study="mine@min")


def test_images_other_than_those_of_training_are_refused(copied: Trained, tmp_path: Path) -> None:
    make(tmp_path / "shapes", train=24, val=5, test=3, size=32, seed=7)

    with pytest.raises(DataError, match="other labels"):
        scored(copied._replace(roots=Roots(tmp_path)))
    assert read_rows(copied.store.trial(copied.key)) == []


def test_what_cannot_be_evaluated_is_refused_before_anything_is_scored(copied: Trained) -> None:
    folder = copied.store.trial(copied.key)
    folder.path.with_name("unfinished").mkdir()
    said: list[Any] = []
    refusals: list[tuple[dict[str, Any], type[SemisweepError], str]] = [
        ({"keys": [copied.key, "unfinished"]}, StoreError, "must have finished.*key=unfinished"),
        ({"parts": ["vaal"]}, ConfigError, "did you mean val"),
        ({"roots": Roots(copied.store.root)}, DataError, "must exist"),
        ({"weights": ["last", "ema"]}, StoreError, "weights=ema.*kept=best, last"),
    ]
    for changes, kind, rule in refusals:
        given = {"keys": [copied.key], "roots": copied.roots, **changes}
        keys, roots = given.pop("keys"), given.pop("roots")
        with pytest.raises(kind, match=rule):
            evaluate_trials(
                copied.store, keys, [WHOLE], roots, lambda *row: said.append(row), **given
            )

    assert said == []
    assert read_rows(folder) == []


class Ran:
    """Leaves a sign where reading it has run code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("ran"),))


def as_file(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "must be readable"),
        (b"PK", "must be readable"),
        (as_file(3), "must be tensors by name"),
        (as_file({"a": "text"}), "must be tensors by name"),
        (as_file([torch.ones(2)]), "must be tensors by name"),
        (as_file({1: torch.ones(2)}), "must be tensors by name"),
        (as_file({"a": torch.ones(2)}), "must fit the method"),
        (as_file(Ran()), "must be readable"),
        (pickle.dumps(Ran()), "must be readable"),
    ],
    ids=("empty", "cut", "number", "text", "list", "numbered", "other", "code", "pickle"),
)
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_weights_that_somebody_else_has_written_are_one_line(
    copied: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, told: str
) -> None:
    folder = copied.store.trial(copied.key)
    trial, dataset = opened_trial(folder, copied.roots)
    path = folder.states / f"weights-last-00000006-{hashlib.sha256(data).hexdigest()[:16]}.pt"
    Path(path).write_bytes(data)
    file = checkpoint_file.parse(folder.states, path.name)
    assert file is not None
    monkeypatch.chdir(tmp_path)

    with pytest.raises(StoreError, match=told):
        rebuild(trial, len(dataset.classes), file, "cpu")
    assert not (tmp_path / "ran").exists()


def test_damaged_weights_and_evaluations_are_noticed(copied: Trained) -> None:
    scored(copied, weights=["last"], parts=["val"])
    folder = copied.store.trial(copied.key)
    row = next(folder.path.glob("evaluation-*"))
    row.write_bytes(row.read_bytes()[:-9])
    with pytest.raises(StoreError, match="remove that file and evaluate again"):
        evaluations(copied.store)

    row.unlink()
    file = weights_file(folder, "last")
    data = bytearray(file.path.read_bytes())
    data[len(data) // 2] ^= 1
    file.path.write_bytes(data)
    with pytest.raises(StoreError, match="must match their checksum"):
        scored(copied, weights=["last"], parts=["val"])


def test_weights_that_no_longer_fit_their_method_are_refused(copied: Trained) -> None:
    folder = copied.store.trial(copied.key)
    other = dataclasses.replace(
        TRIAL.config, network=dataclasses.replace(tiny_network(), channels=4)
    )
    file = weights_file(folder, "last")

    with pytest.raises(StoreError, match=r"must fit the method.*size mismatch"):
        rebuild(dataclasses.replace(TRIAL, config=other), 5, file, "cpu")


def test_evaluations_outlive_the_weights_that_they_are_of(copied: Trained) -> None:
    scored(copied, parts=["val"])
    before = read_rows(copied.store.trial(copied.key))

    free(copied.store, examine(copied.store, ()))

    assert read_rows(copied.store.trial(copied.key)) == before
    with pytest.raises(StoreError, match=r"kept=none; semisweep gc"):
        scored(copied, parts=["val"])


def test_reading_evaluations_imports_neither_torch_nor_ray(copied: Trained) -> None:
    scored(copied, weights=["best"])
    script = (
        "import sys; from semisweep import evaluations\n"
        "print(len(evaluations(sys.argv[1])), 'torch' in sys.modules, 'ray' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(copied.store.root)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout.split() == ["2", "False", "False"]


def test_no_pretrained_weights_are_needed_to_evaluate(copied: Trained) -> None:
    """The kept weights replace them all, so a file that has gone since is not missed."""
    gone = dataclasses.replace(TRIAL.config.network, pretrained=True, weights="gone/since.pt")
    trial = dataclasses.replace(TRIAL, config=dataclasses.replace(TRIAL.config, network=gone))
    assert encode(trial.config)["network"]["weights"] == "gone/since.pt"
    folder = copied.store.trial(copied.key)
    classes = len(opened_trial(folder, copied.roots)[1].classes)
    file = weights_file(folder, "best")

    found = rebuild(trial, classes, file, "cpu").state_dict()

    expected = rebuild(TRIAL, classes, file, "cpu").state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_the_command_takes_starts_of_keys_and_several_protocols(copied: Trained) -> None:
    window = "window:size_pixels=24"
    said = called(copied, copied.key[:6], "--protocol", window, "--protocol", "css-voc")

    assert said.exit_code == 0, said.output
    lines = said.output.splitlines()
    assert len(lines) == 8
    assert all(line.startswith(copied.key) for line in lines)
    assert sum("reflect:size_pixels=512" in line for line in lines) == 4

    again = called(copied, copied.key, "--protocol", window, "--weights", "best", "--part", "val")
    assert again.output.count("\n") == 1
    assert "(known)" in again.output
    assert len(evaluations(copied.store)) == 8


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (("nokey",), "the start of a key"),
        (("--protocol", "slidng"), "unknown protocol"),
        (("--device", "gpu"), "device='gpu'"),
        (("--part", "training"), "part of shapes"),
    ],
)
def test_bad_input_ends_in_an_error_that_names_it(
    trained: Trained, arguments: tuple[str, ...], rule: str
) -> None:
    key = () if arguments == ("nokey",) else (trained.key,)
    runner = CliRunner()
    given = [*key, *arguments, "--store", str(trained.store.root)]
    given += ["--data", f"shapes={trained.roots.of('shapes')}"]

    said = runner.invoke(command, given)

    assert isinstance(said.exception, SemisweepError)
    assert rule in str(said.exception)
