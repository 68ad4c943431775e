"""What designs ask for: weights against definitions that are written down as slow loops."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
import random_designs
from random_designs import (
    Needs,
    admissible_orders,
    admissible_sets,
    closed,
    half_fraction,
    named,
    shapley_values,
)

from semisweep.statistics.design_contrasts import Contrast, contrasts
from semisweep.store.resolved_design import KINDS, Design

CHAIN = {"c": ("a",), "d": ("b", "c")}
NEEDS = [{}, {"b": ("a",)}, CHAIN]


class Game:
    """A random worth of every set of switches."""

    def __init__(self, switches: Sequence[str] = "abcd", seed: int = 0) -> None:
        numbers = np.random.default_rng(seed)
        self.of = {own: float(numbers.normal(60, 5)) for own in admissible_sets(switches, {})}

    def __call__(self, own: frozenset[str]) -> float:
        return self.of[own]


def estimates(design: Design, game: Game) -> dict[str, float]:
    worth = random_designs.values(design, game)
    return {own.name: total(own, worth) for own in contrasts(design)}


def total(contrast: Contrast, worth: dict[str, float]) -> float:
    return math.fsum(weight * worth[row] for row, weight in contrast.weights.items())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("needs", NEEDS)
@pytest.mark.parametrize("sampled", [0, 6])
def test_weights_sum_to_nothing_so_that_what_all_rows_share_is_gone(
    kind: str, needs: Needs, sampled: int
) -> None:
    found = contrasts(random_designs.design(kind, "abcd", needs, sampled=sampled))  # type: ignore[arg-type]

    assert [own.name for own in found if own.kind == "part"] == [*"abcd"] or kind == "path"
    for own in found:
        assert math.fsum(own.weights.values()) == pytest.approx(0, abs=1e-12)
        assert all(own.weights.values())


def test_leaving_out_takes_along_what_needs_it() -> None:
    game, full = Game(), frozenset("abcd")
    design = random_designs.design("leave-one-out", "abcd", CHAIN)
    left = {"a": "b", "b": "ac", "c": "ab", "d": "abc"}

    assert estimates(design, game) == pytest.approx(
        {name: game(full) - game(frozenset(rest)) for name, rest in left.items()}
    )
    assert {own.base for own in contrasts(design)} == {"a+b+c+d"}


def test_putting_in_is_against_what_is_needed_alone_or_nothing() -> None:
    """Of d there is no row with a, b and c alone, so it is told with all that it needs."""
    game, none = Game(), frozenset[str]()
    found = estimates(random_designs.design("one-in", "abcd", CHAIN), game)

    assert found["c"] == pytest.approx(game(frozenset("ac")) - game(frozenset("a")))
    assert found["d"] == pytest.approx(game(frozenset("abcd")) - game(none))
    for name in "ab":
        assert found[name] == pytest.approx(game(frozenset(name)) - game(none))


@pytest.mark.parametrize("kind", ["cumulative", "path"])
def test_steps_are_against_the_step_before(kind: str) -> None:
    game = Game()
    design = random_designs.design(kind, "abcd", CHAIN, seed=1)  # type: ignore[arg-type]
    (order,) = design.orders
    found = estimates(design, game)

    assert list(found) == list(order)
    for at, name in enumerate(order):
        expected = game(frozenset(order[: at + 1])) - game(frozenset(order[:at]))
        assert found[name] == pytest.approx(expected)
    assert math.fsum(found.values()) == pytest.approx(game(frozenset("abcd")) - game(frozenset()))


@pytest.mark.parametrize("needs", NEEDS)
def test_effects_of_a_factorial_are_means_over_admissible_pairs_and_quadruples(
    needs: Needs,
) -> None:
    game, sets = Game(), admissible_sets("abcd", needs)
    expected = {}
    for i in "abcd":
        pairs = [(s | {i}, s) for s in sets if i not in s and s | {i} in sets]
        expected[i] = np.mean([game(one) - game(two) for one, two in pairs])
    for i, j in itertools.combinations("abcd", 2):
        squares = [
            game(s | {i, j}) - game(s | {i}) - game(s | {j}) + game(s)
            for s in sets
            if not {i, j} & s and {s | {i}, s | {j}, s | {i, j}} <= set(sets)
        ]
        if squares:
            expected[f"{i}:{j}"] = np.mean(squares)

    assert estimates(random_designs.design("factorial", "abcd", needs), game) == pytest.approx(
        expected
    )
    assert ("a:c" in expected) == ("c" not in needs)


def test_a_factorial_with_needs_and_without_a_row_has_the_pairs_that_are_there() -> None:
    game = Game("abc")
    sets = [own for own in admissible_sets("abc", {"c": ("a",)}) if own != frozenset("ab")]
    needs = {"c": ("a",)}
    design = Design(kind="factorial", switches=("a", "b", "c"), on=named(sets), needs=needs)
    found = estimates(design, game)

    assert list(found) == ["a", "b", "c"]
    ends = [(game(frozenset("b")), game(frozenset())),
            (game(frozenset("abc")), game(frozenset("ac")))]  # fmt: skip
    assert found["b"] == pytest.approx(np.mean([one - two for one, two in ends]))


def test_without_needs_they_are_the_classical_differences_of_means() -> None:
    game = Game()
    found = estimates(random_designs.design("factorial", "abcd"), game)

    def effect(i: str, **others: bool) -> float:
        with_i, without = ([
            worth for own, worth in game.of.items()
            if (i in own) == on and all((name in own) == own_on for name, own_on in others.items())
        ] for on in (True, False))  # fmt: skip
        return float(np.mean(with_i) - np.mean(without))

    assert found["b"] == pytest.approx(effect("b"))
    assert found["b:d"] == pytest.approx(effect("b", d=True) - effect("b", d=False))


@pytest.mark.parametrize("sign", [1, -1])
def test_an_effect_of_a_fraction_is_that_of_its_aliases_together(sign: int) -> None:
    """Of the half of 2^4 the product of all, I = abcd, is 1 or -1: ab is with or against cd."""
    game, design = Game(), half_fraction("abcd", sign)
    whole = estimates(random_designs.design("factorial", "abcd"), game)
    found = {own.name: own for own in contrasts(design)}
    told = {name: total(own, random_designs.values(design, game)) for name, own in found.items()}
    minus = "" if sign == 1 else "-"

    names = [f"a:b = {minus}c:d", f"a:c = {minus}b:d", f"a:d = {minus}b:c"]
    assert list(found) == [*"abcd", *names]
    assert found[names[0]].aliases == ("c:d",)
    assert told[names[0]] == pytest.approx(whole["a:b"] + sign * whole["c:d"])
    assert {own.kind for name, own in found.items() if ":" in name} == {"interaction"}
    three = classical(game, "bcd")
    assert told["a"] == pytest.approx(whole["a"] + sign * three)


def classical(game: Game, parts: str) -> float:
    """Return the difference of means of the sets whose product over parts is 1, and -1."""
    means = [
        np.mean([w for own, w in game.of.items() if (-1) ** len(set(parts) - own) == sign])
        for sign in (1, -1)
    ]
    return float(means[0] - means[1])


def test_a_part_of_a_fraction_names_the_interaction_that_looks_like_it() -> None:
    """In the half of 2^3 a is b:c, of which it has half, as an interaction has twice the scale."""
    game, design = Game("abc"), half_fraction("abc")
    found = estimates(design, game)

    assert list(found) == ["a = b:c", "b = a:c", "c = a:b"]
    whole = estimates(random_designs.design("factorial", "abc"), game)
    assert found["a = b:c"] == pytest.approx(whole["a"] + whole["b:c"] / 2)


@pytest.mark.parametrize("needs", NEEDS)
def test_shapley_values_of_all_sets_are_those_of_all_admissible_orders(needs: Needs) -> None:
    game = Game()
    found = contrasts(random_designs.design("shapley", "abcd", needs))
    worth = {row: game(frozenset(own))
             for row, own in named(admissible_sets("abcd", needs)).items()}  # fmt: skip
    parts = {own.name: total(own, worth) for own in found if own.kind == "part"}

    assert parts == pytest.approx(shapley_values("abcd", needs, game))
    assert math.fsum(parts.values()) == pytest.approx(
        game(frozenset("abcd")) - game(frozenset()), abs=1e-9
    )
    assert not any(own.orders for own in found)


@pytest.mark.parametrize("needs", NEEDS)
def test_their_interactions_are_means_over_orders_in_which_two_could_be_exchanged(
    needs: Needs,
) -> None:
    game = Game()
    gains: dict[str, list[float]] = {}
    orders = admissible_orders("abcd", needs)
    for order in orders:
        for at in range(3):
            i, j = order[at : at + 2]
            if (*order[:at], j, i, *order[at + 2 :]) not in orders:
                continue
            s = frozenset(order[:at])
            gain = game(s | {i, j}) - game(s | {i}) - game(s | {j}) + game(s)
            gains.setdefault(":".join(sorted((i, j))), []).append(gain)
    found = estimates(random_designs.design("shapley", "abcd", needs), game)

    assert {name: own for name, own in found.items() if ":" in name} == pytest.approx(
        {name: np.mean(own) for name, own in gains.items()}
    )


def test_without_needs_that_is_the_interaction_index() -> None:
    game, found = Game(), estimates(random_designs.design("shapley", "abcd"), Game())
    index = 0.0
    for s in admissible_sets("cd", {}):
        weight = math.factorial(len(s)) * math.factorial(2 - len(s)) / math.factorial(3)
        index += weight * (game(s | {*"ab"}) - game(s | {"a"}) - game(s | {"b"}) + game(s))

    assert found["a:b"] == pytest.approx(index)


@pytest.mark.parametrize("needs", NEEDS)
def test_sampled_shapley_values_are_means_over_the_orders_that_were_drawn(needs: Needs) -> None:
    game = Game()
    pairs = not needs
    design = random_designs.design("shapley", "abcd", needs, sampled=4 if pairs else 2)
    found = contrasts(design)
    there = 12 if pairs else len(admissible_orders("abcd", needs))
    assert {(len(own.orders), own.all_orders) for own in found} == {(2, there)}
    worth = random_designs.values(design, game)
    for own in found:
        gains = [
            game(frozenset(order[: order.index(own.name) + 1]))
            - game(frozenset(order[: order.index(own.name)]))
            for order in design.orders
        ]
        assert total(own, worth) == pytest.approx(np.mean(gains))
        each = [sum(w * worth[row] for row, w in order.items()) for order in own.orders]
        expected = [np.mean(gains[at : at + 2]) for at in (0, 2)] if pairs else gains
        assert each == pytest.approx(expected)
    full = game(frozenset("abcd")) - game(frozenset())
    assert math.fsum(total(own, worth) for own in found) == pytest.approx(full, abs=1e-9)


def test_orders_of_which_one_is_not_reversed_count_each() -> None:
    orders = tuple(tuple(order) for order in ("abcd", "dcba", "bacd", "acbd"))
    sets = [frozenset(order[:at]) for order in orders for at in range(5)]
    design = Design(kind="shapley", switches=tuple("abcd"), on=named(sets), orders=orders,
                    all_orders=24)  # fmt: skip

    assert {(len(own.orders), own.all_orders) for own in contrasts(design)} == {(4, 24)}


def test_of_any_sets_what_has_a_pair_or_a_quadruple_is_told() -> None:
    game = Game()
    sets = [frozenset(own) for own in ("", "a", "b", "ab", "abd")]
    design = Design(kind="combinations", switches=tuple("abcd"), on=named(sets))
    found = estimates(design, game)

    assert list(found) == ["a", "b", "d", "a:b"]
    first, second = (game(frozenset("a")) - game(frozenset()),
                     game(frozenset("ab")) - game(frozenset("b")))  # fmt: skip
    assert found["a"] == pytest.approx((first + second) / 2)
    assert found["a:b"] == pytest.approx(second - first)
    assert found["d"] == pytest.approx(game(frozenset("abd")) - game(frozenset("ab")))


def test_needs_of_needs_are_needed() -> None:
    assert closed("d", {"d": ("c",), "c": ("a",)}) == frozenset("acd")
    deep = {"d": ("c",), "c": ("a",)}
    found = contrasts(random_designs.design("leave-one-out", "abcd", deep))

    assert found[0].weights == {"a+b+c+d": 1, "b": -1}
