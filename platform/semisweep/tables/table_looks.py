"""Which look at a table a run of it is: by the log, the stored table, and what is asked for.

A table that has been judged and gets trials that no look had, by more seeds or draws, rows trained
anew, changed data or further rows, is looked at again. Fewer trials, or some that were seen before,
are no new look, and leave the number where it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from semisweep.core.errors import ConfigError
from semisweep.statistics.alpha_spending import OPEN
from semisweep.statistics.race_stops import SPENDING, STOPPING
from semisweep.store.look_log import Entry, Looks, most, read_looks
from semisweep.store.resolved_study import Place, RaceRecord, ResolvedStudy, Units, units_of
from semisweep.store.store import Store
from semisweep.store.study_files import StudyPlace
from semisweep.tables.interim_analysis import compared_trials, is_judged, shown_units


class TableLooks:
    """The looks at a table of a store, and what was stored of it last."""

    def __init__(self, store: Store, place: StudyPlace) -> None:
        self.store, self.place = store, place
        found = store.study_files.read(place)
        self.stored = found if isinstance(found, ResolvedStudy) else None
        self.read_again()

    def read_again(self) -> None:
        """Read the log anew: another process has added to it."""
        self.known = read_looks(self.store.root, self.place)
        # Stores of earlier versions do not say what a look held: what the stored table does.
        self.assumed = self.stored is not None and not self.known.seen
        if self.stored is not None and self.assumed:
            self.known = _with_table(self.known, self.stored)

    def is_judged(self) -> bool:
        """Return whether the present look has had verdicts."""
        if self.known.judged or self.stored is None or self.stored.look != self.known.look:
            return self.known.judged
        ends = self.store.ends(self.stored.keys)
        raced = self.stored.race is not None and bool(self.stored.race.stopped)
        return raced or is_judged(self.stored, ends.finished)

    def kept_units(
        self, planned: Units, units: Mapping[Place, Units] | None = None
    ) -> dict[Place, Units]:
        """Return the units of cells that have their own: topped up, or of rows that are stopped.

        Cells have as many as `units` at least.
        """
        several = len(planned) > 1
        found = {place: most(planned, own) for place, own in (units or {}).items()}
        counts = {
            place: planned[:1] * count if several else (count,)
            for place, count in self.known.counts.items()
        }
        for known in (counts, self.known.units):
            for place, own in known.items():
                found[place] = most(found.get(place, planned), own)
        return found | self.stopped_units()

    def stopped_units(self) -> dict[Place, Units]:
        """Return the units of rows that a race has stopped: they get no more."""
        stored = self.stored
        if stored is None or stored.race is None:
            return {}
        places = [(item.row, item.column) for item in stored.race.stopped]
        return {place: units_of(stored.at[place].trials) for place in places if place in stored.at}

    def next_entry(
        self,
        table: ResolvedStudy,
        planned: int | None = None,
        units: Mapping[Place, Units] | None = None,
        race: int = 0,
    ) -> Entry | None:
        """Return what is to be noted of a table that is about to be run; None for nothing new.

        `planned` is the number of looks that is asked for, `units` those of a top-up, `race` the
        replicates of a race. Raises `ConfigError` for a look that was not planned.
        """
        known = self.known
        wanted = compared_trials(table)
        trials = known.unseen(wanted)
        left_out = self.stored is not None and any(
            set(keys) - set(wanted.get(place, ()))
            for place, keys in compared_trials(self.stored).items()
        )
        asked = planned is not None and planned != known.looks
        judged = bool((trials or left_out or asked) and self.is_judged())
        looks = _agreed(known, planned, judged=judged)
        look = known.look + bool(trials and judged)
        if OPEN < looks < look:
            raise ConfigError(
                "a table must not be looked at more often than was planned, got "
                f"look={look}, looks={looks}; it stays as it is without further trials"
            )
        own = {
            place: seeds
            for place, seeds in (units or {}).items()
            if most(known.units.get(place, ()), seeds) != known.units.get(place)
        }
        changed = looks != known.looks or race > known.race
        marked = judged and look == known.look and not known.judged
        if not (trials or own or changed or marked):
            return None
        if self.assumed:
            seen = {place: tuple(sorted(keys)) for place, keys in known.seen.items()}
            trials = {
                place: (*seen.get(place, ()), *trials.get(place, ()))
                for place in {**seen, **trials}
            }
        return Entry(
            look=look,
            looks=looks,
            judged=judged and look == known.look,
            race=race or known.race,
            trials=trials,
            units=own,
        )

    def stated(self, table: ResolvedStudy, entry: Entry | None) -> ResolvedStudy:
        """Return a table that says which look it is, after what was noted of it."""
        known = self.known
        look, looks = (entry.look, entry.looks) if entry else (known.look, known.looks)
        return replace(table, look=look, looks=looks, race=self._race())

    def _race(self) -> RaceRecord | None:
        """Return the record of the race that the table was in, without its stops if it is lost."""
        if self.stored is not None and self.stored.race is not None:
            return self.stored.race
        if not self.known.race:
            return None
        return RaceRecord(alpha=STOPPING, spending=SPENDING, looks=0, comparisons=0)


def goes_on(looks: TableLooks, units: Mapping[Place, Units], missing: bool) -> bool:
    """Return whether a top-up is the one that is under way: not all of it has been trained."""
    shown = shown_units(looks.stored) if looks.stored is not None else {}
    return missing or any(most(own, units.get(place, ())) != own for place, own in shown.items())


def _with_table(known: Looks, stored: ResolvedStudy) -> Looks:
    """Return where a table of an earlier version's store stands."""
    return replace(
        known,
        look=max(known.look, stored.look),
        looks=max(known.looks, stored.looks),
        race=known.race or (stored.race.looks + 1 if stored.race else 0),
        seen={place: frozenset(keys) for place, keys in compared_trials(stored).items()},
    )


def _agreed(known: Looks, planned: int | None, *, judged: bool) -> int:
    """Return how many looks are planned; raise `ConfigError` for another number than before."""
    if planned is None or planned == known.looks:
        return known.looks
    if known.looks != OPEN or known.look > 1 or known.race or judged:
        before = known.looks if known.looks != OPEN else "any number"
        raise ConfigError(
            f"the number of looks must be fixed before the first, got looks={planned}, "
            f"planned={before}"
        )
    return planned
