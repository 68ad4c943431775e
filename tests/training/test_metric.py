"""Confusion matrices against slow loops, and evaluation by one, two and three real workers.

Run as a script, this file is one of three workers, of which two then evaluate once more.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn
from torch import distributed as group

from semisweep import Batch, Method, Progress, Update
from semisweep.core.config import decode
from semisweep.core.errors import ConfigError, DataError
from semisweep.data.base import DataSet
from semisweep.training.metric import (
    confusion,
    confusions,
    evaluate,
    iou,
    mean_iou,
    summary,
)
from semisweep.training.protocols import Protocol

CLASSES = 4
IDS = tuple(f"image{number:02d}" for number in range(11))
BATCH_IMAGES = 2
WINDOW = Protocol(name="window", size_pixels=12)
PROTOCOLS = (
    Protocol(),
    WINDOW,
    Protocol(name="window", size_pixels=16, borders="truncated", sums="logits"),
    Protocol(name="center", size_pixels=20),
    Protocol(name="center", size_pixels=18, padding="background"),
    Protocol(name="reflect", size_pixels=25),
)


class FolderlessImages:
    """A data set of random images of several odd sizes, made from their number."""

    classes = ("sky", "sea", "sand", "shell")

    def __init__(self) -> None:
        self.read: list[str] = []

    def part(self, name: str) -> tuple[str, ...]:
        assert name == "val"
        return IDS

    def image(self, image_id: str) -> npt.NDArray[np.uint8]:
        self.read.append(image_id)
        return self._drawn(image_id, (*self._size(image_id), 3), 256)

    def mask(self, image_id: str) -> npt.NDArray[np.uint8]:
        mask = self._drawn(image_id, self._size(image_id), 3)  # the last class never occurs
        mask[0, :] = 255
        return mask

    def _size(self, image_id: str) -> tuple[int, int]:
        return ((17, 23), (28, 14), (17, 23))[IDS.index(image_id) % 3]

    def _drawn(self, image_id: str, shape: Sequence[int], limit: int) -> npt.NDArray[np.uint8]:
        generator = np.random.default_rng(IDS.index(image_id))
        return generator.integers(0, limit, shape, dtype=np.uint8)


class Linear(Method):
    """A 1x1 classifier behind a batch norm, which predicts otherwise in training mode."""

    def __init__(self) -> None:
        super().__init__(None, CLASSES)
        torch.manual_seed(3)
        self.norm = nn.BatchNorm2d(3)
        self.classifier = nn.Conv2d(3, CLASSES, 1)
        self.frozen = nn.BatchNorm2d(3).eval()
        self.shapes: list[tuple[int, ...]] = []

    def groups(self) -> Mapping[str, Sequence[nn.Module]]:
        return {"all": [self]}

    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        yield from ()

    def predict(self, image: Tensor) -> Tensor:
        assert torch.is_inference_mode_enabled()
        self.shapes.append(tuple(image.shape))
        logits: Tensor = self.classifier(self.norm(image))
        return logits


def evaluated(protocol: Protocol = PROTOCOLS[0]) -> tuple[npt.NDArray[np.int64], list[str]]:
    images = FolderlessImages()
    found = evaluate(Linear(), cast(DataSet, images), "val", protocol, batch_images=BATCH_IMAGES)
    return found, images.read


def work(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    for size in (3, 2):
        if rank < size:
            store = (folder / f"store{size}").as_uri()
            group.init_process_group("gloo", init_method=store, rank=rank, world_size=size)
            found, read = evaluated()
            np.savez(
                folder / f"{size}-{rank}.npz",
                found=found,
                read=np.array(read, dtype=str),
                windows=evaluated(WINDOW)[0],
            )
            group.destroy_process_group()


def slow_confusion(prediction: Any, label: Any) -> npt.NDArray[np.int64]:
    counts = np.zeros((CLASSES, CLASSES), dtype=np.int64)
    for row in range(label.shape[0]):
        for column in range(label.shape[1]):
            if label[row, column] != 255:
                counts[label[row, column], prediction[row, column]] += 1
    return counts


def slow_iou(predictions: Sequence[Any], labels: Sequence[Any]) -> list[float]:
    values = []
    for index in range(CLASSES):
        shared = either = 0
        for prediction, label in zip(predictions, labels, strict=True):
            for guess, truth in zip(prediction.flat, label.flat, strict=True):
                if truth != 255:
                    shared += guess == index and truth == index
                    either += guess == index or truth == index
        values.append(shared / either if either else math.nan)
    return values


def drawn(seed: int, present: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    generator = np.random.default_rng(seed)
    shape = tuple(generator.integers(1, 20, 2))
    prediction = generator.integers(0, present, shape, dtype=np.uint8)
    label = generator.integers(0, present, shape, dtype=np.uint8)
    label[generator.random(shape) < 0.2] = 255
    return prediction, label


def test_counts_are_those_of_a_slow_loop_over_pixels() -> None:
    for seed in range(20):
        prediction, label = drawn(seed, CLASSES)
        found = confusion(prediction, label, CLASSES)

        assert found.dtype == np.int64
        assert np.array_equal(found, slow_confusion(prediction, label))


def test_rows_are_the_truth_and_columns_the_prediction() -> None:
    found = confusion(np.array([[1, 1], [0, 1]]), np.array([[0, 1], [0, 255]]), 2)

    assert found.tolist() == [[1, 1], [0, 1]]


@pytest.mark.parametrize("present", [1, 2, 3, 4])
def test_iou_is_that_of_a_slow_loop_over_classes(present: int) -> None:
    pairs = [drawn(seed, present) for seed in range(4)]
    total = sum(confusion(prediction, label, CLASSES) for prediction, label in pairs)
    expected = slow_iou(*zip(*pairs, strict=True))
    known = [value for value in expected if not math.isnan(value)]

    assert isinstance(total, np.ndarray)
    np.testing.assert_allclose(iou(total), expected, rtol=0, atol=1e-12)
    assert mean_iou(total) == pytest.approx(sum(known) / len(known), abs=1e-12)


def test_a_class_that_is_only_predicted_counts_as_zero_and_an_absent_one_not_at_all() -> None:
    total = np.array([[3, 1, 0], [0, 0, 0], [0, 0, 0]])

    assert iou(total)[:2].tolist() == [0.75, 0.0]
    assert math.isnan(iou(total)[2])
    assert mean_iou(total) == 0.375


def test_an_image_that_is_ignored_throughout_has_no_mean() -> None:
    total = confusion(np.zeros((2, 3), np.uint8), np.full((2, 3), 255, np.uint8), 2)

    assert total.sum() == 0
    assert math.isnan(mean_iou(total))
    assert math.isnan(summary(total[None], ["a", "b"])["pixel_accuracy"])


@pytest.mark.parametrize(
    ("prediction", "label", "rule"),
    [
        ([[0, 4]], [[0, 1]], "prediction=4"),
        ([[0, 1]], [[0, 7]], "label=7"),
        ([[0, -1]], [[0, 1]], "prediction=-1"),
        ([[0, 1]], [[0], [1]], "same shape"),
    ],
)
def test_what_is_no_class_is_refused(
    prediction: list[list[int]], label: list[list[int]], rule: str
) -> None:
    with pytest.raises(DataError, match=rule):
        confusion(np.array(prediction), np.array(label), CLASSES)


def test_a_summary_adds_images_before_it_divides() -> None:
    first, second = np.array([[8, 0], [0, 1]]), np.array([[0, 0], [1, 0]])
    found = summary(np.stack([first, second]), ["sky", "sea"])

    assert found == {
        "miou": pytest.approx((8 / 9 + 1 / 2) / 2, abs=1e-12),
        "pixel_accuracy": pytest.approx(0.9, abs=1e-12),
        "iou.sky": pytest.approx(8 / 9, abs=1e-12),
        "iou.sea": pytest.approx(0.5, abs=1e-12),
    }


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=Protocol.text)
def test_evaluation_is_one_image_at_a_time_however_it_is_batched(protocol: Protocol) -> None:
    images = FolderlessImages()
    found, _ = evaluated(protocol)
    single = evaluate(Linear(), cast(DataSet, images), "val", protocol, batch_images=1)
    together = evaluate(Linear(), cast(DataSet, images), "val", protocol, batch_images=100)

    assert found.shape == (len(IDS), CLASSES, CLASSES)
    assert np.array_equal(found, single)
    assert np.array_equal(found, together)


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=Protocol.text)
def test_every_pixel_with_a_label_is_counted_once_and_no_other(protocol: Protocol) -> None:
    images = FolderlessImages()
    side = protocol.size
    for image_id, counts in zip(IDS, evaluated(protocol)[0], strict=True):
        mask = images.mask(image_id)
        if protocol.name == "center":
            row, column = (max(0, length - side) // 2 for length in mask.shape)
            mask = mask[row : row + side, column : column + side]
        added = side**2 - mask.size if protocol.padding == "background" else 0
        labels = [np.count_nonzero(mask == name) + added * (name == 0) for name in range(CLASSES)]

        assert counts.sum(axis=1).tolist() == labels


def test_without_context_windows_and_mirrors_give_what_the_whole_image_gives() -> None:
    whole = evaluated()[0]
    for protocol in PROTOCOLS:
        if protocol.name in ("window", "reflect"):
            assert np.array_equal(evaluated(protocol)[0], whole)


def slow_predictions() -> list[npt.NDArray[np.int64]]:
    """Return the classes of each image, pixel by pixel, by the arithmetic of a linear network."""
    network, found = Linear().eval(), []
    weight = network.classifier.weight.detach().double().numpy().reshape(CLASSES, 3)
    bias = network.classifier.bias.detach().double().numpy()
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    for image_id in IDS:
        image = FolderlessImages().image(image_id)
        classes = np.zeros(image.shape[:2], dtype=np.int64)
        for row in range(image.shape[0]):
            for column in range(image.shape[1]):
                pixel = (image[row, column] / 255 - mean) / deviation
                classes[row, column] = np.argmax(weight @ pixel / math.sqrt(1 + 1e-5) + bias)
        found.append(classes)
    return found


def test_evaluation_equals_an_independent_slow_one() -> None:
    """Images of odd sizes, an ignored row each, a class that is absent; as in the workers' test."""
    guesses, masks = slow_predictions(), [FolderlessImages().mask(name) for name in IDS]
    expected = slow_iou(guesses, masks)
    known = [value for value in expected if not math.isnan(value)]
    for protocol in (PROTOCOLS[0], WINDOW):
        found = evaluated(protocol)[0]
        for counts, guess, mask in zip(found, guesses, masks, strict=True):
            assert np.array_equal(counts, slow_confusion(guess, mask))
        scores = summary(found, FolderlessImages.classes)
        assert scores["miou"] == pytest.approx(sum(known) / len(known), abs=1e-12)
        for name, value in zip(FolderlessImages.classes, expected, strict=True):
            assert scores[f"iou.{name}"] == pytest.approx(value, abs=1e-12, nan_ok=True)


