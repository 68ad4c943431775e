"""Maps of the pseudo-labels that a table measures, and of how sure they are, beside the truth.

GPS's Figure 2 is one: its teacher's and its students' labels at the first and the last epoch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

from semisweep.report.arms import evenly
from semisweep.report.figure import Figure
from semisweep.report.picture_strips import cell, class_legend, given_pictures, picture_table
from semisweep.store.resolved_study import ResolvedStudy
from semisweep.store.store import Store

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from torch import Tensor

    from semisweep.data.base import DataSet
    from semisweep.study.data_roots import Roots
    from semisweep.training.method import Method

WHAT = "labels.{}.miou"  # the metric of the columns that are drawn


class _Drawn(NamedTuple):
    """A column of the table that measures labels: its label, their source, and whose they are."""

    label: str
    source: str
    key: str


def measures_labels(study: ResolvedStudy) -> bool:
    """Return whether a table is of the quality of pseudo-labels."""
    return any(_source(own.metric) for own in study.cells)


def label_maps(
    study: ResolvedStudy, store: Store, roots: Roots, count: int, device: str = "cpu"
) -> Iterator[Figure]:
    """Yield maps of labels of each row in so many unlabelled images, evenly spaced in their list.

    Of each column the first finished trial that kept all its networks. Rows without one, and
    columns of single classes, are left out. Raises `DataError` where the images are not there.
    """
    for row in study.rows:
        found = list(_columns(study, row.name, store))
        if found:
            yield _maps(row.label, found, store, roots, count, device)


def _columns(study: ResolvedStudy, row: str, store: Store) -> Iterator[_Drawn]:
    from semisweep.evaluation.pseudo_label_results import WEIGHTS
    from semisweep.report.arms import arm_of

    for column in study.columns:
        own = study.at.get((row, column.name))
        source = _source(own.metric) if own else ""
        arm = arm_of(column.label, own.trials, store, (WEIGHTS,)) if own and source else None
        if arm is not None:
            yield _Drawn(column.label, source, arm.key)


def _maps(
    row: str, found: Sequence[_Drawn], store: Store, roots: Roots, count: int, device: str
) -> Figure:
    from semisweep.report.arms import Arm, opened

    names: list[str] = []
    columns: list[list[Markup]] = []
    known: dict[str, tuple[Method, DataSet]] = {}
    ids: list[str] = []
    for own in found:
        if own.key not in known:
            arm = Arm(own.label, own.key, "last")
            known[own.key] = opened(arm, store, roots, device, whole=True)
        method, dataset = known[own.key]
        if not names:
            ids = _unlabelled(own.key, store, roots, count)
            for name, pictures in given_pictures(dataset, ids):
                names.append(name)
                columns.append(pictures)
        made = [_pictures(method, dataset, image_id, own, device) for image_id in ids]
        for index, name in enumerate((own.label, f"{own.label}: confidence")):
            pictures = [each[index] for each in made if index < len(each)]
            if pictures:
                names.append(name)
                columns.append(pictures)
    caption = (
        f"{row}: pseudo-labels of unlabelled images, white where no loss uses them, and their "
        "probability, black: 0, white: 1. The images stand evenly spaced in their list; none was "
        "chosen by a result."
    )
    arm = Arm(row, found[0].key, "last")
    table = picture_table(names, zip(*columns, strict=True))
    return Figure(caption=caption, svg=table, legend=class_legend(arm, store, roots), wide=True)


def _unlabelled(key: str, store: Store, roots: Roots, count: int) -> list[str]:
    from semisweep.data.splits import make_split
    from semisweep.evaluation.kept_weights import opened_trial

    trial, dataset = opened_trial(store.trial(key), roots)
    ids = [own for own in make_split(dataset, trial.data).unlabelled if dataset.has_mask(own)]
    return evenly(ids, count)


def _pictures(
    method: Method, dataset: DataSet, image_id: str, own: _Drawn, device: str
) -> list[Markup]:
    """Return the map of a source's labels of an image, and one of how sure they are, if known."""
    import torch

    from semisweep.data.augmentation import normalise
    from semisweep.evaluation.prediction import coloured
    from semisweep.training.protocols import IGNORE

    image = torch.as_tensor(normalise(dataset.image(image_id))).unsqueeze(0).to(device)
    with torch.inference_mode():
        made = method.pseudo_labels(image)[own.source]
        sure = method.label_confidence(image).get(own.source)
    label = made.label.where(made.selected, IGNORE)[0].to(torch.uint8).cpu().numpy()
    told = f"{own.label}: labels of image {image_id}"
    found = [cell(coloured(label, dataset.palette), own.label, told, "")]
    if sure is not None:
        name = f"{own.label}: confidence"
        found.append(cell(_grey(sure[0]), name, f"{name} in image {image_id}", ""))
    return found


def _grey(shares: Tensor) -> Picture:
    """Return shares [H, W] as a picture from black, 0, to white, 1."""
    import numpy as np
    from PIL import Image

    values = 255 * shares.float().clamp(0, 1).cpu().numpy()
    return Image.fromarray(np.rint(values).astype(np.uint8))


def _source(metric: str | None) -> str:
    """Return the source of labels whose mIoU a metric is; "" for any other metric."""
    before, _, after = WHAT.partition("{}")
    if metric and metric.startswith(before) and metric.endswith(after):
        return metric[len(before) : -len(after)]
    return ""
