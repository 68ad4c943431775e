"""Protocols against slow, obvious loops: windows, crops, mirrors, and what is counted."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from semisweep.core.config import decode, encode
from semisweep.core.errors import ConfigError
from semisweep.training.protocols import (
    PROTOCOLS,
    Protocol,
    class_scores,
    counted_label,
    on_image,
    parse_protocol,
    window_starts,
)

SIZES = [(17, 23), (8, 8), (5, 30), (31, 6), (3, 4), (1, 1)]
SHOWN: dict[str, Protocol] = {
    "whole": Protocol(),
    "multiple14": Protocol(name="multiple14"),
    "shifted": Protocol(name="window", size_pixels=8),
    "truncated": Protocol(name="window", size_pixels=8, borders="truncated"),
    "logits": Protocol(name="window", size_pixels=9, stride_pixels=4, sums="logits"),
    "reflect": Protocol(name="reflect", size_pixels=20),
    "reflect at the end": Protocol(name="reflect", size_pixels=20, mirrored="end"),
}
both_borders = pytest.mark.parametrize("borders", ["shifted", "truncated"])


def network(kernel: int) -> Callable[[Tensor], Tensor]:
    """Return a small convolution in float64 whose padding shows it where an image ends."""
    torch.manual_seed(kernel)
    layer = nn.Conv2d(3, 4, kernel, padding=kernel // 2).double()

    def predict(image: Tensor) -> Tensor:
        with torch.inference_mode():
            scores: Tensor = layer(image)
        return scores

    return predict


def images(count: int, height: int, width: int) -> Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(1)).double()


def slow_starts(length: int, size: int, stride: int, borders: str) -> list[int]:
    """Return where windows begin, moving one along the side until it has reached the end."""
    starts, start = [], 0
    while True:
        if borders == "truncated" and start >= length:
            return starts
        if borders == "shifted" and start + size >= length:
            return [*starts, length - size]
        starts.append(start)
        start += stride


def slow_windows(
    predict: Callable[[Tensor], Tensor], image: Tensor, protocol: Protocol
) -> np.ndarray[Any, Any]:
    """Return summed scores [C, H, W] of one image [3, H, W], pixel by pixel."""
    assert protocol.stride_pixels is not None
    height, width = image.shape[1:]
    size = protocol.size
    top = left = 0
    if protocol.borders == "shifted":  # a black canvas with the image in its middle
        canvas = torch.zeros(3, max(height, size), max(width, size)).double()
        top, left = (canvas.shape[1] - height) // 2, (canvas.shape[2] - width) // 2
        canvas[:, top : top + height, left : left + width] = image
        image = canvas
    rows, columns = (
        slow_starts(length, size, protocol.stride_pixels, protocol.borders)
        for length in image.shape[1:]
    )
    total = np.zeros((4, *image.shape[1:]))
    for row in rows:
        for column in columns:
            scores = predict(image[None, :, row : row + size, column : column + size])[0].numpy()
            for i in range(scores.shape[1]):
                for j in range(scores.shape[2]):
                    values = [float(value) for value in scores[:, i, j]]
                    if protocol.sums == "softmax":
                        powers = [math.exp(value - max(values)) for value in values]
                        values = [power / sum(powers) for power in powers]
                    total[:, row + i, column + j] += values
    return total[:, top : top + height, left : left + width]


@both_borders
@pytest.mark.parametrize("sums", ["softmax", "logits"])
@pytest.mark.parametrize("size", [(11, 15), (3, 13), (8, 1)])
def test_windows_are_those_of_a_slow_loop(size: tuple[int, int], sums: Any, borders: Any) -> None:
    for side, stride in ((8, None), (7, 7), (6, 2)):
        protocol = Protocol(
            name="window", size_pixels=side, stride_pixels=stride, borders=borders, sums=sums
        )
        predict, batch = network(3), images(2, *size)
        expected = [slow_windows(predict, image, protocol) for image in batch]
        for together in (1, 2, 5):
            found = class_scores(predict, batch, protocol, together)

            assert found.dtype == torch.float64
            for one, scores in zip(expected, found, strict=True):
                np.testing.assert_allclose(scores.numpy(), one, rtol=0, atol=1e-12)


def test_windows_of_one_size_go_through_the_network_together() -> None:
    protocol = Protocol(name="window", size_pixels=8, stride_pixels=8, borders="truncated")
    shapes: list[tuple[int, ...]] = []

    def predict(image: Tensor) -> Tensor:
        shapes.append(tuple(image.shape))
        return image

    class_scores(predict, images(2, 16, 20), protocol, 3)

    assert shapes == [(4, 3, 8, 8), (2, 3, 8, 4), (4, 3, 8, 8), (2, 3, 8, 4)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", [name for name in SHOWN if name != "multiple14"])
def test_without_context_every_protocol_equals_the_whole_image(
    name: str, size: tuple[int, int]
) -> None:
    predict, batch = network(1), images(3, *size)
    whole = predict(batch)
    found = class_scores(predict, batch, SHOWN[name])

    assert found.shape == whole.shape
    assert torch.equal(found.argmax(dim=1), whole.argmax(dim=1))


@pytest.mark.parametrize("name", SHOWN)
def test_a_constant_network_gives_constant_predictions_everywhere(name: str) -> None:
    levels = torch.tensor([0.0, 3.0, -1.0])[:, None, None]
    for size in SIZES:
        scores = class_scores(
            lambda image: levels.expand(len(image), 3, *image.shape[-2:]),
            images(2, *size),
            SHOWN[name],
        )

        assert scores.shape == (2, 3, *size)
        assert (scores.argmax(dim=1) == 1).all()


@both_borders
@pytest.mark.parametrize("stride", [1, 5, 8])
def test_windows_cover_every_pixel_and_leave_no_image(borders: Any, stride: int) -> None:
    protocol = Protocol(name="window", size_pixels=8, stride_pixels=stride, borders=borders)
    for length in range(1, 60):
        starts = window_starts(length, protocol)
        ends = [min(length, start + 8) for start in starts]
        covered = {
            pixel for start, end in zip(starts, ends, strict=True) for pixel in range(start, end)
        }

        assert covered == set(range(length))
        assert len(set(starts)) == len(starts)
        if borders == "shifted" and length >= 8:
            assert all(start + 8 <= length for start in starts)


def test_windows_of_released_code_on_a_cityscapes_image() -> None:
    """By hand, from the sizes and strides that the code bases have."""
    expected = {
        "unimatch-cityscapes": ([0, 534], [0, 534, 1068, 1602]),
        "unimatch-v2-cityscapes": ([0, 226], [0, 532, 1064, 1250]),
        "u2pl-cityscapes": ([0, 255], [0, 513, 1026, 1279]),
        "cps-cityscapes": ([0, 224], [0, 534, 1068, 1248]),
        "augseg-cityscapes": ([0, 533], [0, 533, 1066, 1599]),
    }
    for name, (rows, columns) in expected.items():
        assert window_starts(1024, PROTOCOLS[name]) == rows
        assert window_starts(2048, PROTOCOLS[name]) == columns


def test_what_a_window_shows_of_a_smaller_image() -> None:
    shapes: list[tuple[int, ...]] = []

    def predict(image: Tensor) -> Tensor:
        shapes.append(tuple(image.shape))
        return image

    class_scores(predict, images(2, 3, 12), SHOWN["shifted"])
    assert shapes == [(2, 3, 8, 8)] * 2

    shapes.clear()
    class_scores(predict, images(2, 3, 12), SHOWN["truncated"])
    assert shapes == [(2, 3, 3, 8), (2, 3, 3, 7), (2, 3, 3, 2)]


def test_mirrors_are_those_that_numpy_makes() -> None:
    shown: list[Tensor] = []

    def predict(image: Tensor) -> Tensor:
        shown.append(image)
        return image

    for height, width in [(17, 23), (3, 40), (1, 2), (20, 20)]:
        batch = images(1, height, width)
        found = class_scores(predict, batch, SHOWN["reflect"])
        missing = [max(0, 20 - side) for side in (height, width)]
        around = [(pixels // 2, pixels - pixels // 2) for pixels in missing]
        expected = np.pad(batch.numpy(), [(0, 0), (0, 0), *around], mode="reflect")

        assert np.array_equal(shown.pop().numpy(), expected)
        assert torch.equal(found, batch)


def test_css_mirrors_at_the_right_and_bottom() -> None:
    """As torchvision's `pad` with "reflect" in the release's transform."""
    protocol = Protocol(name="reflect", size_pixels=20, mirrored="end")
    shown: list[Tensor] = []

    def predict(image: Tensor) -> Tensor:
        shown.append(image)
        return image

    batch = images(1, 17, 13)
    found = class_scores(predict, batch, protocol)
    expected = np.pad(batch.numpy(), [(0, 0), (0, 0), (0, 3), (0, 7)], mode="reflect")

    assert np.array_equal(shown.pop().numpy(), expected)
    assert torch.equal(found, batch)
    assert PROTOCOLS["css-voc"].mirrored == "end"
    assert Protocol(name="reflect", size_pixels=20).text() == "reflect:size_pixels=20"


@pytest.mark.parametrize("size", [(17, 23), (9, 30), (30, 8), (5, 4), (12, 12), (13, 11)])
@pytest.mark.parametrize("padding", ["ignored", "background"])
def test_a_center_crop_counts_each_of_its_pixels_with_its_own_label(
    size: tuple[int, int], padding: Any
) -> None:
    protocol = Protocol(name="center", size_pixels=12, padding=padding)
    label = np.random.default_rng(0).integers(1, 200, size, dtype=np.uint8)
    image = torch.as_tensor(label).double().expand(1, 3, *size)
    shown = class_scores(lambda pixels: pixels, image, protocol)[0, 0].numpy().astype(np.uint8)
    counted = counted_label(label, protocol)
    border = 0 if padding == "background" else 255

    assert shown.shape == counted.shape == (12, 12)
    assert np.array_equal(np.where(shown == 0, border, shown), counted)  # padding shows 0
    seen = on_image(shown, *size, protocol)
    assert seen.shape == size
    assert np.array_equal(seen[seen != 255], label[seen != 255])
    assert np.count_nonzero(seen != 255) == min(size[0], 12) * min(size[1], 12)


def test_a_center_crop_is_in_the_middle() -> None:
    label = np.arange(36, dtype=np.uint8).reshape(6, 6)

    found = counted_label(label, Protocol(name="center", size_pixels=2))

    assert found.tolist() == [[14, 15], [20, 21]]


@pytest.mark.parametrize("protocol", [*SHOWN.values(), *PROTOCOLS.values()])
def test_a_protocol_comes_back_from_its_text_and_from_json(protocol: Protocol) -> None:
    assert parse_protocol(protocol.text()) == protocol
    assert decode(Protocol, encode(protocol)) == protocol


def test_texts_tell_different_protocols_apart_and_equal_ones_not() -> None:
    several = {protocol.text() for protocol in [*SHOWN.values(), *PROTOCOLS.values()]}
    assert len(several) == len({*SHOWN.values(), *PROTOCOLS.values()})

    spelt = parse_protocol("window:size_pixels=801,stride_pixels=534,borders=truncated")
    assert spelt == PROTOCOLS["unimatch-cityscapes"]
    assert parse_protocol("window:borders=truncated,size_pixels=801") == spelt  # two thirds
    assert spelt.text() == (
        "window:size_pixels=801,stride_pixels=534,borders=truncated,sums=softmax"
    )


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("windows", "did you mean window"),
        ("unimatch-city", "unimatch-cityscapes"),
        ("window", "size_pixels must be given"),
        ("window:size_pixels=8,stride_pixels=9", "stride_pixels=9"),
        ("window:size_pixels=0", "size_pixels=0"),
        ("window:size_pixels=8,borders=none", "borders"),
        ("window:size_pixels=8,size_pixels=9", "each field once"),
        ("window:size_pixels", "field=value"),
        ("whole:size_pixels=8", "size_pixels=8"),
        ("center:size_pixels=8,stride_pixels=4", "stride_pixels=4"),
        ("reflect:size_pixels=8,padding=background", "padding=background"),
        ("reflect:size_pixels=8,sums=logits", "sums=logits"),
        ("whole:colour=red", "colour"),
    ],
)
def test_what_is_no_protocol_is_refused(text: str, rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        parse_protocol(text)
