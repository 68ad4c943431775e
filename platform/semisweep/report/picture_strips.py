"""Strips of pictures: some images, the truth, and what each arm of a table sees in them."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from semisweep.report.arms import Arm, arms, columns_of, opened, shown_images
from semisweep.report.figure import Figure
from semisweep.store.resolved_study import ResolvedStudy
from semisweep.store.store import Store

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from semisweep.data.base import DataSet
    from semisweep.data.reading import Pixels
    from semisweep.study.data_roots import Roots

MOST_COLUMNS = 8  # of pictures beside each other
MOST_PIXELS = 224  # of the longer side of a picture
CHOICE = "The images stand evenly spaced in their part's list; none was chosen by a result."


def strips(
    study: ResolvedStudy, store: Store, roots: Roots, count: int, device: str = "cpu"
) -> Iterator[Figure]:
    """Yield one strip of pictures for each column that has arms with kept weights.

    Raises `DataError` where the images are not there, `StoreError` for weights that do not fit.
    """
    for column, label in columns_of(study):
        found = arms(study, column, store)
        if found:
            yield strip(found, label, store, roots, count, device)


def strip(
    found: Sequence[Arm], place: str, store: Store, roots: Roots, count: int, device: str = "cpu"
) -> Figure:
    """Return what each of some arms of one data set sees in so many images."""
    from semisweep.evaluation.prediction import coloured, predict
    from semisweep.training.metric import confusion, mean_iou
    from semisweep.training.protocols import Protocol

    columns: list[tuple[str, list[Markup]]] = []
    for arm in found:
        method, dataset = opened(arm, store, roots, device)
        ids = shown_images(dataset, count)
        if not columns:
            columns += given_pictures(dataset, ids)
        pictures = []
        for image_id in ids:
            seen = predict(method, dataset.image(image_id), Protocol(), device)
            mask = dataset.mask(image_id)
            score = 100 * mean_iou(confusion(seen, mask, len(dataset.classes)))
            told = f"{arm.label}: mIoU {score:.1f} in this image"
            pictures.append(cell(coloured(seen, dataset.palette), arm.label, told, f"{score:.0f}"))
        columns.append((arm.label, pictures))
    table = picture_table(
        [name for name, _ in columns], zip(*(own for _, own in columns), strict=True)
    )
    caption = f"{place}: what each arm sees, and its mIoU in the image. {CHOICE}"
    return Figure(
        caption=caption, svg=table, legend=class_legend(found[0], store, roots), wide=True
    )


def given_pictures(dataset: DataSet, ids: Sequence[str]) -> Iterator[tuple[str, list[Markup]]]:
    """Yield the names and cells of two columns: some images, and their masks."""
    from PIL import Image

    from semisweep.evaluation.prediction import coloured

    images = [cell(Image.fromarray(dataset.image(i)), "image", f"image {i}", i) for i in ids]
    yield "image", images
    masks: list[Pixels] = [dataset.mask(image_id) for image_id in ids]
    yield (
        "truth",
        [
            cell(coloured(mask, dataset.palette), "truth", f"truth of {i}", "")
            for i, mask in zip(ids, masks, strict=True)
        ],
    )


def class_legend(arm: Arm, store: Store, roots: Roots) -> tuple[tuple[Markup, str], ...]:
    """Return the classes of an arm's data set with their colours."""
    from semisweep.evaluation.kept_weights import opened_trial

    _, dataset = opened_trial(store.trial(arm.key), roots)
    shape = '<svg class="swatch" viewBox="0 0 26 14" aria-hidden="true"><rect class="dot" x="4" y="1" width="18" height="12" fill="{}"/></svg>'  # fmt: skip  # noqa: E501
    return tuple(
        (Markup(shape).format(colour_text(colour)), name)
        for name, colour in zip(dataset.classes, dataset.palette, strict=False)
    )


def colour_text(colour: Sequence[int]) -> str:
    """Return a colour as HTML writes it."""
    return "#" + "".join(f"{part:02x}" for part in colour)


def picture_table(names: Sequence[str], lines: Iterable[Sequence[Markup]]) -> Markup:
    """Return a table of pictures: the names of its columns, and lines of cells.

    Where it is too wide for a screen, the pictures of a line stand in several rows.
    """
    head = Markup("").join(Markup("<th scope='col'>{}</th>").format(name) for name in names)
    body = Markup("").join(Markup("<tr>{}</tr>").format(Markup("").join(cells)) for cells in lines)
    kind = "strip many" if len(names) > MOST_COLUMNS else "strip"
    return Markup(
        "<div class='{}'><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>"
    ).format(kind, head, body)


def cell(picture: Picture, name: str, told: str, below: str) -> Markup:
    """Return a picture, no larger than it is shown, as a table's cell that needs no other file.

    `name`: that of its column, which narrow screens show with the picture.
    """
    from PIL import Image

    exact = picture.mode == "P"
    scale = MOST_PIXELS / max(picture.size)
    if scale < 1:
        width, height = (max(1, round(side * scale)) for side in picture.size)
        kept = Image.Resampling.NEAREST if exact else Image.Resampling.LANCZOS
        picture = picture.resize((width, height), kept)
    sink = io.BytesIO()
    if exact:
        picture.save(sink, "PNG", optimize=True)
    else:
        picture.save(sink, "WEBP", quality=82)
    text = base64.b64encode(sink.getvalue()).decode()
    address = f"data:image/{'png' if exact else 'webp'};base64,{text}"
    image = Markup(
        '<td data-label="{}"><img src="{}" alt="{}" title="{}" class="{}"><small>{}</small></td>'
    )
    return image.format(name, address, told, told, "exact" if exact else "photo", below)
