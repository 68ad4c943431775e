"""What the tables of several papers share: published grids, and what mini scale makes smaller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from semisweep import Column
from semisweep.study.scales import Fields
from semisweep_studies.presets import MINI

Published = Mapping[tuple[str, str], float]

# Of 512 images.
MINI_LABELLED: Fields = {"data.labelled": 32}
MINI_EPOCH = 480 // MINI.training.unlabelled_batch  # iterations
MINI_LABEL = "1/16 (32)"

# The feature maps of mini scale have 64 cells where the papers' have a thousand or more.
MINI_CSS: Mapping[str, Fields] = {
    "mini": {
        "config.representation_channels": 64,
        "config.contrast.anchors": 64,
        "config.contrast.negatives": 128,
        "config.contrast.candidates": 64,
    }
}
MINI_CONTRAST: Mapping[str, Fields] = {
    "mini": {
        "config.representation_channels": 64,
        "config.anchors": 32,
        "config.negatives": 64,
        "config.memory_size": 512,
        "config.keys_per_step": 128,
    }
}
MINI_U2PL: Mapping[str, Fields] = {"mini": {**MINI_CONTRAST["mini"], "config.supervised_epochs": 0}}


def numbers(
    columns: Sequence[Column], rows: Mapping[str, Sequence[float | None]]
) -> dict[tuple[str, str], float]:
    """Return published numbers by row and column, given row by row; None where there is none.

    Raises `ValueError` for a row with more or fewer numbers than there are columns.
    """
    return {
        (row, column.name): value
        for row, values in rows.items()
        for column, value in zip(columns, values, strict=True)
        if value is not None
    }