def test_images_of_one_size_are_predicted_together() -> None:
    method = Linear()
    evaluate(method, cast(DataSet, FolderlessImages()), "val")

    assert method.shapes == [(7, 3, 17, 23), (4, 3, 28, 14)]


def test_evaluation_gives_every_module_its_mode_back_even_after_an_error() -> None:
    method = Linear().train()
    method.frozen.eval()
    before = [module.training for module in method.modules()]
    statistics = method.norm.running_mean.clone()  # type: ignore[union-attr]
    evaluate(method, cast(DataSet, FolderlessImages()), "val")

    assert [module.training for module in method.modules()] == before

    method.classifier = nn.Conv2d(5, CLASSES, 1)
    with pytest.raises(RuntimeError):
        evaluate(method, cast(DataSet, FolderlessImages()), "val")

    assert method.norm.training
    assert not method.frozen.training
    assert torch.equal(method.norm.running_mean, statistics)  # type: ignore[arg-type]


def test_multiples_of_fourteen_are_shown_and_counted_at_the_original_size() -> None:
    method = Linear()
    protocol = Protocol(name="multiple14")
    found = evaluate(method, cast(DataSet, FolderlessImages()), "val", protocol)

    assert method.shapes == [(7, 3, 14, 28), (4, 3, 28, 14)]
    assert found[0].sum() == 16 * 23
    assert np.array_equal(found[1], evaluated()[0][1])  # already a multiple


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(ConfigError, match="multiple14"):
        decode(Protocol, {"name": "centre"})


