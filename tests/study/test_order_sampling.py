"""Orders of switches, against all permutations."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence

import pytest

from semisweep import Switch
from semisweep.study.order_sampling import count_orders, sampled_orders, sets_of

NEEDS: Sequence[Mapping[str, tuple[str, ...]]] = (
    {},
    {"b": ("a",)},
    {"b": ("a",), "c": ("b",)},
    {"b": ("a",), "c": ("a",), "d": ("b", "c")},
)


def switches(needs: Mapping[str, tuple[str, ...]], names: str = "abcd") -> list[Switch]:
    return [Switch(name=name, off={name: 0}, needs=needs.get(name, ())) for name in names]


def by_hand(own: Sequence[Switch]) -> set[tuple[str, ...]]:
    """Return the permutations in which each switch comes after what it needs."""
    needs = {switch.name: switch.needs for switch in own}
    return {
        order
        for order in itertools.permutations(needs)
        if all(set(needs[name]) <= set(order[:place]) for place, name in enumerate(order))
    }


@pytest.mark.parametrize("needs", NEEDS)
def test_orders_and_sets_are_those_of_all_permutations(
    needs: Mapping[str, tuple[str, ...]],
) -> None:
    own = switches(needs)
    orders = by_hand(own)

    assert count_orders(own) == len(orders)
    assert set(sets_of(own)) == {frozenset(order[:count]) for order in orders for count in range(5)}
    assert [len(on) for on in sets_of(own)] == sorted(map(len, sets_of(own)))


@pytest.mark.parametrize("needs", NEEDS)
def test_sampled_orders_are_different_ones_until_there_are_no_others(
    needs: Mapping[str, tuple[str, ...]],
) -> None:
    own = switches(needs)
    groups = list(sampled_orders(own, 1))
    found = [order for group in groups for order in group]

    assert len(found) == len(set(found))
    assert set(found) == by_hand(own)
    assert {len(group) for group in groups} == ({1} if needs else {2})
    assert needs or all(one == other[::-1] for one, other in groups)


def test_each_order_is_as_likely_as_any_other() -> None:
    own = switches({"b": ("a",)}, "abc")  # abc, acb, cab
    first = Counter(next(sampled_orders(own, seed))[0] for seed in range(3000))

    assert len(first) == 3
    assert all(abs(count - 1000) < 120 for count in first.values())  # 4.6 standard deviations


def test_the_same_seed_gives_the_same_orders() -> None:
    own = switches({}, "abcdef")

    assert next(sampled_orders(own, 7)) == next(sampled_orders(own, 7))
    assert next(sampled_orders(own, 7)) != next(sampled_orders(own, 8))
