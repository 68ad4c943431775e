"""The embedded data set: deterministic pixels, long tail, borders, and safe writing."""

from __future__ import annotations

import colorsys
import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image, features

from semisweep.core.errors import ConfigError, DataError
from semisweep.data import scene
from semisweep.data.check import check, content_digest
from semisweep.data.registry import open_dataset
from semisweep.data.scene import KINDS, Thing, render, silhouette
from semisweep.data.shapes import CLASSES, PALETTE, make, pixel_digest

COUNT = 150

# What encodes the files: pillow, its JPEG library, and the library that packs PNGs.
ENCODERS = ("13.0.0", "3.2.0", "2.3.3")


@pytest.fixture(scope="module")
def scenes() -> list[tuple[np.ndarray, np.ndarray]]:
    return [render(0, index) for index in range(COUNT)]


@pytest.fixture(scope="module")
def masks(scenes) -> np.ndarray:
    return np.stack([mask for _, mask in scenes])


def test_the_pixels_of_seed_0_are_pinned():
    """A change orphans every result made with the data set: raise GENERATOR_VERSION with it."""
    assert pixel_digest(0, (0, 1, 2, 511, 799)) == "a89b595ca768f3734cfc"
    assert pixel_digest(0, range(0, 800, 8)) == "8bcee76ec664ab47bc44", "of all three parts"


def test_the_pixels_of_another_seed_and_size_are_pinned():
    assert pixel_digest(1, range(20)) == "5e34ba6be5b39866f5bb"
    assert pixel_digest(0, range(10), size=96) == "73a3a11dbe299ccef240"


def test_the_content_of_a_small_data_set_is_pinned(tmp_path):
    """Lists, masks and JPEG files, byte by byte; other encoders pack equal pixels otherwise."""
    found = (PIL.__version__, features.version("libjpeg_turbo"), features.version("zlib_ng"))
    if found != ENCODERS:
        pytest.skip(f"bytes are pinned for pillow, libjpeg-turbo, zlib-ng {ENCODERS}, not {found}")
    root = make(tmp_path / "shapes", train=12, val=4, test=4)
    digest = content_digest(open_dataset("shapes", root))

    assert digest == "a008c06c2ce429f7629c", (
        "with the same encoders the same data set must be written, got content digest "
        f"{digest}; results made with the old one cannot be compared: if the pixels are meant to "
        "change raise GENERATOR_VERSION, else mend what writes the files"
    )


def test_a_picture_depends_on_its_own_number_alone():
    picture, mask = render(3, 7)
    render(3, 6)
    again, mask_again = render(3, 7)

    assert (picture == again).all()
    assert (mask == mask_again).all()
    assert pixel_digest(0, (1,)) != pixel_digest(0, (2,))
    assert pixel_digest(0, (1,)) != pixel_digest(1, (1,))


def test_no_class_id_is_out_of_range(masks):
    found = set(np.unique(masks))

    assert found == {*range(len(CLASSES)), 255}
    assert len(PALETTE) == len(CLASSES) == len(set(CLASSES))


def test_different_labels_never_touch(masks):
    """A ring of 255 lies around every object, thin lines in front of it included."""
    for first, second in (
        (masks[:, 1:], masks[:, :-1]),
        (masks[:, :, 1:], masks[:, :, :-1]),
    ):
        labelled = (first != 255) & (second != 255)
        assert labelled.any()
        assert (first[labelled] == second[labelled]).all()
    assert 0.02 < (masks == 255).mean() < 0.12


@pytest.mark.parametrize("seed", [0, 1])
def test_the_tail_is_long(seed):
    """The rarest class is drawn at most 1/8 as often as the commonest; each less than the last."""
    generator = np.random.default_rng(seed)
    kinds: Counter[int] = Counter()
    for _ in range(1000):
        kinds.update(thing.kind for thing in scene._place(generator, 64, 1.0))

    assert [kind for kind, _ in kinds.most_common()] == list(range(len(KINDS)))
    assert kinds[len(KINDS) - 1] <= kinds[0] / 8


def test_the_tail_is_long_in_pixels(masks):
    pixels = np.bincount(masks.ravel(), minlength=256)
    objects = pixels[1 : len(CLASSES)]

    assert objects.min() <= objects.max() / 8
    assert 0.4 < pixels[0] / pixels.sum() < 0.8


def test_neither_shape_nor_texture_alone_tells_a_class():
    shapes = Counter(shape for shape, _ in KINDS)
    textures = Counter(texture for _, texture in KINDS)

    assert min(shapes.values()) >= 2
    assert min(textures.values()) >= 2
    assert len(set(KINDS)) == len(KINDS) == len(CLASSES) - 1


def test_classes_of_one_shape_have_one_outline():
    rows, columns = np.mgrid[0:64, 0:64] + 0.5
    thing = Thing(0, (30.2, 33.1), 10.3, 0.7, 1.1)
    outlines: dict[str, np.ndarray] = {}
    for kind, (shape, _) in enumerate(KINDS):
        outline = silhouette(replace(thing, kind=kind), rows, columns)
        assert (outlines.setdefault(shape, outline) == outline).all()

    assert outlines.keys() == {"disc", "bar"}
    assert (outlines["disc"] != outlines["bar"]).any()


