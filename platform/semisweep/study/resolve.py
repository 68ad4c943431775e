"""Studies: what a table or a search needs, said once, and resolved into trials.

A study is rows (arms) by columns (settings); a cell is a row at a column, trained once for each
replicate. Every scale has a preset: what is trained on what, for how long, and which number counts.

    agents = Study(
        name="my_agents", title="How many agents?", presets={"mini": mini},
        base="agents=8",
        rows=[Row(name=f"agents={n}", method=RankMatch, set={"config.agents": n}) for n in (8, 16)],
        columns=[Column(name="16 labelled", set={"mini": {"data.labelled": 16}})],
    )
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from semisweep.core.config import decode, replace
from semisweep.core.errors import ConfigError, unknown
from semisweep.data.base import DataSet
from semisweep.data.fingerprint import Fingerprint, fingerprint, whole_state
from semisweep.data.registry import open_dataset
from semisweep.data.splits import DRAWN_FAMILIES, DataConfig, Split, make_split
from semisweep.store.resolved_study import Label, Place, ResolvedCell, ResolvedStudy, Units
from semisweep.store.resolved_tuning import Tuning
from semisweep.store.store import Store
from semisweep.store.trial_name import TrialName, TrialNames
from semisweep.study.data_roots import Roots
from semisweep.study.declaration import Column, Row, Search, Study
from semisweep.study.preset_options import OPTION, check_options, option_fields
from semisweep.study.scales import PROXY, Fields, Preset, at_scale, has_scale, preset_at
from semisweep.study.search_space import varied
from semisweep.study.tuned_rows import at_its_best, tuned_fields
from semisweep.training.trial import Trial, method_path, sees_unlabelled, trial_key

if TYPE_CHECKING:
    from semisweep.training.method import Method


SECTIONS = ("config", "data", "training")


@dataclass(frozen=True)
class Resolved:
    """A study as it will run: its table, and its trials by key."""

    table: ResolvedStudy
    trials: dict[str, Trial]


class Splits:
    """The splits of the data sets on this machine, each made once, and the trials on them.

    `names` are those of a store's trials.
    """

    def __init__(self, roots: Roots, names: Iterable[str] = ()) -> None:
        self.roots = roots
        self.names = TrialNames(names)
        self.prepared: set[str] = set()  # data sets whose files were looked at
        self._datasets: dict[str, DataSet] = {}
        self._splits: dict[DataConfig, Split] = {}
        self._states: dict[str, str] = {}
        self._fingerprints: dict[tuple[DataConfig, bool], Fingerprint] = {}

    def dataset(self, name: str) -> DataSet:
        """Return a data set."""
        if name not in self._datasets:
            self._datasets[name] = open_dataset(name, self.roots.of(name))
        return self._datasets[name]

    def of(self, data: DataConfig) -> Split:
        """Return the labelled and unlabelled images that `data` describes."""
        if data not in self._splits:
            self._splits[data] = make_split(self.dataset(data.name), data)
        return self._splits[data]

    def fingerprint(self, trial: Trial) -> Fingerprint:
        """Return which data a trial sees."""
        uses_unlabelled = sees_unlabelled(trial)
        place = (trial.data, uses_unlabelled)
        if place not in self._fingerprints:
            self._fingerprints[place] = fingerprint(
                self.dataset(trial.data.name),
                self.of(trial.data),
                uses_unlabelled=uses_unlabelled,
            )
        return self._fingerprints[place]

    def state_of(self, name: str) -> str:
        """Return what tells all images and masks of a data set from earlier ones of its name."""
        if name not in self._states:
            self._states[name] = whole_state(self.dataset(name))
        return self._states[name]

    def key(self, trial: Trial) -> str:
        """Return the key of a trial, with what tells the data that it sees from earlier ones."""
        key = trial_key(trial, self.of(trial.data))
        return str(self.names.chosen(key, self.fingerprint(trial).suffix))

    def retrain(self, trial: Trial) -> None:
        """Let a trial that has a result be another one from now on, to be trained anew."""
        key = trial_key(trial, self.of(trial.data))
        own = TrialName(key, self.fingerprint(trial).suffix)
        newest = self.names.chosen(key, own.data)
        self.names.add(newest.next() if newest.data == own.data else own)

    def same_weights(self, key: str, store: Store) -> str:
        """Return the finished trial that has the weights of one that waits, tested on other images.

        Nothing where there is none, the trial has a checkpoint to go on from, or it is one that is
        trained anew because that was asked for.
        """
        name = TrialName.parse(key)
        others = [own for own in self.names.of_other_data(name) if own.seen == name.seen]
        asked = name.repetition > 1
        if asked or not name.seen or not others or store.trial(key).has_checkpoint:
            return ""
        return next((str(own) for own in others if store.trial(str(own)).finished), "")


def resolve(
    study: Study,
    scale: str,
    splits: Splits | None,
    changes: Fields | None = None,
    seeds: int | None = None,
    *,
    draws: int | None = None,
    units: Mapping[Place, Units] | None = None,
    tuning: Mapping[Place, Tuning] | None = None,
    adapt: Callable[[Trial], Trial] | None = None,
) -> Resolved:
    """Return the trials of a study at a scale, and its table with the key of every trial.

    `changes` are the user's: they apply to every arm that has the field, and may not touch what the
    arms or columns of the study differ in. Without `splits` (no images on this machine) no trial
    has a key, and the table says what it would hold. `units` are of cells that have others than
    the study plans. `tuning` is of cells of tuned rows, which have no trials before their search
    has chosen. `adapt` changes every trial at last.
    """
    changes = dict(changes or {})
    check_changes(study, scale, changes)
    trials: dict[str, Trial] = {}
    cells = []
    columns = [column for column in study.columns if column.exists(scale)]
    computed = study.computed(study, scale) if study.computed else {}
    for row in study.rows:
        for column in columns:
            keys: dict[str, str] = {}
            unlike = None if splits is None else _Unlike(splits)
            place = (row.name, column.name)
            more = (units or {}).get(place)
            more = more or cell_units(study, scale, (row, column), changes, seeds, draws)
            own_tuning = (tuning or {}).get(place)
            arm = at_its_best(row, scale, column.name, own_tuning.params if own_tuning else None)
            found = replicates(study, scale, arm, column, changes, units=more) if arm else ()
            for replicate, trial in found:
                if unlike is not None:
                    own, key = unlike(adapt(trial) if adapt else trial)
                    keys[replicate] = key
                    trials.setdefault(key, own)
            cell = _cell(study, scale, row, column, keys, computed.get(place))
            cells.append(dataclasses.replace(cell, tuning=own_tuning))
    elsewhere = [
        _cell(study, scale, row, column)
        for row in study.rows
        for column in study.columns
        if not column.exists(scale) and (row.name, column.name) in study.published
    ]
    table = dataclasses.replace(
        _heading(study, scale, columns, changes),
        changes=changes,
        cells=tuple(cells),
        data=_states(trials.values(), splits) if splits else {},
        elsewhere=tuple(elsewhere),
    )
    return Resolved(table, trials)


def cell_units(
    study: Study,
    scale: str,
    place: tuple[Row, Column],
    changes: Fields,
    seeds: int | None,
    draws: int | None,
) -> Units:
    """Return the planned units of a cell: seeds alone where its labelled images are lists on disk.

    A scale's draws are of images that are drawn; of lists there may be no others.
    """
    planned = planned_units(study, scale, seeds, draws)
    if draws or study.draws > 1 or place[0].method is None or place[1].unit:
        return planned
    family = cell_trial(study, scale, *place, changes).data.family
    return planned if family in DRAWN_FAMILIES else (sum(planned),)


class _Unlike:
    """Makes replicates of a cell unlike each other: a later seed for one that would be another.

    Two draws of nearly all images can be the same images.
    """

    def __init__(self, splits: Splits) -> None:
        self.splits = splits
        self._known: set[str] = set()
        self._last: dict[str, int] = {}  # the last seed that stands for an equal trial

    def __call__(self, trial: Trial) -> tuple[Trial, str]:
        """Return a trial that none of those before is, and its key."""
        key = first = self.splits.key(trial)
        while key in self._known:
            seed = self._last[first] = self._last.get(first, trial.seed) + 1
            trial = dataclasses.replace(trial, seed=seed)
            key = self.splits.key(trial)
        self._known.add(key)
        return trial, key


def _states(trials: Iterable[Trial], splits: Splits) -> dict[str, str]:
    """Return for each data set that is not the standard one what tells its images and masks."""
    names = dict.fromkeys(trial.data.name for trial in trials)
    states = {name: splits.state_of(name) for name in names}
    return {name: state for name, state in states.items() if state}


def _cell(
    study: Study,
    scale: str,
    row: Row,
    column: Column,
    trials: Mapping[str, str] | None = None,
    value: float | None = None,
) -> ResolvedCell:
    """Return a cell with its trials by replicate; its metric where that is not the table's."""
    place = (row.name, column.name)
    metric = at_scale(column.metric, scale, "")
    return ResolvedCell(
        row=row.name,
        column=column.name,
        trials=trials or {},
        published=study.published.get(place),
        published_std=study.published_std.get(place),
        metric=metric.format(**row.words) if metric else column.unit or None,
        value=value,
    )


