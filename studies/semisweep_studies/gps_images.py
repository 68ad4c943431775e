"""Table 1 of GPS (WACV 2024): how many unlabelled images a method is shown, without training.

Published, in thousands, cut off after one decimal in an epoch. CPS is counted with its labelled
images, whose labels are then not used; the lists of unlabelled images that its authors published do
not hold them.
"""

from __future__ import annotations

from fractions import Fraction

from semisweep import Column, Row, Study
from semisweep.store.resolved_study import Place
from semisweep_studies.gps import GPS_PAPER
from semisweep_studies.gps_comparisons import CPS_EPOCHS

TRAINING_IMAGES = {"voc2012": 10_582, "cityscapes": 2_975}
LABELLED = {
    "voc2012": {"1/16": 662, "1/8": 1_323, "1/4": 2_646, "1/2": 5_291},
    "cityscapes": {"1/16": 186, "1/8": 372, "1/4": 744, "1/2": 1_488},
}
PARTS = ("1/16", "1/8", "1/4", "1/2")

# How often an epoch shows an unlabelled image, and a labelled one without its label.
SHOWN = {
    "CPS": (Fraction(1), 1),
    "3-CPS": (Fraction(1), 1),
    "ELN": (Fraction(2), 0),
    "PS-MT": (Fraction(2), 0),
    "ST++": (Fraction(3, 2), 0),
    "GPS": (Fraction(1), 0),
}
EPOCHS: dict[str, dict[str, tuple[int | None, ...]]] = {
    "CPS": {**CPS_EPOCHS},
    "3-CPS": {**CPS_EPOCHS},
    "PS-MT": {"voc2012": (80, 80, 200, 300), "cityscapes": (None, 320, 450, 550)},
    "ST++": {"voc2012": (80,) * 4, "cityscapes": (240,) * 4},
    "GPS": {**CPS_EPOCHS},
}


def images_per_epoch(system: str, dataset: str, part: str) -> int:
    """Return how many images without labels an epoch shows all networks together."""
    labelled = LABELLED[dataset][part]
    often, also_labelled = SHOWN[system]
    return int(often * (TRAINING_IMAGES[dataset] - labelled)) + also_labelled * labelled


def images_in_all(system: str, dataset: str, part: str) -> int | None:
    """Return how many images without labels a training shows; None where the paper has no epochs.

    GPS's are those of its students; its teacher has been trained on labelled images before.
    """
    if system not in EPOCHS:
        return None
    epochs = EPOCHS[system][dataset][PARTS.index(part)]
    return None if epochs is None else epochs * images_per_epoch(system, dataset, part)


def _column(dataset: str, part: str, what: str) -> Column:
    return Column(name=f"{dataset} {part} {what}", set={"paper": {}}, unit="images")


_PLACES = [(dataset, part) for dataset in TRAINING_IMAGES for part in PARTS]
PER_EPOCH = {_column(*place, "per epoch").name: place for place in _PLACES}
IN_ALL = {_column(*place, "whole").name: place for place in _PLACES}

# Thousands; None where the paper has a dash.
_THOUSANDS: dict[str, tuple[tuple[float | None, ...], ...]] = {
    "CPS": ((10.5,) * 4 + (2.9,) * 4, (339, 360, 423, 635, 381, 408, 476, 714)),
    "3-CPS": ((10.5,) * 4 + (2.9,) * 4, (339, 360, 423, 635, 381, 408, 476, 714)),
    "ELN": ((19.8, 18.5, 15.8, 10.5, 5.5, 5.2, 4.4, 2.9), (None,) * 8),
    "PS-MT": (
        (19.8, 18.5, 15.8, 10.5, 5.5, 5.2, 4.4, 2.9),
        (1587, 1481, 3174, 3174, None, 1666, 2008, 1636),
    ),
    "ST++": (
        (14.8, 13.8, 11.9, 7.9, 4.1, 3.9, 3.3, 2.2),
        (1184, 1104, 952, 632, 984, 936, 792, 528),
    ),
    "GPS": (
        (9.9, 9.2, 7.9, 5.2, 2.7, 2.6, 2.2, 1.4),
        (317, 315, 317, 317, 357, 357, 357, 357),
    ),
}


def image_counts(study: Study, scale: str) -> dict[Place, float]:
    """Return the counts of all systems, by row and column; none where the paper has no epochs."""
    found: dict[Place, float | None] = {}
    for row in study.rows:
        for column, place in PER_EPOCH.items():
            found[row.name, column] = images_per_epoch(row.name, *place)
        for column, place in IN_ALL.items():
            found[row.name, column] = images_in_all(row.name, *place)
    return {place: float(count) for place, count in found.items() if count is not None}


images = Study(
    name="gps_images",
    title="GPS, Table 1: unlabelled images an epoch and in all",
    paper="gps",
    table="1",
    presets={"paper": GPS_PAPER},
    base="GPS",
    rows=[Row(name=name, method=None) for name in SHOWN],
    columns=[
        *(_column(*place, "per epoch") for place in _PLACES),
        *(_column(*place, "whole") for place in _PLACES),
    ],
    computed=image_counts,
    published={
        (system, column): 1000 * thousands
        for system, counts in _THOUSANDS.items()
        for columns, own in zip((PER_EPOCH, IN_ALL), counts, strict=True)
        for column, thousands in zip(columns, own, strict=True)
        if thousands is not None
    },
    published_note="Published: GPS, Table 1, in thousands, cut off. Ours: counted from the sizes "
    "of the data sets and the epochs that it states; CPS's lists do not hold its labelled images.",
)
