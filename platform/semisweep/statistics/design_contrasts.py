"""What a design that takes a method apart asks for: sums of its rows' means, a weight for each row.

A part is what a switch adds, an interaction what a switch adds with another one on, less what it
adds with that one off. By kind of design:

* leave-one-out: the full method minus the one without the switch and without all that need it.
* one-in: the switch, with what it needs, minus what it needs alone, or minus nothing where no row
  has just that.
* cumulative, path: each step minus the step before.
* factorial, and combinations of any sets: the mean over all pairs of rows that differ in the switch
  alone, and over all quadruples that differ in two. Of all sets of switches that is the classical
  effect, the difference of two means, and the difference of two such effects, which is twice the
  interaction of some textbooks. What has no pair, or no quadruple, has no contrast.
* a fraction of a factorial: the same difference of means, over the rows that are there. It is that
  of all its aliases together, and its name has them: "a:b = -c:d", minus where they have opposite
  signs. An interaction of two has the scale above.
* shapley: the mean over orders of what the switch adds to those before it (L. S. Shapley, 1953),
  where switches need others over admissible orders (U. Faigle and W. Kern, International Journal of
  Game Theory 21, 1992). With the rows of all admissible sets it is exact, over all such orders, and
  interactions of two are there: the mean over orders in which they follow each other and could be
  exchanged, which without needs is the interaction index of M. Grabisch and M. Roubens
  (International Journal of Game Theory 28, 1999). Else it is the mean over the sampled orders.

Every contrast is free of what all rows share: its weights sum to 0.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from semisweep.store.resolved_design import Design

Kind = Literal["part", "interaction"]
Weights = Mapping[str, float]  # row -> weight of its mean; rows without one are not in it
Set = frozenset[str]  # of switches that are on
Rows = Mapping[Set, str]  # the row of each set


class Contrast(NamedTuple):
    """A weighted sum of rows' means."""

    name: str  # "a" of a part, "a:b" of an interaction, with aliases behind it
    kind: Kind
    weights: Weights
    base: str = ""  # the row that is in all contrasts of the design
    orders: tuple[Weights, ...] = ()  # of each sampled order, or pair of orders; empty: exact
    all_orders: int = 0  # that could have been sampled, or pairs of them
    aliases: tuple[str, ...] = ()


def contrasts(design: Design) -> list[Contrast]:
    """Return what a design tells of its switches: parts in their order, then interactions."""
    rows = design.rows
    if design.kind == "leave-one-out":
        return list(_left_out(design, rows))
    if design.kind == "one-in":
        return list(_put_in(design, rows))
    if design.kind in ("cumulative", "path"):
        return list(_steps(design, rows))
    if design.kind == "shapley":
        return list(_shapley(design, rows))
    if design.kind == "factorial" and not design.needs and _ways(design, rows) is None:
        return list(_of_fraction(design))
    return list(_averaged(design, rows))


def _left_out(design: Design, rows: Rows) -> Iterator[Contrast]:
    full = frozenset(design.switches)
    for switch in design.switches:
        without = {own for own in full if switch in _with_needs(design, own)}
        pair = (full, full - without)
        if _there(rows, *pair):
            base = rows[full]
            yield Contrast(switch, "part", _weights(rows, zip(pair, (1, -1), strict=True)), base)


def _put_in(design: Design, rows: Rows) -> Iterator[Contrast]:
    for switch in design.switches:
        alone = _with_needs(design, switch)
        before = alone - {switch}
        pair = (alone, before if before in rows else frozenset())
        if _there(rows, *pair):
            base = rows[pair[1]]
            yield Contrast(switch, "part", _weights(rows, zip(pair, (1, -1), strict=True)), base)


def _steps(design: Design, rows: Rows) -> Iterator[Contrast]:
    order = design.orders[0] if design.orders else ()  # of a path that has not begun
    for place, switch in enumerate(order):
        pair = (frozenset(order[: place + 1]), frozenset(order[:place]))
        if _there(rows, *pair):
            yield Contrast(switch, "part", _weights(rows, zip(pair, (1, -1), strict=True)))


def _averaged(design: Design, rows: Rows) -> Iterator[Contrast]:
    for switch in design.switches:
        pairs = [own for own in rows if _grown(rows, own, switch)]
        if pairs:
            yield Contrast(switch, "part", _mean(rows, pairs, (switch,), [1] * len(pairs)))
    for two in itertools.combinations(design.switches, 2):
        squares = _squares(rows, two)
        if squares:
            weights = _mean(rows, squares, two, [1] * len(squares))
            yield Contrast(":".join(two), "interaction", weights)


def _shapley(design: Design, rows: Rows) -> Iterator[Contrast]:
    ways = _ways(design, rows)
    if ways is None:
        yield from _sampled(design, rows)
        return
    down, up = ways
    for switch in design.switches:
        pairs = [own for own in down if _grown(rows, own, switch)]
        shares = [down[own] * up[own | {switch}] for own in pairs]
        if pairs:
            yield Contrast(switch, "part", _mean(rows, pairs, (switch,), shares))
    for two in itertools.combinations(design.switches, 2):
        squares = [own for own in _squares(rows, two) if own in down]
        shares = [down[own] * up[own | set(two)] for own in squares]
        if squares:
            weights = _mean(rows, squares, two, shares)
            yield Contrast(":".join(two), "interaction", weights)


