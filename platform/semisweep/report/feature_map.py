"""Features of the same pixels as each arm of a table sees them, in two dimensions (t-SNE)."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from semisweep.core.errors import StoreError
from semisweep.report.arms import Arm, arms, columns_of, opened, shown_images
from semisweep.report.axes import Axis
from semisweep.report.figure import Entry, Figure
from semisweep.report.picture_strips import class_legend, colour_text
from semisweep.report.svg import Plot
from semisweep.store.resolved_study import ResolvedStudy
from semisweep.store.store import Store

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor
    from torch.nn import Module

    from semisweep.data.base import DataSet
    from semisweep.study.data_roots import Roots
    from semisweep.training.method import Method

IMAGES = 24
CLASS_PIXELS = 60  # of each class, at most
SEED = 0
WITHOUT = "The map of features is left out: it needs t-SNE, pip install 'semisweep[features]'."
Place = tuple[str, int, int, int]  # image, row, column, class


def embeddings(
    study: ResolvedStudy, store: Store, roots: Roots, device: str = "cpu"
) -> Iterator[Figure]:
    """Yield a map of features for each arm with kept weights, of the same pixels for all.

    A feature is what the decoder makes of the encoder's taps, before the classifier; of a method
    that learns a space for features, and of which all networks were kept, it is a point there.
    Methods whose `predict` does not call a network of this platform as a whole are left out, and
    so are columns after the first one that has weights: maps of other settings cannot be laid side
    by side.
    """
    places: list[Place] = []
    found = ((label, arms(study, column, store)) for column, label in columns_of(study))
    label, shown = next(((label, known) for label, known in found if known), ("", []))
    for arm in shown:
        method, dataset, whole = _opened(arm, store, roots, device)
        places = places or pixels(dataset, study.class_pixels or CLASS_PIXELS)
        projected = features(method, dataset, places, device, project=True) if whole else None
        values = features(method, dataset, places, device) if projected is None else projected
        if values is not None:
            name = f"{arm.label}, {label}"
            name += "" if projected is None else ", projected by the method"
            yield _figure(dataset, places, flat(values), name, class_legend(arm, store, roots))


def _opened(arm: Arm, store: Store, roots: Roots, device: str) -> tuple[Method, DataSet, bool]:
    """Return what `arms.opened` does, and whether all networks of the method were kept."""
    try:
        return *opened(arm, store, roots, device, whole=True), True
    except StoreError:
        return *opened(arm, store, roots, device), False


def has_libraries() -> bool:
    """Return whether what t-SNE needs is installed; imports nothing of it."""
    return all(find_spec(name) for name in ("sklearn", "threadpoolctl"))


def pixels(dataset: DataSet, class_pixels: int = CLASS_PIXELS) -> list[Place]:
    """Return some pixels of each class in some images, drawn evenly and always the same."""
    import numpy as np

    from semisweep.training.protocols import IGNORE

    generator = np.random.default_rng(SEED)
    by_class: dict[int, list[Place]] = {}
    for image_id in shown_images(dataset, IMAGES):
        mask = dataset.mask(image_id)
        for index in np.unique(mask[mask != IGNORE]).tolist():
            rows, columns = np.nonzero(mask == index)
            chosen = generator.permutation(len(rows))[: -(-4 * class_pixels // IMAGES)]
            by_class.setdefault(index, []).extend(
                (image_id, int(rows[i]), int(columns[i]), index) for i in chosen
            )
    places: list[Place] = []
    for index in sorted(by_class):
        order = sorted(generator.permutation(len(by_class[index]))[:class_pixels])
        places += [by_class[index][i] for i in order]
    return sorted(places)


def features(
    method: Method,
    dataset: DataSet,
    places: list[Place],
    device: str = "cpu",
    *,
    project: bool = False,
) -> npt.NDArray[np.float32] | None:
    """Return the features [N, D] of pixels; None where the method runs no whole network.

    `project`: in the space that the method learns for them; None where it learns none.
    """
    import numpy as np
    import torch

    from semisweep.evaluation.prediction import predict
    from semisweep.networks.network import Network, Output
    from semisweep.training.protocols import Protocol

    seen: list[Tensor] = []

    def keep(_: Module, __: object, output: Output) -> None:
        seen.append(output.fused)

    hooks = [m.register_forward_hook(keep) for m in method.modules() if isinstance(m, Network)]
    found = []
    try:
        for image_id in dict.fromkeys(place[0] for place in places):
            seen.clear()
            image = dataset.image(image_id)
            predict(method, image, Protocol(), device)
            if not seen:
                return None
            shown: Tensor | None = seen[-1]
            if project:
                with torch.no_grad():
                    shown = method.project(seen[-1])
            if shown is None:
                return None
            fused = shown[0].float().cpu().numpy()  # [D, h, w]
            height, width = image.shape[:2]
            for _, row, column, _ in (place for place in places if place[0] == image_id):
                down, across = row * fused.shape[1] // height, column * fused.shape[2] // width
                found.append(fused[:, down, across])
    finally:
        for hook in hooks:
            hook.remove()
    return np.stack(found)


def flat(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return features [N, D] as points [N, 2], the same each time: t-SNE from the main axes.

    Source: L. van der Maaten, G. Hinton, "Visualizing Data using t-SNE", JMLR 2008.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(30.0, (len(values) - 1) / 3)
    mapped = TSNE(perplexity=perplexity, init="pca", random_state=SEED)
    with threadpool_limits(1):  # whose sums would have another order, and which spin for a kilobyte
        points: npt.NDArray[np.float64] = mapped.fit_transform(values)
    return points


def _figure(
    dataset: DataSet,
    places: list[Place],
    points: npt.NDArray[np.float64],
    name: str,
    entries: tuple[Entry, ...],
) -> Figure:
    bounds = [(float(points[:, i].min()), float(points[:, i].max())) for i in (0, 1)]
    room = [0.05 * (high - low) or 1.0 for low, high in bounds]
    axes = [
        Axis(label="", low=low - pad, high=high + pad, ticks=())
        for (low, high), pad in zip(bounds, room, strict=True)
    ]
    plot = Plot(axes[0], axes[1], f"t-SNE of features, {name}", height=330)
    for (image_id, _, _, index), (across, down) in zip(places, points.tolist(), strict=True):
        text = f"{dataset.classes[index]}, image {image_id}"
        plot.dot((across, down), colour_text(dataset.palette[index]), text)
    caption = (
        f"{name}: t-SNE of the features of {len(places)} pixels, the same for every arm; "
        "distances between groups mean little."
    )
    return Figure(caption=caption, svg=plot.svg(bare=True), legend=entries)
