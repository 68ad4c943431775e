"""Bars of the IoU of each class, of some single trials beside each other."""

from __future__ import annotations

import math
from collections.abc import Mapping

from semisweep.report.curve_plots import Bar, class_figure
from semisweep.report.figure import Figure
from semisweep.store.trial_records import Result

MARK = ".iou."
PARTS = ("last.test", "last.val")  # what is shown, of which the first that there is


def class_scores(rows: Mapping[str, Result]) -> list[Figure]:
    """Return one figure of trials' results, label -> result, none where no class was scored."""
    known = {name.partition(MARK)[0] for row in rows.values() for name in row if MARK in name}
    part = next((part for part in PARTS if part in known), min(known, default=None))
    if part is None:
        return []
    groups: dict[str, list[Bar]] = {}
    for series, (label, row) in enumerate(rows.items()):
        for name in (name for name in row if name.startswith(f"{part}{MARK}")):
            value = row.number(name)
            if value is not None and math.isfinite(value):
                own = name.removeprefix(f"{part}{MARK}")
                text = f"{label}, {own}: {100 * value:.1f}"
                groups.setdefault(own, []).append((series, 100 * value, math.nan, math.nan, text))
    return [class_figure(groups, part, list(rows), note="")] if groups else []
