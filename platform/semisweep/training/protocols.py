"""How an image is shown to a network when it is evaluated, and what of it is counted.

A protocol is a value that is kept with every number made under it. `PROTOCOLS` names those of
released code (UniMatch, UniMatch-V2, U2PL, CPS, AugSeg, CSS), read from their evaluation scripts
and settings; two protocols can be some points of mIoU apart on the same weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from semisweep.core.config import Count, config, decode, identity, parse_value, setting
from semisweep.core.errors import ConfigError, unknown

if TYPE_CHECKING:  # configurations are read where torch, which takes seconds, is not wanted
    from torch import Tensor

IGNORE = 255
PATCH_PIXELS = 14

Pixels = npt.NDArray[np.uint8]
Predict = Callable[["Tensor"], "Tensor"]
Window = tuple[slice, slice]
Borders = Literal["shifted", "truncated"]
Sums = Literal["softmax", "logits"]


@config
class Protocol:
    """How an image is shown to the network; fields that a name does not use keep their defaults.

    `whole`: at its original size. `multiple14`: resized to the nearest multiple of 14 pixels, for
    transformers with patches of 14, and the logits resized back. `window`: overlapping windows of
    `size_pixels` every `stride_pixels`, by default two thirds of the size rounded down, whose
    scores are summed. At a border they are `truncated`, or `shifted` to lie inside; for the latter
    a smaller image is padded with the mean colour. `center`: only the middle square of
    `size_pixels`, padded likewise; the padding is ignored or counted as background, class 0.
    `reflect`: sides below `size_pixels` are mirrored up to it, `around` the image or at the `end`,
    right and bottom; only the image is counted.
    """

    name: Literal["whole", "multiple14", "window", "center", "reflect"] = "whole"
    size_pixels: Count | None = setting(
        default=None, matters=lambda own: own.name in ("window", "center", "reflect")
    )
    stride_pixels: Count | None = setting(default=None, matters=lambda own: own.name == "window")
    borders: Borders = setting(default="shifted", matters=lambda own: own.name == "window")
    sums: Sums = setting(default="softmax", matters=lambda own: own.name == "window")
    padding: Literal["ignored", "background"] = setting(
        default="ignored", matters=lambda own: own.name == "center"
    )
    mirrored: Literal["around", "end"] = setting(
        default="around",
        neutral="around",
        code="CSS: end",
        matters=lambda own: own.name == "reflect",
    )

    def __post_init__(self) -> None:
        sized = self.name in ("window", "center", "reflect")
        if sized != (self.size_pixels is not None):
            rule = "must be given" if sized else "means nothing"
            raise ConfigError(
                f"size_pixels {rule} for protocol {self.name}, got size_pixels={self.size_pixels}"
            )
        if self.name != "window":
            for field, default in (("stride_pixels", None), ("borders", "shifted")):
                self._require(field, default)
            self._require("sums", "softmax")
        elif self.stride_pixels is None:
            object.__setattr__(self, "stride_pixels", max(1, self.size * 2 // 3))
        elif self.stride_pixels > self.size:
            raise ConfigError(
                f"windows must leave no gap: stride_pixels at most size_pixels, "
                f"got stride_pixels={self.stride_pixels}, size_pixels={self.size}"
            )
        if self.name != "center":
            self._require("padding", "ignored")
        if self.name != "reflect":
            self._require("mirrored", "around")

    @property
    def size(self) -> int:
        """The side of a window, a center crop or a mirrored image; 0 where there is none."""
        return self.size_pixels or 0

    def text(self) -> str:
        """Return the text from which `parse_protocol` makes an equal protocol."""
        fields = [f"{name}={value}" for name, value in identity(self).items() if name != "name"]
        return ":".join([self.name, *([",".join(fields)] if fields else [])])

    def shown_pixels(self, height: int, width: int) -> int:
        """Return how many pixels an image takes in the memory of a forward pass, at most."""
        if self.name in ("center", "reflect") or (self.name, self.borders) == ("window", "shifted"):
            return max(height, self.size) * max(width, self.size)
        return height * width

    def _require(self, field: str, default: str | None) -> None:
        if getattr(self, field) != default:
            raise ConfigError(
                f"{field} means nothing for protocol {self.name}, "
                f"got {field}={getattr(self, field)}; leave it out"
            )


def _window(size: int, stride: int, borders: Borders, sums: Sums) -> Protocol:
    return Protocol(
        name="window", size_pixels=size, stride_pixels=stride, borders=borders, sums=sums
    )


# Windows that sum logits divide by the number of windows in U2PL, which changes no prediction.
PROTOCOLS = {
    "unimatch-voc": Protocol(),
    "unimatch-cityscapes": _window(801, 534, "truncated", "softmax"),
    "unimatch-v2-voc": Protocol(name="multiple14"),
    "unimatch-v2-cityscapes": _window(798, 532, "shifted", "softmax"),
    "u2pl-voc": Protocol(name="center", size_pixels=513, padding="background"),
    "u2pl-cityscapes": _window(769, 513, "shifted", "logits"),
    "u2pl-cityscapes-training": Protocol(name="center", size_pixels=769),
    "cps-voc": _window(512, 342, "shifted", "logits"),
    "cps-cityscapes": _window(800, 534, "shifted", "logits"),
    "augseg-cityscapes": _window(800, 533, "truncated", "softmax"),
    "css-voc": Protocol(name="reflect", size_pixels=512, mirrored="end"),
}


def parse_protocol(text: str) -> Protocol:
    """Return the protocol of a text: a name of `PROTOCOLS`, or kind:field=value,field=value.

    Raises `ConfigError` for an unknown name or field, or a value that breaks a rule.
    """
    if text in PROTOCOLS:
        return PROTOCOLS[text]
    name, _, rest = text.partition(":")
    kinds = ("whole", "multiple14", "window", "center", "reflect")
    if name not in kinds:
        raise unknown("protocol", text, [*kinds, *PROTOCOLS])
    fields: dict[str, object] = {}
    for item in rest.split(",") if rest else ():
        field, equals, value = item.partition("=")
        if not equals or field in ("name", *fields):
            raise ConfigError(
                f"a protocol must be kind:field=value,field=value with each field once, "
                f"got protocol={text!r}"
            )
        fields[field] = parse_value(value)
    return decode(Protocol, {"name": name, **fields})


def class_scores(predict: Predict, image: Tensor, protocol: Protocol, windows: int = 1) -> Tensor:
    """Return scores [B, C, h, w] of normalised images [B, 3, H, W]; the largest is the prediction.

    They have the size of the images, for `center` that of the crop. Sums over windows are float64;
    up to `windows` of one size go through the network at a time.
    """
    size = image.shape[-2:]
    if protocol.name == "whole":
        return predict(image)
    if protocol.name == "multiple14":
        near = [max(1, (side + PATCH_PIXELS // 2) // PATCH_PIXELS) * PATCH_PIXELS for side in size]
        return _resized(predict(_resized(image, near)), size)
    if protocol.name == "center":
        return predict(_centered(image, protocol.size))
    shown = image
    if protocol.name == "reflect":
        shown = _mirrored(image, protocol)
        scores = predict(shown)
    else:
        if protocol.borders == "shifted":
            shown = _padded(image, protocol.size)
        scores = _summed(predict, shown, protocol, windows)
    top, left = (
        0 if protocol.mirrored == "end" else (after - before) // 2
        for after, before in zip(shown.shape[-2:], size, strict=True)
    )
    return scores[..., top : top + size[0], left : left + size[1]]


def counted_label(label: Pixels, protocol: Protocol) -> Pixels:
    """Return what predictions are compared with for a mask [H, W]: for `center` its crop."""
    if protocol.name != "center":
        return label
    size = protocol.size
    missing = [max(0, size - side) for side in label.shape]
    around = [(pixels // 2, pixels - pixels // 2) for pixels in missing]
    value = 0 if protocol.padding == "background" else IGNORE
    padded = np.pad(label, around, constant_values=value)
    top, left = ((side - size) // 2 for side in padded.shape)
    return padded[top : top + size, left : left + size]


def on_image(prediction: Pixels, height: int, width: int, protocol: Protocol) -> Pixels:
    """Return a prediction at the size of its image [H, W]; 255 where the protocol shows nothing."""
    if protocol.name != "center":
        return prediction
    whole = np.full((height, width), IGNORE, dtype=np.uint8)
    inside, target = [], []
    for side in (height, width):
        start = (max(side, protocol.size) - protocol.size) // 2
        before = max(0, protocol.size - side) // 2
        length = min(side, protocol.size)
        inside.append(slice(before, before + length))
        target.append(slice(start, start + length))
    whole[tuple(target)] = prediction[tuple(inside)]
    return whole


def window_starts(length: int, protocol: Protocol) -> list[int]:
    """Return where the windows along a side of `length` pixels begin; they cover all of it."""
    assert protocol.stride_pixels is not None
    if protocol.borders == "truncated":
        return list(range(0, length, protocol.stride_pixels))
    last = max(0, length - protocol.size)
    return [*range(0, last, protocol.stride_pixels), last]


def _summed(predict: Predict, image: Tensor, protocol: Protocol, windows: int) -> Tensor:
    height, width = image.shape[-2:]
    total: Tensor | None = None
    for places in _places(height, width, protocol, windows):
        logits = predict(_stacked(image, places))
        parts = logits.reshape(len(places), len(image), *logits.shape[1:])
        for place, part in zip(places, parts, strict=True):
            scores = part.double()
            if protocol.sums == "softmax":
                scores = scores.softmax(dim=1)
            if total is None:
                total = scores.new_zeros((*scores.shape[:2], height, width))
            total[(..., *place)] += scores
    assert total is not None
    return total


def _stacked(image: Tensor, places: Sequence[Window]) -> Tensor:
    import torch

    parts = [image[(..., *place)] for place in places]
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def _places(height: int, width: int, protocol: Protocol, most: int) -> Iterator[list[Window]]:
    """Yield the windows of an image, up to so many of one size that follow each other at a time."""
    together: list[Window] = []
    size = (0, 0)
    for top in window_starts(height, protocol):
        for left in window_starts(width, protocol):
            ends = min(top + protocol.size, height), min(left + protocol.size, width)
            own = ends[0] - top, ends[1] - left
            if together and (own != size or len(together) == most):
                yield together
                together = []
            together.append((slice(top, ends[0]), slice(left, ends[1])))
            size = own
    yield together


def _resized(values: Tensor, size: Sequence[int]) -> Tensor:
    from torch.nn import functional

    if tuple(values.shape[-2:]) == tuple(size):
        return values
    return functional.interpolate(values, tuple(size), mode="bilinear", align_corners=True)


def _padded(image: Tensor, size: int) -> Tensor:
    """Return images of which no side is below `size`; what is added is 0, the mean colour."""
    from torch.nn import functional

    (down, right) = (max(0, size - side) for side in image.shape[-2:])
    around = (right // 2, right - right // 2, down // 2, down - down // 2)
    return functional.pad(image, around) if down or right else image


def _centered(image: Tensor, size: int) -> Tensor:
    padded = _padded(image, size)
    top, left = ((side - size) // 2 for side in padded.shape[-2:])
    return padded[..., top : top + size, left : left + size]


def _mirrored(image: Tensor, protocol: Protocol) -> Tensor:
    """Return images of which no side is below the protocol's, mirrored as often as that takes."""
    import torch

    size = protocol.size
    for dimension in (-2, -1):
        length = image.shape[dimension]
        if length < size:
            before = 0 if protocol.mirrored == "end" else (size - length) // 2
            period = max(1, 2 * (length - 1))
            places = torch.arange(-before, size - before, device=image.device) % period
            image = image.index_select(dimension, torch.minimum(places, period - places))
    return image
