"""A search, as a store keeps it: its space, what was suggested, decided at rungs, and confirmed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from semisweep.core.errors import ConfigError, StoreError
from semisweep.store.json_fields import Fields, Single
from semisweep.store.resolved_study import FORMAT, ResolvedStudy

Direction = Literal["maximize", "minimize"]
Value = Single  # of a suggestion, as Optuna's distributions have them
DIRECTIONS: tuple[Direction, ...] = ("maximize", "minimize")
# What two searches must agree in to be one, in the order of their digest.
SAME = ("space", "template", "metric", "direction", "sampler", "also", "halving")


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A column of results that is to be high or low."""

    metric: str
    direction: Direction


@dataclass(frozen=True, kw_only=True)
class Halving:
    """Asynchronous successive halving: at each rung only the best 1 / `reduction` go on.

    `rungs`: fractions of the steps, each judged at the first evaluation at or after it by `metric`
    of the history. A trial is compared with those that have been as far, once there are `peers` of
    them; the best of all always goes on. Source: L. Li et al., "A System for Massively Parallel
    Hyperparameter Tuning", MLSys 2020, in its form that stops trials.
    """

    rungs: Sequence[float] = (1 / 9, 1 / 3)
    reduction: int = 3
    peers: int = 2
    metric: str = "val.miou"

    def __post_init__(self) -> None:
        inside = all(0 < rung < 1 for rung in self.rungs)
        if not self.rungs or not inside or sorted(set(self.rungs)) != list(self.rungs):
            raise ConfigError(
                f"rungs must rise within 0 and 1, both excluded, got rungs={tuple(self.rungs)}"
            )
        if self.reduction < 2 or self.peers < 1:
            raise ConfigError(
                "a rung must stop some and compare with some, got "
                f"reduction={self.reduction} (at least 2), peers={self.peers} (at least 1)"
            )


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """A name of a space: Optuna's distribution as JSON text, and where it is drawn at all."""

    distribution: str
    when: tuple[
        tuple[str, tuple[object, ...]], ...
    ] = ()  # another name, and the values it may have
    options: Mapping[str, object] | None = None  # of a bundle: the fields that each choice sets

    def encoded(self) -> object:
        """Return the dimension as JSON has it: the text alone where there is no more."""
        when = {"when": [[name, list(values)] for name, values in self.when]} if self.when else {}
        more = when | ({} if self.options is None else {"options": self.options})
        return {"distribution": self.distribution, **more} if more else self.distribution


@dataclass(frozen=True, kw_only=True)
class RungDecision:
    """What was decided of a trial at a rung, and what it was compared with."""

    step: int
    rung: float  # a fraction of the steps
    value: float  # NaN where it was no number
    stop: bool
    against: Mapping[str, float]  # key -> value
    search: str = ""  # the identity of the search; "" in the table of the search itself

    def encoded(self) -> dict[str, object]:
        """Return the decision as JSON has it."""
        names = ("step", "rung", "value", "stop")
        found: dict[str, object] = {"search": self.search} if self.search else {}
        found |= {name: getattr(self, name) for name in names}
        return found | {"against": dict(self.against)}


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """A trial that a search suggested."""

    number: int
    params: Mapping[str, Value]
    key: str
    saw: tuple[int, ...] | None = None  # numbers of the trials whose end it knew
    rungs: tuple[RungDecision, ...] | None = None  # of a search with halving, once it has ended
    origin: str = ""  # of one that another search has made: which search and number

    @property
    def was_stopped(self) -> bool:
        """Whether the search stopped it at a rung."""
        return any(decision.stop for decision in self.rungs or ())

    def encoded(self) -> dict[str, object]:
        """Return the suggestion as JSON has it."""
        found: dict[str, object] = {"number": self.number, "params": dict(self.params)}
        found["key"] = self.key
        saw = {} if self.saw is None else {"saw": list(self.saw)}
        rungs = {} if self.rungs is None else {"rungs": [rung.encoded() for rung in self.rungs]}
        return found | saw | rungs | ({"origin": self.origin} if self.origin else {})


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """The best few of a search as found, which are trained again on seeds that it has not used.

    `chosen`: by the number of a suggestion, the best first, its new trials: replicate -> key.
    """

    number: int  # of the confirmation, from 0
    after: int  # trials that the search had finished by then
    chosen: Mapping[int, Mapping[str, str]]

    @property
    def keys(self) -> list[str]:
        """The keys of the new trials."""
        return [key for trials in self.chosen.values() for key in trials.values()]

    def encoded(self) -> dict[str, object]:
        """Return the confirmation as JSON has it."""
        chosen = [{"number": own, "trials": dict(trials)} for own, trials in self.chosen.items()]
        return {"number": self.number, "after": self.after, "chosen": chosen}


