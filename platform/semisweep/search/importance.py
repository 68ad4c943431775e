"""Which parameters of a search matter, as far as its finished trials can tell.

A parameter's share is that part of the scores' variance which it explains alone: the first-order
term of a functional ANOVA (F. Hutter, H. Hoos, K. Leyton-Brown, ICML 2014), here of a straight line
or a parabola in a number and of the means of a choice, less what chance explains. Shares are not
made to add up to 1: what is left is noise, and what parameters do together.

A parameter stands out where it seldom explains as much of scores that were permuted over the trials
(A. Altmann et al., Bioinformatics 2010), after Holm's correction over the parameters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from semisweep.search.sampling import positions
from semisweep.search.trial_outcome import Observation
from semisweep.store.resolved_search import ResolvedSearch, Suggestion, Value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FEWEST = 10  # trials; with 8, a tenth of what stands out in simulated searches is inert
LEVEL = 0.05  # of the chance that anything stands out where nothing matters
PERMUTATIONS = 9999
SAME = 1e-9  # numbers that differ by less are equal
METHOD = (
    "share of the variance that each explains alone: first-order functional ANOVA, "
    "Hutter et al. 2014; what stands out does so against permuted scores, Altmann et al. 2010, "
    "at 5 % after Holm"
)


class Importance(NamedTuple):
    """What a parameter explains: the share of the scores' variance, and its corrected p-value."""

    share: float
    p: float

    @property
    def stands_out(self) -> bool:
        """Whether it explains more than chance does."""
        return self.p <= LEVEL


class Importances(NamedTuple):
    """The importance of each parameter by name, the greatest share first.

    Empty where fewer than `FEWEST` trials have finished. `unknown`: how many parameters fewer have.
    """

    trials: int
    of: Mapping[str, Importance]
    unknown: int

    @property
    def standing_out(self) -> dict[str, Importance]:
        """The parameters that stand out."""
        return {name: own for name, own in self.of.items() if own.stands_out}

    @property
    def text(self) -> str:
        """Return in a few words what is known."""
        if self.trials < FEWEST:
            return f"needs {FEWEST} finished trials, there are {self.trials}"
        found = self.standing_out
        told = ", ".join(
            f"{name} {100 * own.share:.0f} % (p = {own.p:.2g})" for name, own in found.items()
        )
        told = f"{told}, of {len(self.of)} parameters" if told else "no parameter stands out"
        few = f"; not judged: {self.unknown} of fewer than {FEWEST} trials" if self.unknown else ""
        return f"{told}{few} ({self.trials} trials)"


def importances(search: ResolvedSearch, outcomes: Mapping[str, Observation]) -> Importances:
    """Return what each name of the space explains of the first objective, over finished trials.

    A trial that was suggested repeatedly counts once. A name that only some trials have is judged
    among those, if they are enough; its share is one of all scores' variance.
    """
    space = search.space or {}
    entries = {entry.key: entry for entry in reversed(search.trials)}
    scores = {
        key: outcome.values[0]
        for key, outcome in outcomes.items()
        if key in entries and outcome.state == "finished" and math.isfinite(outcome.values[0])
    }
    if len(scores) < FEWEST:
        return Importances(len(scores), {}, 0)
    found = {
        name: _judged(search, name, entries, scores)
        for name in space
        if sum(name in entries[key].params for key in scores) >= FEWEST
    }
    order = sorted(found, key=lambda name: found[name].p)
    corrected, least = {}, 0.0
    for place, name in enumerate(order):  # Holm's step-down
        least = max(least, min(1.0, (len(order) - place) * found[name].p))
        corrected[name] = found[name]._replace(p=least)
    ordered = sorted(corrected.items(), key=lambda item: (-item[1].share, item[1].p))
    return Importances(len(scores), dict(ordered), len(space) - len(found))


def _judged(
    search: ResolvedSearch,
    name: str,
    entries: Mapping[str, Suggestion],
    scores: Mapping[str, float],
) -> Importance:
    """Return the share of a parameter and its p-value, not corrected."""
    import numpy as np

    having = [key for key in sorted(scores) if name in entries[key].params]
    own = np.array([scores[key] for key in having])
    whole = np.array(list(scores.values()))
    total = float(((whole - whole.mean()) ** 2).sum())
    if not total:
        return Importance(0.0, 1.0)
    centred = own - own.mean()
    bases = _bases(search, name, [entries[key].params[name] for key in having])
    rng = np.random.default_rng(len(having))  # the same at every look
    permuted = rng.permuted(np.tile(centred, (PERMUTATIONS, 1)), axis=1)
    tests = [_surprise(basis, np.vstack([centred, permuted])) for basis in bases]
    surprise = np.max(tests, axis=0)
    p = float((surprise >= surprise[0] - SAME).mean())
    best = max(zip(bases, tests, strict=True), key=lambda pair: pair[1][0])[0]
    explained = _explained(best, centred[None])[0] * float((centred**2).sum()) / total
    return Importance(float(explained), p)


def _bases(search: ResolvedSearch, name: str, values: Sequence[Value]) -> list[Floats]:
    """Return orthonormal bases [n, k] of what scores may be of a parameter, without a constant."""
    import numpy as np

    places = positions((search.space or {})[name], values)
    if places is None:
        levels = dict.fromkeys(values)
        return [_orthonormal(np.array([[float(v == own) for own in levels] for v in values]))]
    line = np.array(places)[:, None]
    line = (line - line.mean()) / (line.std() or 1.0)
    return [_orthonormal(line), _orthonormal(np.hstack([line, line**2]))]


def _orthonormal(columns: Floats) -> Floats:
    """Return an orthonormal basis of what columns [n, k] span beside a constant."""
    import numpy as np

    left, sizes, _ = np.linalg.svd(columns - columns.mean(axis=0), full_matrices=False)
    return left[:, sizes > 1e-8]


def _explained(basis: Floats, scores: Floats) -> Floats:
    """Return the share of variance that a basis [n, k] explains of centred scores [m, n].

    Adjusted for what k columns explain by chance; at least 0.
    """
    import numpy as np

    count, k = basis.shape
    if not k or count - 1 <= k:
        return np.zeros(len(scores))
    found: Floats = 1 - (1 - _fit(basis, scores)) * (count - 1) / (count - 1 - k)
    return np.maximum(found, 0.0)


def _surprise(basis: Floats, scores: Floats) -> Floats:
    """Return minus the logarithm of the F test's p-value, by row of centred scores [m, n]."""
    import numpy as np
    from scipy.special import betainc

    count, k = basis.shape
    if not k or count - 1 <= k:
        return np.zeros(len(scores))
    p = betainc((count - 1 - k) / 2, k / 2, 1 - _fit(basis, scores))
    surprise: Floats = -np.log(np.maximum(p, 1e-300))
    return surprise


def _fit(basis: Floats, scores: Floats) -> Floats:
    """Return R squared of each row of centred scores [m, n]; 0 where they are all equal."""
    import numpy as np

    squares = (scores**2).sum(axis=1)
    fit: Floats = ((scores @ basis) ** 2).sum(axis=1) / np.where(squares > 0, squares, 1.0)
    return np.minimum(fit, 1.0)