def _heading(study: Study, scale: str, columns: Sequence[Column], changes: Fields) -> ResolvedStudy:
    """Return a resolved table without its cells: titles, labels, metric and notes."""
    preset = preset_of(study, scale)
    notes = [study.published_note]
    for column in columns:
        own = column_preset(study, scale, column)
        name = str({"data.name": own.data.name, **column.fields(scale), **changes}["data.name"])
        notes += [*preset.notes_on(name), *own.notes_on(name)]
    return ResolvedStudy(
        name=study.name,
        title=study.title,
        paper=study.paper,
        table=study.table,
        base=study.base,
        scale=scale,
        metric=preset.metric,
        metric_note=preset.metric_note,
        notes=tuple(note for note in dict.fromkeys(notes) if note),
        rows=tuple(
            Label(row.name, row.label or row.name, row.method is None) for row in study.rows
        ),
        columns=tuple(
            Label(column.name, at_scale(column.labels, scale, column.name), unit=column.unit)
            for column in columns
        ),
        curves=tuple(study.curves),
        class_pixels=study.class_pixels,
        margin=study.margin,
        confirmatory=_confirmatory(study, columns),
        design=study.design,
        cells=(),
    )


def _confirmatory(study: Study, columns: Sequence[Column]) -> tuple[Place, ...] | None:
    """Return the cells whose comparison with the base row is to be judged; None for all.

    Raises `ConfigError` for a row or column that the study does not have.
    """
    if study.confirmatory is None:
        return None
    rows, names = [row.name for row in study.rows], [column.name for column in study.columns]
    found: list[Place] = []
    for item in study.confirmatory:
        row, column = (item, None) if isinstance(item, str) else item
        if row not in rows:
            raise unknown(f"confirmatory row of {study.name}", row, rows)
        if column is not None and column not in names:
            raise unknown(f"confirmatory column of {study.name}", column, names)
        found += [(row, own.name) for own in columns if column in (None, own.name)]
    return tuple(found)


