"""The check of a study's arms before any of them trains, made once for equal arms of a store.

Verdicts are kept beside the trials, under a digest of the source code that reached them and of all
that they are about, so that running again costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from semisweep.checks.arm_integrity import Checker, Finding, Problem, check_arms, refuse
from semisweep.core.config import decode, digest
from semisweep.core.provenance import source
from semisweep.core.training_code import training_code
from semisweep.store import files
from semisweep.store.resolved_study import ResolvedStudy
from semisweep.store.store import Store
from semisweep.study.declaration import Study
from semisweep.study.factor import Probe
from semisweep.study.resolve import Splits
from semisweep.study.scales import Fields
from semisweep.training.trial import Trial

UNCHECKED = "Not checked (--no-check): whether rows differ from the base row in their factor alone."


class RememberingChecker(Checker):
    """A checker that looks up in a store what it has found out before."""

    def __init__(self, splits: Splits, store: Store) -> None:
        super().__init__(splits)
        self.path = store.root / "checked" / "arms.json"
        self.known: dict[str, object] = dict(files.read_json(self.path) or {})
        self.fresh: dict[str, list[Problem]] = {}

    def check(
        self,
        base: Trial,
        arm: Trial,
        factor: list[str],
        probe: Probe | None,
        *,
        declared: bool = False,
    ) -> Iterator[Problem]:
        """Yield what is wrong with an arm, as `Checker.check` does."""
        mark = self.mark(base, arm, factor, probe, declared)
        if mark not in self.known:
            self.fresh[mark] = list(super().check(base, arm, factor, probe, declared=declared))
            self.known[mark] = self.fresh[mark]
        yield from decode(list[Problem], self.known[mark])

    def mark(
        self, base: Trial, arm: Trial, factor: list[str], probe: Probe | None, declared: bool
    ) -> str:
        """Return the digest of all that a verdict depends on, the source code included."""
        return digest(
            [
                [source("semisweep"), training_code(base.method), training_code(arm.method)],
                base.encoded(),
                arm.encoded(),
                [factor, repr(probe), declared, self.epochs(base)],
            ]
        )

    def save(self) -> None:
        """Keep what was found out; what another process kept meanwhile stays."""
        if self.fresh:
            files.write_json(self.path, dict(files.read_json(self.path) or {}) | self.fresh)


def check_before(
    study: Study, scale: str, changes: Fields, splits: Splits, store: Store
) -> list[Finding]:
    """Return warnings on the arms of a study; raise `ConfigError` if one must not be trained."""
    checker = RememberingChecker(splits, store)
    try:
        findings = check_arms(study, scale, changes, checker)
    finally:
        checker.save()
    refuse(findings)
    return findings


def carried_note(table: ResolvedStudy | None) -> list[str]:
    """Return the note of a table whose arms were not checked when they were trained."""
    return [UNCHECKED] if table is not None and UNCHECKED in table.notes else []
