"""A column of parameters, counted from the network that predicts, without training it."""

from __future__ import annotations

import dataclasses
from functools import cache

import torch

from semisweep import Column, NetworkConfig, Study
from semisweep.data import cityscapes, shapes, voc_folder
from semisweep.store.resolved_study import Place
from semisweep.study.resolve import make_trial, preset_of

PARAMETERS = Column(name="params (M)", set={"mini": {}, "paper": {}}, unit="M parameters")

PREDICTING = (
    "junior",
    "network",
)  # the field of a configuration that has the network; SegKC's first
CLASSES = {"voc": voc_folder.CLASSES, "cityscapes": cityscapes.CLASSES, "shapes": shapes.CLASSES}

# SegKC, Tables 1 to 3: of all others 59.5.
SIZES = {"AllSpark": 89.3, "SemiVL": 88.0, "UniMatch V2": 24.8, "SegKC": 24.8}
RESNET_101 = 59.5


def published_sizes(rows: str, **others: float) -> dict[Place, float]:
    """Return the published millions of parameters; `others`: where a table has another number."""
    sizes = SIZES | others
    return {(row, PARAMETERS.name): sizes.get(row, RESNET_101) for row in rows.split(", ")}


def parameter_counts(study: Study, scale: str) -> dict[Place, float]:
    """Return the millions of parameters of the network that each trained row predicts with."""
    preset = preset_of(study, scale)
    classes = len(CLASSES[preset.data.name])
    found = {}
    for row in study.rows:
        if row.method is not None:
            config = make_trial(preset, row.method, row.fields(scale), {}).config
            network = next(getattr(config, own) for own in PREDICTING if hasattr(config, own))
            found[row.name, PARAMETERS.name] = millions(network, classes)
    return found


@cache
def millions(network: NetworkConfig, classes: int) -> float:
    """Return the millions of parameters of a network."""
    bare = dataclasses.replace(network, pretrained=False, weights=None)
    with torch.device("meta"):  # counted, not filled
        built = bare.build(classes)
    return sum(own.numel() for own in built.parameters()) / 1e6
