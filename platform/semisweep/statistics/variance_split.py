"""Where the variance of a column's numbers comes from: draws, rows in a draw, and seeds.

A number is taken as its row's mean, plus what its draw of labelled images does to all rows, plus
what it does to this row, plus what the seed does. Where draws have several seeds this is a mixed
model, fitted by restricted maximum likelihood (H. D. Patterson and R. Thompson, Biometrika 58,
1971). Where they have one, a row's part in a draw cannot be told from the seed's, and the two are
given as one, from the mean squares of a two-way analysis of variance.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from semisweep.statistics.intervals import by_unit, draw_of, several_draws
from semisweep.statistics.row_spread import as_matrix, spread

Rows = Mapping[str, Mapping[str, float]]  # row -> replicate "draw/seed" -> number


class VarianceSplit(NamedTuple):
    """Standard deviations of the parts of a number, in its unit."""

    draw: float  # between draws, of what they do to all rows: it cancels in differences
    row_draw: float  # between draws, of what they do to one row; with the seeds' part if they are 1
    seed: float  # between the seeds of a draw; NaN where each draw has one
    draws: int


def variance_split(rows: Rows) -> VarianceSplit | None:
    """Return the parts of the variance; None for fewer than two rows or two common draws.

    Each is 0 where the numbers vary less than the other parts explain.
    """
    replicates = [replicate for own in rows.values() for replicate in own]
    common = _common(rows)
    if len(rows) < 2 or len(common) < 2 or not several_draws(replicates):
        return None
    kept = {
        row: {name: value for name, value in own.items() if draw_of(name) in common}
        for row, own in rows.items()
    }
    if all(len(own) == len(common) for own in kept.values()):
        return _by_moments(kept, len(common))
    return _by_mixed_model(kept, len(common))


def _common(rows: Rows) -> set[str]:
    """Return the draws that all rows have."""
    draws = [{draw_of(replicate) for replicate in own} for own in rows.values()]
    return set.intersection(*draws) if draws else set()


def _by_moments(rows: Rows, draws: int) -> VarianceSplit:
    matrix, _ = as_matrix({row: by_unit(own, draws=True) for row, own in rows.items()})
    rest = float(spread(matrix).std)
    between = float(matrix.mean(axis=0).var(ddof=1)) - rest**2 / len(matrix)
    return VarianceSplit(math.sqrt(max(0.0, between)), rest, math.nan, draws)


def _by_mixed_model(rows: Rows, draws: int) -> VarianceSplit:
    import pandas as pd
    from statsmodels.regression.mixed_linear_model import MixedLM

    frame = pd.DataFrame(
        [(row, draw_of(name), value) for row, own in rows.items() for name, value in own.items()],
        columns=["row", "draw", "value"],
    )
    scale = float(frame["value"].std()) or 1.0
    frame["value"] = (frame["value"] - frame["value"].mean()) / scale
    model = MixedLM.from_formula(
        "value ~ C(row)",
        frame,
        groups="draw",
        re_formula="1",
        vc_formula={"row": "0 + C(row)"},
    )
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of variances that are 0, which are shown as that
        fit = model.fit(reml=True, method=["lbfgs", "powell"])
    parts = (float(fit.cov_re.iloc[0, 0]), float(fit.vcomp[0]), float(fit.scale))
    draw, row_draw, seed = (scale * math.sqrt(max(0.0, part)) for part in parts)
    return VarianceSplit(draw, row_draw, seed, draws)
