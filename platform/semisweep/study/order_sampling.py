"""Orders in which switches can be added, each after what it needs: sets on the way, and samples.

Where nothing needs anything these are all permutations. They are counted by sets: the orders that
lead on from a set are those that lead on from each set with one switch more.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from semisweep.training.switches import Switch

On = frozenset[str]
Order = tuple[str, ...]

MOST_TRIES = 1000  # for an order that has not been drawn


def sets_of(switches: Sequence[Switch]) -> list[On]:
    """Return all sets of switches in which each has what it needs, smaller ones first."""
    found: list[On] = []
    last: dict[On, None] = {frozenset(): None}
    while last:
        found += last
        last = {on | {name}: None for on in last for name in _next(switches, on)}
    return found


def count_orders(switches: Sequence[Switch]) -> int:
    """Return in how many orders switches can be added, each after what it needs."""
    return _Counts(switches)(frozenset())


def sampled_orders(switches: Sequence[Switch], seed: int) -> Iterator[list[Order]]:
    """Yield different orders that are equally likely, in groups that belong together.

    A group is an order and its reverse where no switch needs another, else one order. Ends when
    there are no others.
    """
    counts, numbers = _Counts(switches), random.Random(seed)
    every = counts(frozenset())
    known: set[Order] = set()
    pairs = not any(own.needs for own in switches) and len(switches) > 1
    tries = 0
    while len(known) < every and tries < MOST_TRIES:
        order = _drawn(switches, counts, numbers)
        tries += 1
        if order not in known:
            group = [order, order[::-1]] if pairs else [order]
            known.update(group)
            tries = 0
            yield group


class _Counts:
    """Counts the orders that lead from a set of switches to all of them."""

    def __init__(self, switches: Sequence[Switch]) -> None:
        self.switches = switches
        self._known: dict[On, int] = {}

    def __call__(self, on: On) -> int:
        if len(on) == len(self.switches):
            return 1
        if on not in self._known:
            self._known[on] = sum(self(on | {name}) for name in _next(self.switches, on))
        return self._known[on]


def _drawn(switches: Sequence[Switch], counts: _Counts, numbers: random.Random) -> Order:
    on: On = frozenset()
    order: list[str] = []
    while len(order) < len(switches):
        names = _next(switches, on)
        weights = [counts(on | {name}) for name in names]
        order.append(numbers.choices(names, weights)[0])
        on |= {order[-1]}
    return tuple(order)


def _next(switches: Sequence[Switch], on: On) -> list[str]:
    """Return the switches that can be added to a set."""
    return [own.name for own in switches if own.name not in on and on.issuperset(own.needs)]