def replicates(
    study: Study,
    scale: str,
    row: Row,
    column: Column,
    changes: Fields,
    seeds: int | None = None,
    units: Units | None = None,
) -> Iterator[tuple[str, Trial]]:
    """Yield "draw/seed" and trial of every replicate of a cell; none where nothing is trained.

    `units` are other ones than the study plans. Further draws of a study of one draw are those
    that are not its own, in order.
    """
    if row.method is None or column.unit:
        return
    planned = planned_units(study, scale, seeds)
    one_draw = replication(study, scale)[0] == 1
    trial, before = cell_trial(study, scale, row, column, changes), 0
    own = trial.data.draw
    for index, count in enumerate(units or planned):
        draw = index
        if one_draw:
            draw = own if index == 0 else index - (index <= own)
        for seed in range(count):
            if trial.data.labelled is None:  # every draw has all images: only seeds can differ
                yield f"{draw}/{seed}", dataclasses.replace(trial, seed=before + seed)
            else:
                data = dataclasses.replace(trial.data, draw=draw)
                yield f"{draw}/{seed}", dataclasses.replace(trial, data=data, seed=seed)
        before += count


def planned_units(
    study: Study, scale: str, seeds: int | None = None, draws: int | None = None
) -> Units:
    """Return what a study plans for each of its cells; `seeds` and `draws` instead of its own."""
    own_draws, own_seeds = replication(study, scale)
    return (seeds or own_seeds,) * (draws or own_draws)