def _sampled(design: Design, rows: Rows) -> Iterator[Contrast]:
    orders: Sequence[tuple[tuple[str, ...], ...]] = [(order,) for order in design.orders]
    there = design.all_orders
    pairs = list(zip(design.orders[::2], design.orders[1::2], strict=False))
    if 2 * len(pairs) == len(orders) and all(one == two[::-1] for one, two in pairs):
        orders, there = pairs, there // 2
    for switch in design.switches:
        own = tuple(_sum(_marginals(rows, group, switch)) for group in orders)
        weights = _sum((row, x / len(own)) for each in own for row, x in each.items())
        yield Contrast(switch, "part", weights, orders=own, all_orders=there)


def _marginals(
    rows: Rows, orders: Sequence[tuple[str, ...]], switch: str
) -> Iterator[tuple[str, float]]:
    """Yield the weights of what a switch adds to those before it, over the mean of orders."""
    for order in orders:
        before = frozenset(order[: order.index(switch)])
        yield rows[before | {switch}], 1 / len(orders)
        yield rows[before], -1 / len(orders)


def _of_fraction(design: Design) -> Iterator[Contrast]:
    alike = {_parts(name): group for group in design.aliases for name in group}
    named: set[Set] = set()
    pairs = itertools.combinations(design.switches, 2)
    for parts in (*((switch,) for switch in design.switches), *pairs):
        signs = _signs(design, parts)
        if frozenset(parts) in named or len(set(signs.values())) < 2:
            continue
        name = ":".join(parts)
        others = tuple(own for own in alike.get(frozenset(parts), ()) if _parts(own) != set(parts))
        named |= {_parts(own) for own in others}
        told = [own if _signs(design, own.split(":")) == signs else f"-{own}" for own in others]
        counts = {sign: list(signs.values()).count(sign) for sign in (1, -1)}
        yield Contrast(
            " = ".join([name, *told]),
            "part" if len(parts) == 1 else "interaction",
            {row: len(parts) * sign / counts[sign] for row, sign in signs.items()},
            aliases=others,
        )


def _signs(design: Design, parts: Iterable[str]) -> dict[str, int]:
    """Return of each row 1 or -1: the product over parts of whether they are on."""
    parts = tuple(parts)
    return {
        row: math.prod(1 if part in own else -1 for part in parts)
        for row, own in design.on.items()
    }  # fmt: skip


def _parts(name: str) -> Set:
    return frozenset(name.split(":"))


def _ways(design: Design, rows: Rows) -> tuple[dict[Set, int], dict[Set, int]] | None:
    """Return how many orders lead to each admissible set, and on; None if one has no row."""
    down: dict[Set, int] = {frozenset(): 1}
    layers = [[frozenset[str]()]]
    if frozenset() not in rows:
        return None
    for _ in design.switches:
        layer: dict[Set, int] = {}
        for own in layers[-1]:
            for switch in design.switches:
                if switch in own or not set(design.needs.get(switch, ())) <= own:
                    continue
                grown = own | {switch}
                if grown not in rows:
                    return None
                layer[grown] = layer.get(grown, 0) + down[own]
        down |= layer
        layers.append(list(layer))
    up: dict[Set, int] = dict.fromkeys(layers[-1], 1)
    for layer_sets in reversed(layers[:-1]):
        for own in layer_sets:
            up[own] = sum(up.get(own | {more}, 0) for more in design.switches if more not in own)
    return (down, up) if up else None


def _with_needs(design: Design, switch: str) -> Set:
    """Return a switch and all that it needs, and what those need."""
    found, new = frozenset[str](), frozenset({switch})
    while new:
        found |= new
        new = frozenset(need for own in new for need in design.needs.get(own, ())) - found
    return found


def _grown(rows: Rows, own: Set, switch: str) -> bool:
    """Return whether there is a row with one more switch."""
    return switch not in own and own | {switch} in rows


def _squares(rows: Rows, two: tuple[str, str]) -> list[Set]:
    """Return the sets without both switches of which there are rows with one, the other, both."""
    a, b = two
    return [
        own
        for own in rows
        if _grown(rows, own, a) and _grown(rows, own, b) and _grown(rows, own | {a}, b)
    ]


def _mean(
    rows: Rows, sets: Sequence[Set], switches: Sequence[str], shares: Sequence[int]
) -> Weights:
    """Return the weighted mean over sets of what switches add, or of how they interact."""
    signed = (
        (own | set(added), (-1) ** (len(switches) - size) * share / sum(shares))
        for own, share in zip(sets, shares, strict=True)
        for size in range(len(switches) + 1)
        for added in itertools.combinations(switches, size)
    )
    return _weights(rows, signed)


def _weights(rows: Rows, sets: Iterable[tuple[Set, float]]) -> Weights:
    return _sum((rows[own], weight) for own, weight in sets)


def _sum(weights: Iterable[tuple[str, float]]) -> Weights:
    """Return the sum of weights by row, without rows whose weights cancel."""
    found: dict[str, list[float]] = {}
    for row, weight in weights:
        found.setdefault(row, []).append(weight)
    sums = {row: math.fsum(own) for row, own in found.items()}
    return {row: own for row, own in sums.items() if abs(own) > 1e-12}


def _there(rows: Rows, *sets: Set) -> bool:
    return all(own in rows for own in sets)