def test_two_and_three_workers_count_each_image_exactly_once(tmp_path: Path) -> None:
    command = [sys.executable, __file__, str(tmp_path)]
    started = [
        subprocess.Popen([*command, str(rank)], stderr=subprocess.PIPE, text=True)
        for rank in range(3)
    ]
    errors = [process.communicate(timeout=120)[1] for process in started]
    expected, windows = evaluated()[0], evaluated(WINDOW)[0]

    assert [process.returncode for process in started] == [0, 0, 0], "\n".join(errors)
    for size in (2, 3):
        results = [np.load(tmp_path / f"{size}-{rank}.npz") for rank in range(size)]
        read = [str(image_id) for result in results for image_id in result["read"]]
        assert sorted(read) == list(IDS)
        assert all(len(result["read"]) < len(IDS) for result in results)
        assert all(np.array_equal(result["found"], expected) for result in results)
        assert all(np.array_equal(result["windows"], windows) for result in results)


def test_matrices_of_many_images_are_those_of_a_slow_loop() -> None:
    draws = np.random.default_rng(0)
    pairs = [
        (draws.integers(0, CLASSES, (6, 7)), draws.choice([0, 1, 2, 255], (6, 7))) for _ in range(5)
    ]
    prediction, label = (torch.from_numpy(np.stack(parts)) for parts in zip(*pairs, strict=True))
    found = confusions(prediction, label, CLASSES)

    for counts, (guess, truth) in zip(found.numpy(), pairs, strict=True):
        assert np.array_equal(counts, slow_confusion(guess, truth))
    with pytest.raises(DataError, match=r"same shape, got prediction=\(5, .*label=\(4, "):
        confusions(prediction, label[1:], CLASSES)


@pytest.mark.parametrize("readers", [1, 3])
def test_images_that_threads_read_ahead_are_counted_alike(readers: int) -> None:
    images = FolderlessImages()
    found = evaluate(
        Linear(), cast(DataSet, images), "val", batch_images=BATCH_IMAGES, readers=readers
    )

    assert np.array_equal(found, evaluated()[0])
    assert sorted(images.read) == sorted(IDS)


def test_threads_read_only_some_batches_ahead_and_their_errors_are_raised() -> None:
    class Broken(FolderlessImages):
        def mask(self, image_id: str) -> npt.NDArray[np.uint8]:
            if image_id == IDS[2]:
                raise DataError("a mask must decode")
            return super().mask(image_id)

    images = Broken()
    with pytest.raises(DataError, match="a mask must decode"):
        evaluate(Linear(), cast(DataSet, images), "val", batch_images=1, readers=1)

    assert len(images.read) < len(IDS)


if __name__ == "__main__":
    work(rank=int(sys.argv[2]), folder=Path(sys.argv[1]))