@pytest.mark.parametrize("shape", ["disc", "bar"])
@pytest.mark.parametrize("stretch", [*scene.STRETCH, 1.0])
def test_shapes_of_one_radius_have_one_area(shape, stretch):
    rows, columns = np.mgrid[0:64, 0:64] + 0.5
    kind = [own for own, _ in KINDS].index(shape)
    inside = silhouette(Thing(kind, (32.0, 32.0), 12.0, 0.4, stretch), rows, columns) <= 0

    assert inside.sum() == pytest.approx(math.pi * 12**2, rel=0.03)


def test_colour_says_nothing_about_the_class(scenes):
    """Hues of the two commonest classes are spread alike; their mean brightness is alike."""
    brightness: dict[int, list[float]] = {1: [], 2: []}
    hues: dict[int, set[int]] = {1: set(), 2: set()}
    for picture, mask in scenes:
        for kind in brightness:
            if (mask == kind).sum() > 60:
                red, green, blue = picture[mask == kind].mean(axis=0) / 255
                brightness[kind].append((red + green + blue) / 3)
                hues[kind].add(int(colorsys.rgb_to_hsv(red, green, blue)[0] * 6))

    assert hues[1] == hues[2] == set(range(6))
    first, second = (np.array(brightness[kind]) for kind in (1, 2))
    error = math.sqrt(first.var() / len(first) + second.var() / len(second))
    assert abs(first.mean() - second.mean()) < 3.5 * error
    assert min(first.std(), second.std()) > 0.03


def test_four_to_six_objects_are_placed_and_some_overlap():
    counts = set()
    overlaps = 0
    for index in range(60):
        things = scene._place(np.random.default_rng(index), 64, 1.0)
        counts.add(len(things))
        for i, one in enumerate(things):
            for other in things[:i]:
                overlaps += math.dist(one.centre, other.centre) < one.radius + other.radius

    assert counts == {4, 5, 6}
    assert 60 < overlaps < 240


@pytest.mark.parametrize("texture", ["striped", "checkered", "dotted"])
def test_textures_repeat_every_four_to_seven_pixels_with_clear_contrast(texture):
    rows, columns = np.mgrid[0:64, 0:64] + 0.5
    for seed in range(5):
        generator = np.random.default_rng(seed)
        tones = scene._textured(texture, generator, rows, columns, 1.0).mean(axis=-1)
        power = np.abs(np.fft.fft2(tones - tones.mean())) ** 2
        row, column = np.unravel_index(power.argmax(), power.shape)
        frequency = math.hypot(min(row, 64 - row), min(column, 64 - column)) / 64
        assert 4 < 1 / frequency < 7.5
        assert np.ptp(tones) > 0.25


def test_a_made_data_set_reads_as_one_in_the_pascal_layout(tmp_path):
    root = make(tmp_path / "shapes", seed=4, train=5, val=2, test=3)
    dataset = open_dataset("shapes", root)

    assert dataset.parts == ("train", "val", "test")
    assert dataset.part("train") == tuple(f"v1s4_{index:06d}" for index in range(5))
    assert [len(dataset.part(part)) for part in dataset.parts] == [5, 2, 3]
    assert check(dataset) == []
    picture, mask = render(4, 5)
    assert (dataset.mask("v1s4_000005") == mask).all()
    assert np.abs(dataset.image("v1s4_000005").astype(int) - picture).mean() < 4
    with Image.open(dataset.mask_file("v1s4_000005")) as opened:
        assert opened.mode == "P"
        assert tuple(opened.getpalette()[3:6]) == PALETTE[1]
        assert tuple(opened.getpalette()[765:768]) == (224, 224, 192)
    assert [path.name for path in tmp_path.iterdir()] == ["shapes"]


def test_making_the_same_again_changes_nothing(tmp_path):
    counts = {"train": 2, "val": 1, "test": 1}
    root = make(tmp_path / "shapes", **counts)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    digest = content_digest(open_dataset("shapes", root))
    calls = []
    make(root, **counts, progress=lambda done, total: calls.append(done))
    other = make(tmp_path / "other", **counts, progress=lambda done, total: calls.append(done))

    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    assert calls == [1, 2, 3, 4]
    assert content_digest(open_dataset("shapes", other)) == digest


def test_an_empty_folder_is_filled(tmp_path):
    make(tmp_path, train=1, val=1, test=1)

    assert json.loads((tmp_path / "shapes.json").read_text()) == {
        "generator_version": 1,
        "seed": 0,
        "train": 1,
        "val": 1,
        "test": 1,
        "size": 64,
    }


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(DataError, match=r"empty folder, got root=.*something else"):
        make(tmp_path, train=1, val=1, test=1)

    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_data_set_of_other_parameters_is_refused(tmp_path):
    root = make(tmp_path / "shapes", train=1, val=1, test=1)
    with pytest.raises(DataError, match=r"other parameters than .*seed=1"):
        make(root, seed=1, train=1, val=1, test=1)


def test_a_failure_leaves_nothing_behind(tmp_path):
    def fail(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "shapes", train=1, val=1, test=1, progress=fail)

    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"must be writable, got root=.*file/shapes"):
        make(tmp_path / "file" / "shapes", train=1, val=1, test=1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"val": 0}, "at least one image, got val=0"),
        ({"size": 8}, "at least 32 pixels, got size=8"),
        ({"seed": -1}, "at least 0, got seed=-1"),
    ],
)
def test_numbers_that_make_no_data_set_are_refused(tmp_path, wrong, message):
    with pytest.raises(ConfigError, match=message):
        make(Path(tmp_path) / "shapes", **wrong)
