"""The quality of pseudo-labels: IoU and accuracy where they are used, and how much that is."""

import math
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import distributed as group
from torch import nn

from semisweep import Method, MethodConfig, PseudoLabel
from semisweep.core.errors import DataError
from semisweep.evaluation.pseudo_label_quality import label_counts, label_summary, measure_labels

CLASSES = 4
NAMES = ["sky", "sea", "sand", "rock"]


def drawn(seed, labelled=CLASSES, size=(9, 11)):
    made = np.random.default_rng(seed)
    label = made.integers(labelled, size=size).astype(np.uint8)
    truth = np.where(made.random(size) < 0.6, label, made.integers(CLASSES, size=size))
    truth = np.where(made.random(size) < 0.1, 255, truth).astype(np.uint8)
    return label, made.random(size) < 0.5, truth


def slow_summary(images):
    """Loop over classes and pixels, on the sets of Table 4."""
    pixels = [
        (int(guess), bool(used), int(true))
        for label, selected, truth in images
        for guess, used, true in zip(label.flat, selected.flat, truth.flat, strict=True)
        if true != 255
    ]
    used = [(guess, true) for guess, chosen, true in pixels if chosen]
    values = {
        "accuracy": sum(guess == true for guess, true in used) / len(used),
        "coverage": len(used) / len(pixels),
    }
    for number, name in enumerate(NAMES):
        both = sum(guess == true == number for guess, true in used)
        either = sum(number in pair for pair in used)
        real = sum(true == number for _, true in used)
        every = sum(true == number for *_, true in pixels)
        values[f"iou.{name}"] = both / either if either else math.nan
        values[f"accuracy.{name}"] = both / real if real else math.nan
        values[f"coverage.{name}"] = real / every if every else math.nan
    found = [values[f"iou.{name}"] for name in NAMES]
    values["miou"] = float(np.nanmean(found))
    return values


@pytest.mark.parametrize("labelled", [1, 3, 4])
def test_the_summary_equals_a_slow_loop_over_pixels(labelled):
    images = [drawn(seed, labelled) for seed in range(3)]
    counts = np.stack([label_counts(*image, CLASSES) for image in images])
    found, expected = label_summary(counts, NAMES), slow_summary(images)

    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-12, nan_ok=True), name


def test_counts_have_a_row_of_each_truth_and_a_last_column_of_what_is_not_used():
    label, truth = np.array([[0, 1, 1, 255]]), np.array([[0, 0, 1, 1]])
    selected = np.array([[True, True, False, False]])

    assert label_counts(label, selected, truth, 2).tolist() == [[1, 1, 0], [0, 0, 2]]


def test_fewer_and_easier_pixels_raise_the_iou_and_coverage_tells():
    label, truth = np.array([[0, 0, 1, 1]]), np.array([[0, 1, 1, 1]])
    every = label_summary(label_counts(label, truth < 9, truth, 2)[None], ["a", "b"])
    easy = label_summary(label_counts(label, label == truth, truth, 2)[None], ["a", "b"])

    assert (every["miou"], every["coverage"]) == (pytest.approx((1 / 2 + 2 / 3) / 2), 1.0)
    assert (easy["miou"], easy["coverage"], easy["coverage.b"]) == (1.0, 0.75, 2 / 3)


def test_where_nothing_is_selected_there_is_no_iou_and_no_coverage():
    truth = np.array([[0, 1]])
    found = label_summary(label_counts(truth, truth > 9, truth, 2)[None], ["a", "b"])

    assert found["coverage"] == found["coverage.a"] == 0
    assert all(math.isnan(found[name]) for name in ("miou", "accuracy", "iou.a", "accuracy.b"))


@pytest.mark.parametrize(
    ("label", "selected", "truth", "rule"),
    [
        ([[4]], [[True]], [[0]], "prediction=4"),
        ([[0]], [[True]], [[5]], "label=5"),
        ([[0]], [[False]], [[5]], "label=5"),
    ],
)
def test_what_is_no_class_is_refused(label, selected, truth, rule):
    with pytest.raises(DataError, match=rule):
        label_counts(np.array(label), np.array(selected), np.array(truth), CLASSES)


class Brightness(Method):
    """Labels pixels by their first channel; sure of what is far from the border."""

    Config = MethodConfig
    modes: ClassVar[list[bool]] = []

    def __init__(self):
        super().__init__(MethodConfig(), 2)
        self.norm = nn.BatchNorm2d(3)

    def groups(self):
        return {"norm": [self.norm]}

    def step(self, batch, progress):
        yield from ()

    def predict(self, image):
        return torch.stack([-image[:, 0], image[:, 0]], dim=1)

    def pseudo_labels(self, image):
        self.modes.append(self.training)
        label = (image[:, 0] > 0).long()
        return {
            "all": PseudoLabel(label, torch.ones_like(label, dtype=torch.bool)),
            "sure": PseudoLabel(label, image[:, 0].abs() > 1),
        }


class Silent(Brightness):
    """Names no pseudo-labels."""

    pseudo_labels = Method.pseudo_labels


class Pictures:
    """Three images of different sizes."""

    classes = ("dark", "bright")

    def image(self, image_id):
        made = np.random.default_rng(int(image_id))
        return made.integers(256, size=(6, 5 + int(image_id), 3)).astype(np.uint8)

    def mask(self, image_id):
        return (self.image(image_id)[..., 0] > 128).astype(np.uint8)


def test_a_method_is_measured_on_each_image_by_source_in_evaluation_mode():
    method = Brightness().train()
    method.modes.clear()
    found = measure_labels(method, Pictures(), ["0", "1", "2"])

    assert method.modes == [False] * 3
    assert method.training
    assert found.keys() == {"all", "sure"}
    for index, counts in enumerate(found["all"]):
        assert counts.sum() == 6 * (5 + index)
        assert counts[:, -1].sum() == 0
    quality = {name: label_summary(counts, Pictures.classes) for name, counts in found.items()}
    assert quality["all"]["coverage"] == 1.0
    assert 0 < quality["sure"]["coverage"] < 1
    assert quality["sure"]["miou"] == 1.0 > quality["all"]["miou"]


def test_a_method_that_names_no_labels_has_no_quality():
    assert measure_labels(Silent(), Pictures(), ["0"]) == {}


def work(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    meeting = (folder / "meeting").as_uri()
    group.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    np.savez(folder / f"{rank}.npz", **measure_labels(Brightness(), Pictures(), ["0", "1", "2"]))
    group.destroy_process_group()


def test_two_workers_measure_what_one_does(tmp_path):
    started = [
        subprocess.Popen(
            [sys.executable, __file__, str(tmp_path), str(rank)], stderr=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=120)[1] for process in started]
    alone = measure_labels(Brightness(), Pictures(), ["0", "1", "2"])

    assert [process.returncode for process in started] == [0, 0], "\n".join(errors)
    for rank in range(2):
        found = np.load(tmp_path / f"{rank}.npz")
        assert set(found) == set(alone)
        for source, counts in alone.items():
            assert np.array_equal(found[source], counts)


if __name__ == "__main__":
    work(rank=int(sys.argv[2]), folder=Path(sys.argv[1]))
