"""Which parts of a method are on in each row of a study that takes it apart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, cast, get_args

from semisweep.store.json_fields import Fields

Kind = Literal[
    "leave-one-out", "one-in", "cumulative", "factorial", "shapley", "path", "combinations",
]  # fmt: skip
KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(frozen=True, kw_only=True)
class Design:
    """The switches of a method, and which of them each row has on.

    `orders` are those in which switches are added: of a cumulative design or a path the one, of
    Shapley values those that were sampled of `all_orders`; of pairs of an order and its reverse,
    they follow each other. `aliases`: effects of a fraction of a factorial that cannot be told
    from each other, "a" of a switch and "a:b" of an interaction.
    """

    kind: Kind
    switches: tuple[str, ...]
    on: Mapping[str, tuple[str, ...]]  # row -> switches
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # switch -> others
    orders: tuple[tuple[str, ...], ...] = ()
    all_orders: int = 0
    aliases: tuple[tuple[str, ...], ...] = ()
    resolution: int = 0  # of a fraction: 3 is III; 0: nothing is aliased
    titles: Mapping[str, str] = field(default_factory=dict)  # switch -> what tables call it

    @property
    def rows(self) -> Mapping[frozenset[str], str]:
        """The row of each set of switches that are on."""
        return {frozenset(own): row for row, own in self.on.items()}

    def encoded(self) -> dict[str, object]:
        """Return the design as JSON has it."""
        return {
            "kind": self.kind,
            "switches": list(self.switches),
            "on": {row: list(own) for row, own in self.on.items()},
            "needs": {name: list(own) for name, own in self.needs.items()},
            "orders": [list(order) for order in self.orders],
            "all_orders": self.all_orders,
            "aliases": [list(group) for group in self.aliases],
            "resolution": self.resolution,
            "titles": dict(self.titles),
        }


def decode_design(fields: Fields) -> Design:
    """Return the design that a stored study has; raise `StoreError` for one of another shape."""
    kind = fields.text("kind")
    if kind not in KINDS:
        raise fields.wrong("kind", f"one of {', '.join(KINDS)}")
    found = Design(
        kind=cast(Kind, kind),
        switches=fields.texts("switches"),
        on=fields.lists_of_texts_by_name("on"),
        needs=fields.lists_of_texts_by_name("needs"),
        orders=fields.lists_of_texts("orders"),
        all_orders=fields.integer("all_orders"),
        aliases=fields.lists_of_texts("aliases"),
        resolution=fields.integer("resolution"),
        titles=fields.texts_by_name("titles"),
    )
    _check(found, fields)
    return found


def _check(design: Design, fields: Fields) -> None:
    """Raise `StoreError` for switches that are none of the design's, and for wrong orders."""
    known = set(design.switches)
    if not known or len(known) < len(design.switches):
        raise fields.wrong("switches", "different names, at least one")
    named = {"on": design.on.values(), "needs": (*design.needs.values(), tuple(design.needs))}
    for name, lists in named.items():
        if not known.issuperset(own for names in lists for own in names):
            raise fields.wrong(name, "of its switches")
    least, most = {"cumulative": (1, 1), "path": (0, 1)}.get(design.kind, (0, math.inf))
    right = all(sorted(order) == sorted(known) for order in design.orders)
    if not right or not least <= len(design.orders) <= most:
        raise fields.wrong("orders", f"orders of its switches, as {design.kind} has them")
    sets = {frozenset(order[:count]) for order in design.orders for count in range(len(known) + 1)}
    if design.kind == "shapley" and not sets <= design.rows.keys():
        raise fields.wrong("orders", "orders of which each step has a row")
    if design.orders and design.all_orders < len(design.orders):
        raise fields.wrong("all_orders", "at least as many as its orders")
