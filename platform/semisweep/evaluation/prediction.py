"""Masks and overlays of images that a trial's kept weights predict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from semisweep.core.errors import ConfigError, DataError
from semisweep.data.reading import read_image
from semisweep.training.protocols import IGNORE, Protocol, on_image

if TYPE_CHECKING:
    from PIL import Image

    from semisweep.store.store import Store
    from semisweep.study.data_roots import Roots
    from semisweep.training.method import Method

OPACITY = 0.5  # of the colours in an overlay
UNSEEN = (255, 255, 255)  # the colour of pixels that the protocol does not show

Pixels = npt.NDArray[np.uint8]
Colours = Sequence[tuple[int, int, int]]


def predict_images(
    store: Store,
    key: str,
    images: Sequence[Path],
    output: Path,
    roots: Roots,
    *,
    weights: str | None = None,
    protocol: Protocol = Protocol(),  # noqa: B008  a frozen value
    device: str = "cpu",
) -> Iterator[tuple[Path, Path]]:
    """Write what a finished trial sees in images; yield the paths of each mask and overlay.

    `weights` are by default the best, or the last where these alone were kept. A mask is a PNG of
    class indices with the data set's colours, 255 where the protocol does not look. Raises
    `ConfigError` where two images would have one name or a file would be overwritten by what is
    made of it, `DataError` for one that does not decode, `StoreError` without weights.
    """
    from semisweep.evaluation.kept_weights import kept_names, opened_trial, rebuild, weights_file

    targets = targets_of(images, output)
    folder = store.trial(key)
    file = weights_file(folder, weights or kept_names(folder, ("best", "last"))[0])
    trial, dataset = opened_trial(folder, roots)
    method = rebuild(trial, len(dataset.classes), file, device)
    for image, (mask, overlaid) in zip(images, targets, strict=True):
        pixels = read_image(image)
        predicted = predict(method, pixels, protocol, device)
        _save(coloured(predicted, dataset.palette), mask)
        _save(overlay(pixels, predicted, dataset.palette), overlaid)
        yield mask, overlaid


def predict(method: Method, image: Pixels, protocol: Protocol, device: str = "cpu") -> Pixels:
    """Return the classes [H, W] that a method in evaluation mode sees in an image [H, W, 3]."""
    import torch

    from semisweep.training.metric import predictions

    with torch.inference_mode():
        predicted = predictions(method, [image], protocol, device)[0]
    height, width = image.shape[:2]
    return on_image(predicted, height, width, protocol)


def coloured(prediction: Pixels, palette: Colours) -> Image.Image:
    """Return a picture of class indices [H, W] with the colours of the classes."""
    from PIL import Image

    picture = Image.fromarray(prediction)
    picture.putpalette(_table(palette).tobytes())
    return picture


def overlay(image: Pixels, prediction: Pixels, palette: Colours) -> Image.Image:
    """Return a picture [H, W] of an image under the half transparent colours of its classes."""
    from PIL import Image

    blended = (1 - OPACITY) * image + OPACITY * _table(palette)[prediction]
    return Image.fromarray(np.rint(blended).astype(np.uint8))


def targets_of(images: Sequence[Path], output: Path) -> list[tuple[Path, Path]]:
    """Return where the mask and the overlay of each image go; raise `ConfigError`."""
    sources = {image.resolve() for image in images}
    targets = [
        (output / f"{image.stem}-mask.png", output / f"{image.stem}-overlay.png")
        for image in images
    ]
    seen: dict[Path, Path] = {}
    for image, pair in zip(images, targets, strict=True):
        for target in pair:
            if target in seen and seen[target] is not image:
                raise ConfigError(
                    f"images must have different names, got {seen[target]} and {image}; "
                    "call predict once for each folder"
                )
            if target.resolve() in sources:
                raise ConfigError(
                    f"no image may be overwritten, got image={target}; choose another --output"
                )
            seen[target] = image
    return targets


def _table(palette: Colours) -> Pixels:
    """Return the colours [256, 3] of all values that a mask may have."""
    table = np.zeros((256, 3), dtype=np.uint8)
    table[: len(palette)] = palette
    table[IGNORE] = UNSEEN
    return table


def _save(picture: Image.Image, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    except OSError as error:
        raise DataError(
            f"a picture must be writable, got file={path} ({error.strerror or error}); "
            "choose another --output"
        ) from None
