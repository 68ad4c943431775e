"""Masks and overlays: colours, sizes, what is not looked at, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import Tensor, nn

from semisweep import Batch, DataConfig, Method, Progress, Store, TrainingConfig, Trial, Update
from semisweep.cli.store import predict as command
from semisweep.core.config import encode
from semisweep.core.errors import ConfigError, DataError, SemisweepError, StoreError
from semisweep.data.registry import open_dataset
from semisweep.evaluation.prediction import coloured, overlay, predict, predict_images, targets_of
from semisweep.study.data_roots import Roots
from semisweep.training.method_fixtures import tiny_network
from semisweep.training.protocols import Protocol
from semisweep.training.trainer import to_bytes
from semisweep.training.trial import method_class
from semisweep_methods.supervised import SupervisedConfig

PALETTE = ((0, 0, 0), (200, 0, 0), (0, 100, 0))
Pixels = npt.NDArray[np.uint8]


class Halves(Method):
    """Sees class 1 where red is above the mean, class 2 elsewhere."""

    def __init__(self) -> None:
        super().__init__(None, 3)
        self.unused = nn.Linear(1, 1)

    def groups(self) -> Mapping[str, Sequence[nn.Module]]:
        return {"all": [self]}

    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        yield from ()

    def predict(self, image: Tensor) -> Tensor:
        red = image[:, :1]
        return torch.cat([torch.full_like(red, -9), red, -red], dim=1)


def picture(height: int, width: int) -> Pixels:
    """Return an image of which the left third is red and the rest black."""
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[:, : width // 3, 0] = 255
    return image


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Roots]:
    """A finished trial whose kept weights are those that its network began with."""
    from semisweep.data.shapes import make

    folder = tmp_path_factory.mktemp("kept")
    make(folder / "shapes", train=4, val=2, test=1, size=32)
    trial = Trial(
        method="semisweep_methods.supervised:Supervised",
        config=SupervisedConfig(network=tiny_network()),
        data=DataConfig(name="shapes"),
        training=TrainingConfig(steps=1),
        seed=3,
    )
    classes = len(open_dataset("shapes", folder / "shapes").classes)
    method = method_class(trial.method)(trial.config, classes, trial.seed)
    store = Store.open(folder / "store", create=True)
    place = store.trial("cafe01")
    place.describe({"format": 1, "trial": encode(trial.encoded())})
    place.write_weights("best", 1, to_bytes(method.state_dict()))
    place.complete({"seed": 3})
    return store, Roots(folder)


@pytest.fixture
def photographs(tmp_path: Path) -> list[Path]:
    paths = []
    for name, size in (("one.png", (40, 56)), ("two words.jpg", (24, 32))):
        drawn = np.random.default_rng(len(name)).integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(drawn).save(tmp_path / name)
        paths.append(tmp_path / name)
    return paths


@pytest.mark.parametrize("size", [(9, 12), (30, 6), (7, 33)])
@pytest.mark.parametrize(
    "protocol",
    [
        Protocol(),
        Protocol(name="window", size_pixels=8),
        Protocol(name="reflect", size_pixels=16),
    ],
)
def test_a_prediction_has_the_size_of_its_image(size: tuple[int, int], protocol: Protocol) -> None:
    found = predict(Halves().eval(), picture(*size), protocol)

    assert found.dtype == np.uint8
    assert np.array_equal(found, np.where(picture(*size)[..., 0] == 255, 1, 2))


def test_what_a_center_crop_does_not_show_is_predicted_as_nothing() -> None:
    found = predict(Halves().eval(), picture(10, 12), Protocol(name="center", size_pixels=6))

    expected = np.full((10, 12), 255)
    expected[2:8, 3] = 1
    expected[2:8, 4:9] = 2
    assert np.array_equal(found, expected)


def test_a_mask_holds_indices_and_shows_colours(tmp_path: Path) -> None:
    prediction = np.array([[0, 1], [2, 255]], dtype=np.uint8)

    coloured(prediction, PALETTE).save(tmp_path / "mask.png")

    with Image.open(tmp_path / "mask.png") as opened:
        assert opened.mode == "P"
        assert np.array_equal(np.asarray(opened), prediction)
        shown = np.asarray(opened.convert("RGB"))
    assert shown.reshape(-1, 3).tolist() == [[0, 0, 0], [200, 0, 0], [0, 100, 0], [255, 255, 255]]


def test_an_overlay_is_half_image_and_half_colour() -> None:
    image = np.array([[[100, 50, 0], [0, 0, 255]]], dtype=np.uint8)

    found = overlay(image, np.array([[1, 2]], dtype=np.uint8), PALETTE)

    assert np.asarray(found).tolist() == [[[150, 25, 0], [0, 50, 128]]]


def test_files_of_each_image_are_written_and_agree(
    kept: tuple[Store, Roots], photographs: list[Path], tmp_path: Path
) -> None:
    store, roots = kept

    pairs = list(predict_images(store, "cafe01", photographs, tmp_path / "new" / "out", roots))

    assert [mask.name for mask, _ in pairs] == ["one-mask.png", "two words-mask.png"]
    palette = open_dataset("shapes", roots.of("shapes")).palette
    for photograph, (mask, overlaid) in zip(photographs, pairs, strict=True):
        with Image.open(photograph) as image, Image.open(mask) as classes:
            pixels: Any = np.asarray(image.convert("RGB")).astype(float)
            colours = np.asarray(classes.convert("RGB")).astype(float)
            assert {*np.unique(np.asarray(classes))} <= set(range(len(palette)))
        with Image.open(overlaid) as both:
            assert np.abs(np.asarray(both) - (pixels + colours) / 2).max() <= 0.5


def test_images_are_predicted_by_the_kept_weights(
    kept: tuple[Store, Roots], photographs: list[Path], tmp_path: Path
) -> None:
    store, roots = kept
    mask, _ = next(predict_images(store, "cafe01", photographs[:1], tmp_path / "out", roots))
    network = SupervisedConfig(network=tiny_network())
    classes = len(open_dataset("shapes", roots.of("shapes")).classes)
    method = method_class("semisweep_methods.supervised:Supervised")(network, classes, 3).eval()

    with Image.open(mask) as found, Image.open(photographs[0]) as image:
        expected = predict(method, np.array(image), Protocol())
        assert np.mean(np.asarray(found) == expected) > 0.999  # another memory format may round


def test_the_last_weights_predict_where_there_are_no_best(
    kept: tuple[Store, Roots], tmp_path: Path, photographs: list[Path]
) -> None:
    store, roots = kept
    (file,) = (store.root / "trials" / "cafe01").glob("weights-best-*")
    own = Store.open(tmp_path / "store", create=True).trial("cafe01")
    own.describe({"format": 1, "trial": dict(store.trial("cafe01").description().trial)})
    own.write_weights("last", 1, file.read_bytes())
    own.complete({"seed": 3})
    first, second = (
        list(predict_images(place, "cafe01", photographs, tmp_path / str(index), roots))
        for index, place in enumerate((store, Store.open(tmp_path / "store")))
    )

    for pair, other in zip(first, second, strict=True):
        assert [path.read_bytes() for path in pair] == [path.read_bytes() for path in other]
    with pytest.raises(StoreError, match=r"weights=best.*kept=last.*run --keep"):
        list(
            predict_images(
                Store.open(tmp_path / "store"),
                "cafe01",
                photographs,
                tmp_path / "none",
                roots,
                weights="best",
            )
        )


def test_images_that_would_collide_or_be_overwritten_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="different names"):
        targets_of([Path("a/x.png"), Path("b/x.jpg")], tmp_path)
    with pytest.raises(ConfigError, match="overwritten"):
        targets_of([tmp_path / "x.png", tmp_path / "x-mask.png"], tmp_path)
    with pytest.raises(ConfigError, match="different names"):
        targets_of([Path("a/x.png"), Path("a/x.png")], tmp_path)


def test_the_command_says_what_it_wrote(
    kept: tuple[Store, Roots], photographs: list[Path], tmp_path: Path
) -> None:
    store, roots = kept
    given = ["cafe", *map(str, photographs), "--output", str(tmp_path / "out")]
    given += ["--store", str(store.root), "--data", f"shapes={roots.of('shapes')}"]

    said = CliRunner().invoke(command, [*given, "--protocol", "reflect:size_pixels=64"])

    assert said.exit_code == 0, said.output
    assert said.output.splitlines()[0].endswith("one-overlay.png")
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_what_is_no_picture_or_cannot_be_written_is_refused(
    kept: tuple[Store, Roots], photographs: list[Path], tmp_path: Path
) -> None:
    store, roots = kept
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"broken\.png"):
        list(predict_images(store, "cafe01", [broken], tmp_path / "out", roots))
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="choose another --output"):
        list(predict_images(store, "cafe01", photographs, tmp_path / "file", roots))
    with pytest.raises(SemisweepError, match="weights=last"):
        list(predict_images(store, "cafe01", photographs, tmp_path, roots, weights="last"))
