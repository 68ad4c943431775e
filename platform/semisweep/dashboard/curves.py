"""Curves of chosen trials as Plotly's figures in JSON: values over steps, one figure a column."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from semisweep.core.safe_text import printable
from semisweep.report.curve_plots import averaged
from semisweep.store.store import Store
from semisweep.store.trial_records import Evaluation

if TYPE_CHECKING:
    from semisweep.store.snapshot import Numbers

POINTS = 500  # of a curve, at most
MARKED = 40  # points up to which each has a mark
MOST = 24  # figures
NO_CURVES = ("step", "epoch")


def figures(store: Store, trials: Mapping[str, str], most: int = MOST) -> list[dict[str, Any]]:
    """Return at most so many figures of trials, key -> label: title and traces of each.

    Validation scores come first, then losses; scores are in percent.
    """
    rows = {key: store.trial(key).evaluations() for key in trials}
    names = dict.fromkeys(
        name
        for own in rows.values()
        for row in own
        for name, value in row.values.items()
        if name not in NO_CURVES and isinstance(value, int | float)
    )
    return [
        {"title": printable(_title(name)), "traces": _traces(name, rows, trials)}
        for name in sorted(names, key=_order)[:most]
    ]


def _order(name: str) -> tuple[bool, bool, bool]:
    return name != "val.miou", not name.endswith("loss"), name.startswith("val.")


def _title(name: str) -> str:
    if name == "val.miou":
        return "validation mIoU (%)"
    return f"{name} (%)" if _is_score(name) else name


def _is_score(name: str) -> bool:
    return "iou" in name or "accuracy" in name


def _traces(
    name: str, rows: Mapping[str, Sequence[Evaluation]], trials: Mapping[str, str]
) -> list[dict[str, Any]]:
    found = []
    for place, (key, label) in enumerate(trials.items()):
        steps, values = _curve(rows[key], name)
        if len(steps):
            mode = "lines+markers" if len(steps) <= MARKED else "lines"
            own = {"name": printable(label), "place": place, "mode": mode}
            found.append(own | {"x": steps.tolist(), "y": values.tolist()})
    return found


def _curve(rows: Sequence[Evaluation], name: str) -> tuple[Numbers, Numbers]:
    """Return finite values and their steps."""
    import numpy as np

    scale = 100.0 if _is_score(name) else 1.0
    pairs = [(row.step, row.number(name)) for row in rows]
    kept = [(step, scale * v) for step, v in pairs if v is not None and math.isfinite(v)]
    points = np.array(kept, dtype=np.float64).reshape(-1, 2)
    return averaged(points[:, 0], points[:, 1], POINTS)
