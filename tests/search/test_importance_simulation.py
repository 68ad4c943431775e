"""Hundreds of simulated searches: what is called important, by PED-ANOVA, fANOVA and here.

Four parameters, noise of standard deviation 1; a real parameter moves the mean by so many of them
over its range. Before there was a null, whatever came first was shown first. Bounds are those that
a true rate of 5 % would exceed once in a thousand such simulations. Prints its table with -s.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from statistics import median

import optuna
import pytest
from scipy import stats
from simulated_search import SPACE, Simulated, simulated

from semisweep.search.importance import importances
from semisweep.search.sampling import as_study

LOOKS = (4, 8, 12, 16, 20)
NULL, REAL, COMPARED = 400, 100, 20
MOST = stats.binom.ppf(0.999, NULL, 0.05)
Shares = Callable[[Simulated], Mapping[str, float]]

pytestmark = [pytest.mark.statistics, pytest.mark.timeout(1800)]


def ped_anova(found: Simulated) -> Mapping[str, float]:
    """Return the shares that were shown before."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shares = optuna.importance.get_param_importances(as_study(*found))
    return dict(shares)


def fanova(found: Simulated) -> Mapping[str, float]:
    """Return the shares of a functional ANOVA by a forest of trees."""
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return dict(optuna.importance.get_param_importances(as_study(*found), evaluator=evaluator))


def standing_out(found: Simulated) -> Mapping[str, float]:
    """Return the shares that are shown now."""
    return {name: own.share for name, own in importances(*found).standing_out.items()}


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_without_a_signal_something_stands_out_in_one_search_of_twenty(sampler: str) -> None:
    shown: Counter[int] = Counter()
    for seed in range(NULL):
        whole = simulated(sampler, LOOKS[-1], seed)
        shown.update(trials for trials in LOOKS if standing_out(whole.cut(trials)))
    told = ", ".join(f"{100 * shown[trials] / NULL:.1f} % at {trials}" for trials in LOOKS)
    print(f"\n{sampler}, no signal: something stands out in {told} trials")

    assert all(shown[trials] <= MOST for trials in LOOKS)
    assert shown[4] == shown[8] == 0


@pytest.mark.parametrize("sampler", ["tpe", "random"])
@pytest.mark.parametrize("effect", [4.0, 5.0])
def test_a_real_parameter_is_shown_first_and_an_inert_one_is_not(
    sampler: str, effect: float
) -> None:
    real: Counter[int] = Counter()
    inert: Counter[int] = Counter()
    for seed in range(REAL):
        name = list(SPACE)[seed % len(SPACE)]
        whole = simulated(sampler, LOOKS[-1], 1000 + seed, name, effect)
        for trials in LOOKS:
            shown = next(iter(standing_out(whole.cut(trials))), None)
            real[trials] += shown == name
            inert[trials] += shown not in (None, name)
    for trials in LOOKS:
        print(f"\n{sampler}, {effect} sd, {trials} trials: real first in {real[trials]} of {REAL}"
              f", an inert one in {inert[trials]}")  # fmt: skip

    assert all(inert[trials] <= stats.binom.ppf(0.999, REAL, 0.05) for trials in LOOKS)
    assert real[16] >= 0.75 * REAL


def test_what_was_shown_before_ranked_noise_first() -> None:
    """The table of before and after: 20 TPE searches, one real parameter (4 sd)."""
    ways: dict[str, Shares] = {"PED-ANOVA": ped_anova, "fANOVA": fanova, "now": standing_out}
    inert: Counter[tuple[str, int]] = Counter()
    top: dict[tuple[str, int], list[float]] = {}
    for seed in range(COMPARED):
        name = list(SPACE)[seed % len(SPACE)]
        real, none = (simulated("tpe", LOOKS[-1], 2000 + seed, own, 4.0) for own in (name, ""))
        for trials in LOOKS:
            for way, shares in ways.items():
                found = shares(real.cut(trials))
                inert[way, trials] += bool(found) and max(found, key=lambda n: found[n]) != name
                top.setdefault((way, trials), []).append(
                    max(shares(none.cut(trials)).values(), default=0.0)
                )
    print()
    for way in ways:
        told = ", ".join(
            f"{trials}: {inert[way, trials]} of {COMPARED} ({100 * median(top[way, trials]):.0f} %)"
            for trials in LOOKS
        )
        print(f"{way:10} inert first, by trials (median of the top share without signal): {told}")

    assert all(inert["now", trials] <= 1 for trials in LOOKS)
    assert all(median(top["now", trials]) == 0 for trials in LOOKS)
    assert median(top["PED-ANOVA", 20]) > 0.4
