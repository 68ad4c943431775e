"""Designs of ablations: which switches of a method are on in which rows of a study.

Each returns a `Study`. Equal cells of several designs are trained once, like all equal cells.

    whole = Ablation(method=Mine, presets={"mini": MINI}, columns=[few])
    study = leave_one_out(whole)
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from semisweep.core.config import digest
from semisweep.core.errors import ConfigError, unknown
from semisweep.store.resolved_design import Kind
from semisweep.study.ablation import Ablation, On
from semisweep.study.declaration import Study
from semisweep.study.order_sampling import count_orders, sampled_orders, sets_of
from semisweep.study.scales import Preset
from semisweep.training.switches import Switch

BUDGET = 32  # arms of a design of Shapley values
MOST_ARMS = 512
MOST_SWITCHES = 9  # of which all sets are that many


def leave_one_out(whole: Ablation) -> Study:
    """Return the whole method, and it without each switch and those that need it."""
    full = _full(whole)
    arms = {full: "full"}
    for own in whole.chosen:
        on = whole.without([own.name])
        arms.setdefault(on, f"without {_list(whole, full - on)}")
    return whole.study("leave-one-out", arms, base=full, judged=True)


def one_in(whole: Ablation) -> Study:
    """Return the method with nothing on, and with each switch alone, or with what it needs."""
    none: On = frozenset()
    arms = {none: "none"}
    for own in whole.chosen:
        arms.setdefault(whole.closed([own.name]), f"{_list(whole, whole.closed([own.name]))} alone")
    for own in whole.chosen:  # what a switch needs is what it is compared with
        needed = whole.closed(own.needs)
        arms.setdefault(needed, f"{_list(whole, needed)} alone")
    return whole.study("one-in", arms, base=none, judged=not any(o.needs for o in whole.chosen))


def cumulative(whole: Ablation) -> Study:
    """Return the method with nothing on, then with one switch more in each row, in their order.

    Raises `ConfigError` where a switch comes before one that it needs.
    """
    return _in_order(whole, [own.name for own in whole.chosen], "cumulative")


def factorial(whole: Ablation, resolution: int = 0) -> Study:
    """Return all sets of switches in which each has what it needs, or a fraction of them.

    A fraction of resolution III (3) cannot tell single switches from interactions of two, of IV
    those from each other, of V neither. Its generators are pydoe's. Raises `ConfigError` for a
    fraction where switches need each other, for one that does not exist, and for too many arms.
    """
    names = [own.name for own in whole.chosen]
    full = _full(whole)
    if not resolution:
        _check_size(whole)
        return whole.study("factorial", _labelled(whole, sets_of(whole.chosen)), base=full,
                           judged=False)  # fmt: skip
    for own in whole.chosen:
        if own.needs:
            raise ConfigError(
                "a fraction of a factorial must be of switches that can be on and off freely, "
                f"got switch={own.name}, which needs {', '.join(own.needs)}; leave one of them "
                "out, or take all sets with resolution=0"
            )
    table = _fraction(len(names), resolution)
    sets = [frozenset(n for n, on in zip(names, row, strict=True) if on) for row in table]
    if full not in sets:  # the mirrored fraction is as good, and has the whole method
        last = sets[-1]
        sets = [frozenset(names) - (own ^ last) for own in sets]
    return whole.study(
        "factorial",
        _labelled(whole, sets),
        base=full,
        judged=False,
        aliases=_aliases(names, sets),
        resolution=_resolution(names, sets),
    )


def shapley(whole: Ablation, budget: int = BUDGET) -> Study:
    """Return the arms that Shapley values of the switches take, `budget` of them at most.

    All sets of switches where these are few enough; else those of orders that are sampled, each
    with its reverse where no switch needs another, as whatever two switches do together then
    cancels in the error of sampling. Orders put each switch after what it needs (U. Faigle and
    W. Kern, International Journal of Game Theory 21, 1992). Raises `ConfigError` for a budget that
    is less than two orders take.
    """
    full, every = _full(whole), count_orders(whole.chosen)
    if len(whole.chosen) <= MOST_SWITCHES:
        sets = sets_of(whole.chosen)
        if len(sets) <= budget:
            return whole.study("shapley", _labelled(whole, sets), base=full, judged=False,
                               all_orders=every)  # fmt: skip
    seed = int(digest([whole.method.__name__, [own.name for own in whole.chosen]])[:8], 16)
    arms: dict[On, None] = {}
    orders: list[tuple[str, ...]] = []
    for group in sampled_orders(whole.chosen, seed):
        more = dict.fromkeys(itertools.chain.from_iterable(map(_prefixes, group)))
        if len(arms | more) > budget:
            break
        arms |= more
        orders += group
    if len(orders) < 2:
        least = 2 * len(whole.chosen)
        raise ConfigError(
            "Shapley values take two orders at least, of which each has an arm more than "
            f"switches, got budget={budget}, switches={len(whole.chosen)}; give --budget {least}"
        )
    return whole.study("shapley", _labelled(whole, arms), base=full, judged=False,
                       orders=tuple(orders), all_orders=every)  # fmt: skip


def combinations(
    whole: Ablation, arms: Mapping[str, Iterable[str]] | Sequence[Iterable[str]]
) -> Study:
    """Return the arms that are named, each by the switches that it has on; labels may be given.

    They are trained as they are written, even where a switch lacks what it needs. Raises
    `ConfigError` for a switch that is not among those of the ablation.
    """
    pairs = arms.items() if isinstance(arms, Mapping) else ((None, own) for own in arms)
    known = [own.name for own in whole.chosen]
    found: dict[On, str] = {}
    for label, names in pairs:
        on = frozenset(names)
        for name in on:
            if name not in known:
                raise unknown(f"switch of {whole.method.__name__}", name, known)
        found[on] = label or _labelled(whole, [on])[on]
    base = next((on for on in found if len(on) == len(known)), next(iter(found)))
    return whole.study("combinations", found, base=base, judged=False)


def path(whole: Ablation) -> Study:
    """Return both ends of the way from nothing to the whole method; a run finds its steps.

    Each step adds the switch that is best on the val part, chosen in a race with the others, so
    that the next can be declared when its trials have ended: `Study.steps` is of those taken.
    Between any two configurations it is a path of switches of your own, whose `off` is the one
    where the method is the other. Raises `ConfigError` for arms that are tuned: each step would
    wait for the searches of all its rows.
    """
    if whole.tune is not None:
        raise ConfigError(
            "a path must be of arms at their declared values, got tune with "
            f"{whole.base_name}/path; leave tune out, or take another design"
        )
    arms: dict[On, str] = {frozenset(): "none", _full(whole): "full"}
    study = whole.study("path", arms, base=frozenset(), judged=False,
                        all_orders=count_orders(whole.chosen))  # fmt: skip
    return dataclasses.replace(study, steps=functools.partial(stage, whole))


def stage(whole: Ablation, taken: Sequence[str]) -> Study:
    """Return what decides on the next step of a path, given those taken; at its end the path.

    Its rows are where the path stands, and each switch that could come next.
    """
    on = frozenset(taken)
    candidates = [
        own for own in whole.chosen if own.name not in on and whole.is_admissible(on | {own.name})
    ]
    if len(candidates) == 1 and len(on) + 1 == len(whole.chosen):
        taken = [*taken, candidates[0].name]
        candidates = []
    if not candidates:
        return _in_order(whole, taken, "path")
    arms = _labelled(whole, [on, *(on | {own.name} for own in candidates)])
    study = whole.study("combinations", arms, base=on, judged=False)
    presets = {scale: _scored_on_val(preset) for scale, preset in whole.presets.items()}
    return dataclasses.replace(
        study,
        title=f"{whole.title_name}, step {len(on) + 1} of its path, on val",
        presets=presets,
        design=None,
    )


def _scored_on_val(preset: Preset) -> Preset:
    """Return a preset whose tables are of the val part."""
    note = f"{preset.metric_note}; here on the val part, to choose by" if preset.metric_note else ""
    metric = preset.metric.replace(".test.", ".val.")
    return dataclasses.replace(preset, metric=metric, metric_note=note)


DESIGNS: Mapping[str, Callable[[Ablation], Study]] = {
    "leave-one-out": leave_one_out,
    "one-in": one_in,
    "cumulative": cumulative,
    "factorial": factorial,
    "shapley": shapley,
    "path": path,
}


def _full(whole: Ablation) -> On:
    return frozenset(own.name for own in whole.chosen)


def _in_order(whole: Ablation, order: Sequence[str], kind: Kind) -> Study:
    """Return the rows of an order in which switches are added."""
    arms: dict[On, str] = {frozenset(): "none"}
    titles = _titles(whole.chosen)
    for on, name in zip(_prefixes(order)[1:], order, strict=True):
        if not whole.is_admissible(on):
            raise ConfigError(
                "a switch must come after those that it needs, got "
                f"switches={','.join(order)}: {name} needs "
                f"{', '.join(whole.closed([name]) - on)}"
            )
        arms[on] = f"+ {titles[name]}"
    return whole.study(kind, arms, base=frozenset(), judged=False, orders=(tuple(order),),
                       all_orders=count_orders(whole.chosen))  # fmt: skip


def _prefixes(order: Sequence[str]) -> list[On]:
    """Return the sets of the first switches of an order, from none to all."""
    return [frozenset(order[:count]) for count in range(len(order) + 1)]


def _titles(switches: Iterable[Switch]) -> dict[str, str]:
    return {own.name: own.title for own in switches}


def _list(whole: Ablation, names: Iterable[str]) -> str:
    wanted = frozenset(names)
    return ", ".join(own.title for own in whole.chosen if own.name in wanted)


def _labelled(whole: Ablation, sets: Iterable[On]) -> dict[On, str]:
    """Return sets of switches with labels, from none to all."""
    ordered = sorted(sets, key=len)
    texts = {on: " + ".join(_list(whole, on).split(", ")) if on else "none" for on in ordered}
    return texts | {on: "full" for on in ordered if len(on) == len(whole.chosen)}


def _check_size(whole: Ablation) -> None:
    count = len(whole.chosen)
    if count > MOST_SWITCHES:
        raise ConfigError(
            f"a factorial must have at most {MOST_SWITCHES} switches, got switches={count}, which "
            f"are up to {2**count} arms; name fewer, or give a resolution"
        )


def _fraction(count: int, resolution: int) -> list[list[bool]]:
    """Return the rows of a fraction of a factorial: whether each switch is on."""
    import pydoe

    if not 3 <= resolution <= count:
        raise ConfigError(
            "a fraction of a factorial must have a resolution from 3 to its number of switches, "
            f"got resolution={resolution}, switches={count}"
        )
    found = pydoe.fracfact_by_res(count, resolution)
    return [[bool(value > 0) for value in row] for row in found]


def _signs(names: Sequence[str], sets: Sequence[On]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield each effect of one or two switches and its sign in every row."""
    own = {n: tuple(1 if n in on else -1 for on in sets) for n in names}
    yield from own.items()
    for one, other in itertools.combinations(names, 2):
        yield f"{one}:{other}", tuple(a * b for a, b in zip(own[one], own[other], strict=True))


def _aliases(names: Sequence[str], sets: Sequence[On]) -> tuple[tuple[str, ...], ...]:
    """Return the groups of effects of one or two switches that the rows cannot tell apart."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for effect, signs in _signs(names, sets):
        turned = signs if signs[0] > 0 else tuple(-own for own in signs)
        groups.setdefault(turned, []).append(effect)
    return tuple(tuple(own) for own in groups.values() if len(own) > 1)


def _resolution(names: Sequence[str], sets: Sequence[On]) -> int:
    """Return the resolution of a fraction: the fewest switches whose signs multiply to one sign."""
    for count in range(1, len(names) + 1):
        for chosen in itertools.combinations(names, count):
            signs = {math.prod(1 if n in on else -1 for n in chosen) for on in sets}
            if len(signs) == 1:
                return count
    return 0