@dataclass(frozen=True, kw_only=True)
class ResolvedSearch:
    """A search as it ran: all that its next suggestion depends on, beside its trials' ends."""

    name: str
    metric: str
    direction: Direction
    title: str = ""
    scale: str = ""
    sampler: str = "tpe"
    also: tuple[Objective, ...] = ()
    halving: Halving | None = None
    space: Mapping[str, Dimension] | None = None  # None before it has run
    template: str = ""
    data: str = ""  # tells the images and masks that it was begun on; "" where that is not known
    changes: Mapping[str, object] = field(default_factory=dict)
    trials: tuple[Suggestion, ...] = ()
    identity: str = ""
    lag: int = 0  # of one that repeats itself: how many of the last trials it does not know
    front: tuple[int, ...] | None = None  # of several objectives: the best trade-offs' numbers
    confirmations: tuple[Confirmation, ...] = ()  # the newest last

    @property
    def keys(self) -> list[str]:
        """The distinct keys of its trials and of those that confirm the best, in order."""
        again = (key for own in self.confirmations for key in own.keys)
        return list(dict.fromkeys((*self.suggested_keys, *again)))

    @property
    def suggested_keys(self) -> list[str]:
        """The distinct keys of what was suggested, in order."""
        return list(dict.fromkeys(entry.key for entry in self.trials))

    @property
    def own(self) -> tuple[Suggestion, ...]:
        """What it has suggested itself, without what it has taken over from other searches."""
        return tuple(entry for entry in self.trials if not entry.origin)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The objectives, the one that leads first."""
        return (Objective(metric=self.metric, direction=self.direction), *self.also)

    @property
    def metrics(self) -> list[str]:
        """The metric of each objective."""
        return [objective.metric for objective in self.objectives]

    def is_same_as(self, other: ResolvedSearch) -> bool:
        """Return whether two are one search, of which one may have gone further."""
        known = self.data and other.data
        same = all(getattr(self, name) == getattr(other, name) for name in SAME)
        return same and (not known or self.data == other.data)

    def identifying(self) -> list[object]:
        """Return what its identity is a digest of, as JSON has it."""
        found = self.encoded()
        data = [self.data] if self.data else []
        return [*(found[name] for name in ("name", "scale", *SAME)), *data]

    def encoded(self) -> dict[str, object]:
        """Return the search as JSON has it."""
        named = ("name", "title", "metric", "direction", "scale", "sampler")
        found: dict[str, object] = {"format": FORMAT, "kind": "search"}
        found |= {name: getattr(self, name) for name in named}
        found["also"] = [dict(vars(item)) for item in self.also]
        found["halving"] = _halving_encoded(self.halving)
        found["space"] = {name: item.encoded() for name, item in (self.space or {}).items()}
        found |= {"template": self.template, "changes": dict(self.changes)}
        found |= {"data": self.data} if self.data else {}
        found["trials"] = [entry.encoded() for entry in self.trials]
        found["identity"] = self.identity
        found |= {"lag": self.lag} if self.lag else {}
        found |= {} if self.front is None else {"front": list(self.front)}
        again = [own.encoded() for own in self.confirmations]
        return found | ({"confirmations": again} if again else {})


StudyOrSearch = ResolvedStudy | ResolvedSearch


def decode_search(fields: Fields) -> ResolvedSearch:
    """Return the search that a file holds; raise `StoreError` for one of another shape."""
    space = fields.mapping("space") if fields.values.get("space") is not None else None
    also = fields.items("also", "an objective of a stored search", ())
    suggested = fields.items("trials", "a suggestion of a stored search")
    return ResolvedSearch(
        name=fields.text("name"),
        title=fields.text("title", ""),
        metric=fields.text("metric"),
        direction=_direction(fields),
        scale=fields.text("scale", ""),
        sampler=fields.text("sampler", "tpe"),
        also=tuple(Objective(metric=own.text("metric"), direction=_direction(own)) for own in also),
        halving=_halving(fields) if fields.values.get("halving") is not None else None,
        space=None if space is None else {name: _dimension(fields, name) for name in space},
        template=fields.text("template", ""),
        data=fields.text("data", ""),
        changes=fields.mapping("changes", {}),
        trials=tuple(map(decode_suggestion, suggested)),
        identity=fields.text("identity", ""),
        lag=fields.integer("lag", 0),
        front=fields.integers("front") if fields.values.get("front") is not None else None,
        confirmations=tuple(
            map(decode_confirmation, fields.items("confirmations", "a confirmation", ()))
        ),
    )


def decode_decision(fields: Fields) -> RungDecision:
    """Return the decision at a rung that a file holds; raise `StoreError` for another shape."""
    return RungDecision(
        step=fields.integer("step"),
        rung=fields.number("rung"),
        value=fields.number_or_nan("value"),
        stop=fields.flag("stop"),
        against=fields.numbers_by_name("against"),
        search=fields.text("search", ""),
    )


def _direction(fields: Fields) -> Direction:
    for known in DIRECTIONS:
        if fields.values.get("direction") == known:
            return known
    raise fields.wrong("direction", "maximize or minimize")


def decode_suggestion(fields: Fields) -> Suggestion:
    """Return the suggestion that a file holds; raise `StoreError` for one of another shape."""
    rungs = None
    if fields.values.get("rungs") is not None:
        rungs = tuple(map(decode_decision, fields.items("rungs", "a rung of a stored search")))
    return Suggestion(
        number=fields.integer("number"),
        params=fields.single_values("params"),
        key=fields.text("key"),
        saw=fields.integers("saw") if fields.values.get("saw") is not None else None,
        rungs=rungs,
        origin=fields.text("origin", ""),
    )


def decode_confirmation(fields: Fields) -> Confirmation:
    """Return the confirmation that a file holds; raise `StoreError` for one of another shape."""
    chosen = fields.items("chosen", "a trial that is confirmed")
    return Confirmation(
        number=fields.integer("number"),
        after=fields.integer("after"),
        chosen={own.integer("number"): own.texts_by_name("trials") for own in chosen},
    )


def _dimension(fields: Fields, name: str) -> Dimension:
    own = fields.inner("space", "the space of a stored search")
    if isinstance(own.values[name], str):
        return Dimension(distribution=own.text(name))
    item = own.inner(name, f"{name} in the space of a stored search")
    options = item.mapping("options") if item.values.get("options") is not None else None
    return Dimension(distribution=item.text("distribution"), when=_when(item), options=options)


def _when(item: Fields) -> tuple[tuple[str, tuple[object, ...]], ...]:
    found: list[tuple[str, tuple[object, ...]]] = []
    for name, values in item.pairs("when", ()):
        if not isinstance(name, str) or not isinstance(values, list | tuple):
            raise item.wrong("when", "a list of names with their values")
        found.append((name, tuple(values)))
    return tuple(found)


def _halving(fields: Fields) -> Halving:
    own = fields.inner("halving", "the halving of a stored search")
    try:
        return Halving(
            rungs=own.numbers("rungs"),
            reduction=own.integer("reduction"),
            peers=own.integer("peers"),
            metric=own.text("metric"),
        )
    except ConfigError as error:
        raise StoreError(f"{error}, path={fields.path}") from None


def _halving_encoded(halving: Halving | None) -> dict[str, object] | None:
    return None if halving is None else vars(halving) | {"rungs": list(halving.rungs)}
