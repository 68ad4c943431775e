"""Whether the arms of a study differ from its base arm in what they declare, and in nothing else.

Refused are arms that change nothing (no-ops), and arms that differ in more than their factor or do
not start alike (confounded). What no rehearsal can show is a warning, never a refusal.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from semisweep.checks.field_reads import PREFIX, Reads
from semisweep.checks.lockstep import LOOKS, Lockstep, compare, hold
from semisweep.checks.miniature_training import Rehearsal, tiny
from semisweep.core.config import digest, encode
from semisweep.core.errors import ConfigError, DataError
from semisweep.study.declaration import Column, Row, Study
from semisweep.study.factor import (
    RATE,
    Probe,
    changed_fields,
    check_declared,
    covered,
    default_factor,
    training_identity,
)
from semisweep.study.resolve import Splits, replicates
from semisweep.study.scales import Fields
from semisweep.study.tuned_rows import space_of, tuned_fields
from semisweep.training.trial import Trial, method_class

DEFAULT_EPOCHS = 10  # of a rehearsal, where nobody knows how many images an epoch has
KEPT = 12  # rehearsals of base arms
SHARPNESSES = (
    32.0,
    2.0,
    16.0,
    4.0,
    128.0,
)  # at which a factor is sought that a probe has not shown
LONGER = 4  # times the steps of a probe that is suggested

Kind = Literal["no-op", "confounded", "not probed"]
Problem = tuple[Kind, str]  # and the reason


@dataclass(frozen=True)
class Finding:
    """What is wrong with an arm, or what could not be shown of it."""

    row: str
    column: str
    kind: Kind
    reason: str

    @property
    def refused(self) -> bool:
        """Whether the arm must not be trained."""
        return self.kind != "not probed"

    def __str__(self) -> str:
        return f"{self.row}, {self.column}: {self.kind}: {self.reason}"


class Checker:
    """Checks arms against base arms; rehearsals that many arms or columns share are made once."""

    def __init__(self, splits: Splits | None = None) -> None:
        self.splits = splits
        self._bases: dict[str, Rehearsal] = {}
        self._results: dict[str, Lockstep] = {}

    def check(
        self,
        base: Trial,
        arm: Trial,
        factor: list[str],
        probe: Probe | None,
        *,
        declared: bool = False,
    ) -> Iterator[Problem]:
        """Yield what is wrong with an arm; raise `ConfigError` for a declared field that is none.

        Without a probe an arm that changes nothing is not refused.
        """
        changed = changed_fields(base, arm)
        undeclared = [field for field in changed if not covered(field, factor)]
        if undeclared:
            yield "confounded", f"it also differs from the base row in {_listed(undeclared)}"
        inert = check_declared(factor, base, arm) if declared else None
        if inert:
            yield "no-op", inert
        if training_identity(base) == training_identity(arm):
            what = ", ".join(changed) or "nothing"
            kind: Kind = "no-op" if probe else "not probed"
            yield kind, f"it is the base row's very training: it differs in {what}"
        elif not inert and not undeclared:
            yield from self._rehearsed(base, arm, factor, probe)

    def _rehearsed(
        self, base: Trial, arm: Trial, factor: list[str], probe: Probe | None
    ) -> Iterator[Problem]:
        changed = changed_fields(base, arm)
        shown = self.lockstep(base, arm, probe or Probe())
        if shown.weights:
            where = ", ".join(shown.weights[:3])
            yield (
                "confounded",
                (
                    f"it does not start from the base row's weights in {where}; "
                    "draw them from (seed, role)"
                ),
            )
        same = base.method == arm.method
        if same and shown.rates_differ and RATE not in factor:
            yield "confounded", f"its learning rates differ; declare {RATE!r} if that is meant"
        if same and shown.draws_differ:
            yield (
                "confounded",
                (
                    "it takes other numbers from the global generators, which shifts what is drawn "
                    "next; draw from semisweep.training.functional.generator"
                ),
            )
        outside = [name for name in changed if name.startswith(("data.", "training."))]
        if shown.step is not None:
            return
        if shown.broken:
            yield "not probed", f"the rehearsal could not be held: {shown.broken}"
        elif shown.buffers and probe == Probe():
            yield (
                "not probed",
                (
                    f"the rehearsal is too short to fill {', '.join(shown.buffers)}; "
                    f"declare a probe of more steps, {_line(probe)}"
                ),
            )
        elif probe is None or len(outside) == len(changed):
            yield "not probed", f"no rehearsal shows {', '.join(changed)}"
        else:
            yield from self._unshown(base, arm, shown, probe)

    def _unshown(self, base: Trial, arm: Trial, shown: Lockstep, probe: Probe) -> Iterator[Problem]:
        """Yield what is wrong with an arm whose factor a probe does not show, if anything is.

        Refused are fields that are never read, losses without a gradient, and what the row's own
        probe does not show at any sharpness; all else may show where no rehearsal comes.
        """
        changed = changed_fields(base, arm)
        unread = self.unread(base, arm, probe)
        others = [dataclasses.replace(probe, sharpness=own) for own in SHARPNESSES]
        if unread:
            yield "no-op", f"its method never reads {', '.join(unread)} while it trains"
        elif shown.loss_step is not None:
            what = ", ".join(changed)
            yield "no-op", f"{what} changes a loss, but no gradient: a term of it may be detached"
        elif any(self.lockstep(base, arm, own, looks=1).step is not None for own in others):
            return
        elif probe != Probe():
            yield "no-op", _nothing(probe, changed)
        else:
            yield "not probed", f"{_nothing(probe, changed)}: add {_line(probe)} to the row"

    def unread(self, base: Trial, arm: Trial, probe: Probe) -> list[str]:
        """Return the fields that an arm sets and that its method never reads in a rehearsal."""
        if base.method != arm.method:
            return []
        first, second = tiny(base.config, arm.config)
        fields = [name for name in changed_fields(base, arm) if name.startswith(PREFIX)]
        reads = Reads(first, second, fields)
        with reads.noted():
            hold(Rehearsal(method_class(arm.method), second, arm.seed, self.epochs(base), probe))
        return reads.unread(arm.method)

    def lockstep(self, base: Trial, arm: Trial, probe: Probe, looks: int = LOOKS) -> Lockstep:
        """Return what the rehearsal of two trials shows; equal ones are held once."""
        kinds = method_class(base.method), method_class(arm.method)
        configs = tiny(base.config, arm.config)
        epochs = self.epochs(base)
        marks = [
            digest([trial.method, encode(config), trial.seed, epochs, repr(probe)])
            for trial, config in zip((base, arm), configs, strict=True)
        ]
        mark = " ".join(marks)
        if mark not in self._results:
            first = self._bases.pop(marks[0], None) or Rehearsal(
                kinds[0], configs[0], base.seed, epochs, probe
            )
            self._bases[marks[0]] = first
            while len(self._bases) > KEPT:
                del self._bases[next(iter(self._bases))]
            second = Rehearsal(kinds[1], configs[1], arm.seed, epochs, probe, disturbance=2)
            self._results[mark] = compare(
                first, second, same_method=base.method == arm.method, most_looks=looks
            )
        return self._results[mark]

    def epochs(self, trial: Trial) -> int:
        """Return the epochs of a trial; a guess where it counts steps and has no images here."""
        if trial.training.epochs is not None:
            return trial.training.epochs
        if self.splits is None:
            return DEFAULT_EPOCHS
        try:
            unlabelled = len(self.splits.of(trial.data).unlabelled)
        except DataError:
            return DEFAULT_EPOCHS
        steps = trial.training.steps_per_epoch(unlabelled)
        return -(-trial.training.schedule_steps(unlabelled) // steps)


def check_arms(
    study: Study, scale: str, changes: Fields | None = None, checker: Checker | None = None
) -> list[Finding]:
    """Return what is wrong with the arms of a study at a scale, column by column."""
    checker = checker or Checker()
    rows = {row.name: row for row in study.rows}
    base = rows.get(study.base)
    found: list[Finding] = []
    for column in study.columns:
        if not column.exists(scale) or base is None or base.method is None:
            continue
        for row in study.rows:
            if row.method is not None and row.name != base.name:
                found += check_arm(study, scale, row, column, changes or {}, checker)
    return found


def check_arm(
    study: Study, scale: str, row: Row, column: Column, changes: Fields, checker: Checker
) -> list[Finding]:
    """Return what is wrong with one arm at one column, compared with the study's base row.

    Of tuned rows it is at the values that they declare: that they differ in what their searches
    choose is meant.
    """
    base = next(own for own in study.rows if own.name == study.base)
    trials: list[list[Trial]] = []
    for own in (base, row):
        try:
            found = replicates(study, scale, own, column, changes, units=(1,))
            trials.append([trial for _, trial in found])
        except ConfigError as error:
            return [Finding(own.name, column.name, "no-op", str(error))]
    findings: dict[Finding, None] = {}
    problems: list[Problem]
    tuned = tuned_fields(base, scale) | tuned_fields(row, scale)
    own_space = space_of(base, scale) != space_of(row, scale)
    for trial, arm in zip(*trials, strict=True):
        if own_space and training_identity(trial) == training_identity(arm):
            continue  # it differs in what its search chooses, and in nothing else
        sets = [list(own.fields(scale, column.name)) for own in (base, row)]
        said = None if row.factor is None else [own for own in row.factor if own not in tuned]
        factor = default_factor(trial, arm, *sets) if said is None else said
        declared = said is not None
        try:
            problems = list(checker.check(trial, arm, factor, row.probe, declared=declared))
        except ConfigError as error:
            problems = [("no-op", str(error))]
        findings |= {Finding(row.name, column.name, *problem): None for problem in problems}
    return list(findings)


def refuse(findings: list[Finding]) -> None:
    """Raise `ConfigError` with the first reason for which an arm must not be trained."""
    refused = [finding for finding in findings if finding.refused]
    if refused:
        more = f" (and {len(refused) - 1} more)" if refused[1:] else ""
        raise ConfigError(
            f"an arm must differ from its base in its factor only, got {refused[0]}"
            f"{more}; change the row, or declare its factor and probe"
        )


def _nothing(probe: Probe, changed: list[str]) -> str:
    sharpnesses = ", ".join(f"{own:g}" for own in (probe.sharpness, *SHARPNESSES))
    return (
        f"{', '.join(changed)} changes nothing in {probe.steps} steps over progress "
        f"{probe.progress} at sharpness {sharpnesses}; is it wired? If so declare a probe where it "
        "shows"
    )


def _line(probe: Probe) -> str:
    """Return what to add to a row, so that its rehearsal is longer."""
    return f"probe=Probe(steps={LONGER * probe.steps}, sharpness={probe.sharpness:g})"


def _listed(fields: list[str]) -> str:
    more = f" and {len(fields) - 4} more" if fields[4:] else ""
    return ", ".join(fields[:4]) + more