def replication(study: Study, scale: str) -> tuple[int, int]:
    """Return the draws of the labelled images and the seeds of each, of a cell at a scale."""
    preset = preset_of(study, scale)
    return preset.draws or study.draws, preset.seeds or study.seeds


def cell_trial(study: Study, scale: str, row: Row, column: Column, changes: Fields) -> Trial:
    """Return the trial of a trained row at a column, of the preset's draw and seed 0."""
    assert row.method is not None
    fields = {**column.fields(scale), **row.fields(scale, column.name)}
    return make_trial(column_preset(study, scale, column), row.method, fields, changes)


def make_trial(preset: Preset, method: type[Method], fields: Fields, changes: Fields) -> Trial:
    """Return the trial of a method at a preset with some fields set; seed 0."""
    known = {item.name for item in dataclasses.fields(method.Config)}
    given = {name: value for name, value in preset.config.items() if name in known}
    trial = Trial(
        method=method_path(method),
        config=decode(method.Config, given),
        data=preset.data,
        training=preset.training,
        seed=0,
    )
    trial = replace(trial, fields)
    optional = option_fields(preset, changes)
    trial = replace(trial, {path: own for path, own in optional.items() if has(trial, path)})
    return replace(trial, {path: value for path, value in changes.items() if has(trial, path)})


def has(trial: Trial, path: str) -> bool:
    """Return whether a trial has the dotted field."""
    value: object = trial
    for name in path.split("."):
        if isinstance(value, Mapping):
            return True
        if not dataclasses.is_dataclass(value) or not hasattr(value, name):
            return False
        value = getattr(value, name)
    return True


def preset_of(study: Study | Search, scale: str) -> Preset:
    """Return the study's preset for a scale; raise `ConfigError` if it has none."""
    preset = preset_at(study.presets, scale)
    if preset is None:
        known = [name for name in (*study.presets, PROXY) if has_scale(study.presets, name)]
        raise unknown(f"scale of {study.name}", scale, known)
    return preset


def column_preset(study: Study, scale: str, column: Column) -> Preset:
    """Return the preset of a column: its own where it has one, with the metric of the study's."""
    preset = preset_of(study, scale)
    own = preset_at(column.presets, scale)
    if own is None:
        return preset
    return dataclasses.replace(own, metric=preset.metric, metric_note=preset.metric_note)


def check_changes(study: Study | Search, scale: str, changes: Fields) -> None:
    """Raise `ConfigError` if a change names no field of any arm, or one that the study varies."""
    preset = preset_of(study, scale)
    if isinstance(study, Search):
        methods = [study.own_method]
        fields_varied = [frozenset(varied(at_scale(study.space, scale, {})))]
    else:
        methods = [row.method for row in study.rows if row.method is not None]
        fields_varied = [row.varied(scale) | tuned_fields(row, scale) for row in study.rows]
        columns = [column for column in study.columns if column.exists(scale)]
        fields_varied += [frozenset(column.fields(scale)) for column in columns]
    trials = [make_trial(preset, method, {}, {}) for method in methods]
    check_options(study, scale, changes)
    for path in (own for own in changes if own != OPTION):
        if path.split(".")[0] not in SECTIONS or path.count(".") < 1:
            raise ConfigError(
                f"a field to set must begin with config., data. or training., got field={path!r}"
            )
        if not any(has(trial, path) for trial in trials):
            deepest = sorted(trials, key=lambda trial: len(dataclasses.fields(trial.config)))[-1:]
            for trial in deepest:
                replace(trial, {path: None})  # raises, naming the nearest fields
            raise ConfigError(f"a field to set must exist, got field={path!r}")
        if any(path in fields for fields in fields_varied):
            raise ConfigError(
                f"a field to set must not be one that the study itself varies, got field={path!r}"
            )
