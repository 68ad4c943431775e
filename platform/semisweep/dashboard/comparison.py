"""The page that compares trials: where their configurations differ, and what came out of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from semisweep.core.errors import ConfigError, SemisweepError
from semisweep.core.safe_text import printable
from semisweep.dashboard.class_scores import class_scores
from semisweep.dashboard.store_watch import StoreWatch
from semisweep.dashboard.trial_states import places_of, state_of
from semisweep.report.figure import Figure
from semisweep.store.store import Store
from semisweep.store.trial_difference import SECTIONS, differences
from semisweep.study.data_roots import Roots

MOST = 8  # trials; as many as there are colours
IMAGES = 4


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One of the trials that are compared."""

    key: str
    label: str
    state: str


@dataclass(frozen=True, kw_only=True)
class DifferingFields:
    """Fields of one kind in which trials differ: what it is, and name and values of each."""

    title: str
    fields: list[tuple[str, tuple[str, ...]]]
    closed: bool


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What the page shows."""

    trials: list[Compared]
    sections: list[DifferingFields]
    classes: list[Figure]
    pictures: list[Figure]
    no_pictures: str  # why, where they were asked for


class Pictures:
    """What trials see in some images, each choice of trials computed once."""

    def __init__(self, store: Store, roots: Roots) -> None:
        self.store, self.roots = store, roots
        self._known: dict[tuple[str, ...], Figure] = {}

    def of(self, labels: Mapping[str, str]) -> Figure:
        """Return pictures of trials, key -> label; imports torch, and takes seconds.

        Raises `SemisweepError` where weights or images are not there.
        """
        from semisweep.report.arms import arm_of
        from semisweep.report.picture_strips import strip

        found = (arm_of(label, {"": key}, self.store) for key, label in labels.items())
        kept = [arm for arm in found if arm is not None]
        if not kept:
            raise ConfigError("pictures need trials with kept weights, got none among these")
        mark = tuple(arm.key for arm in kept)
        if mark not in self._known:
            self._known[mark] = strip(kept, "Test images", self.store, self.roots, IMAGES)
        return self._known[mark]


def comparison(
    watch: StoreWatch, keys: Sequence[str], pictures: Pictures | None = None
) -> Comparison:
    """Return how some trials differ, with what each sees where `pictures` are given.

    Raises `ConfigError` for fewer than two trials or too many, `StoreError` for an unknown one.
    """
    if not 2 <= len(set(keys)) <= MOST:
        raise ConfigError(
            f"from 2 to {MOST} trials can be compared, got trials={len(set(keys))}; choose them in "
            f"the list of a study's trials"
        )
    store = watch.store
    keys = [store.find(key) for key in dict.fromkeys(keys)]
    labels = labels_of(watch, keys)
    rows = {labels[key]: store.trial(key).result() for key in keys}
    found = differences(store, *keys)
    shown, why = [], ""
    if pictures is not None:
        try:
            shown.append(pictures.of(labels))
        except SemisweepError as error:
            why = printable(str(error))
    return Comparison(
        trials=[Compared(key=key, label=labels[key], state=state_of(watch, key)) for key in keys],
        sections=[
            DifferingFields(
                title=about[0].upper() + about[1:],
                fields=[
                    (printable(own.field), tuple(map(printable, own.values)))
                    for own in found
                    if own.section == section
                ],
                closed=section == "volatile",
            )
            for section, about in SECTIONS.items()
        ],
        classes=class_scores({label: row for label, row in rows.items() if row is not None}),
        pictures=shown,
        no_pictures=why,
    )


def labels_of(watch: StoreWatch, keys: Sequence[str]) -> dict[str, str]:
    """Return what trials are called: their place in the first study that has it, or their key.

    Trials of several studies are called by these too.
    """
    places = {key: next(iter(places_of(watch.studies, key)), None) for key in keys}
    several = len({place.study for place in places.values() if place}) > 1
    found: dict[str, str] = {}
    for key, place in places.items():
        text = key[:8] if place is None else place.name
        text = f"{place.title}: {text}" if place and several else text
        found[key] = f"{text} ({key[:8]})" if text in found.values() else text
    return found
