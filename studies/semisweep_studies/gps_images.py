"""Table 1 of GPS (WACV 2024): how many unlabelled images a method is shown, without training.

Published, in thousands, cut off after one decimal in an epoch. CPS is counted with its labelled
images, whose labels are then not used; the lists of unlabelled images that its authors published do
not hold them.
"""

from __future__ import annotations

from fractions import Fraction

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
_AS_CPS = {"voc2012": (32, 34, 40, 60), "cityscapes": (128, 137, 160, 240)}
EPOCHS: dict[str, dict[str, tuple[int | None, ...]]] = {
    "CPS": {**_AS_CPS},
    "3-CPS": {**_AS_CPS},
    "PS-MT": {"voc2012": (80, 80, 200, 300), "cityscapes": (None, 320, 450, 550)},
    "ST++": {"voc2012": (80,) * 4, "cityscapes": (240,) * 4},
    "GPS": {**_AS_CPS},
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
