"""Which results were trained by other code than is here now, and what a table says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from semisweep.store.trial_records import Result

MARK = "†"


@dataclass(frozen=True, kw_only=True)
class CodeMarks:
    """What is known of the code that trained a table's results; modules are those of methods."""

    changed: Mapping[str, str] = field(default_factory=dict)  # keys of other code, their modules
    unknown: int = 0  # results of versions of semisweep that kept no digest of what trains
    absent: Sequence[str] = ()  # modules whose source is not here
    mixed: Sequence[str] = ()  # modules of which results are of several versions of the code


def compare(rows: Iterable[Result], current: Callable[[str], str | None] | None) -> CodeMarks:
    """Return what results say of their code, beside the digest of a method's code as it is now.

    `current` returns None for a method that is not here; without it only results are compared.
    """
    changed, absent = {}, set()
    versions: dict[str, set[str]] = {}
    unknown = 0
    for row in rows:
        method = row.method
        if row.code is None or method is None:
            unknown += row.source is not None and method is not None
            continue
        module = method.partition(":")[0]
        versions.setdefault(method, set()).add(row.code)
        now = row.code if current is None else current(method)
        if now is None:
            absent.add(module)
        elif now != row.code:
            changed[row.key] = module
    mixed = {method.partition(":")[0] for method, codes in versions.items() if len(codes) > 1}
    return CodeMarks(
        changed=changed,
        unknown=0 if current is None else unknown,
        absent=sorted(absent),
        mixed=sorted(mixed),
    )


def code_notes(marks: CodeMarks, study: str) -> Iterator[str]:
    """Yield what a reader must know of the code; `study` is what its commands call the study."""
    if marks.changed:
        modules = _listed(sorted(set(marks.changed.values())))
        yield (
            f"{MARK} Trained by other code: {_trials(len(marks.changed))}; {modules} or what it "
            "imports, or semisweep's networks, data or training, changed since (comments do not "
            f"count). `semisweep run {study} --retrain ROW` trains a row anew; raise the method's "
            "`version` where equal settings no longer give equal weights."
        )
    if marks.mixed:
        yield (
            f"Mixed code: the trials of {_listed(marks.mixed)} were not all trained by the same "
            "code."
        )
    if marks.absent:
        yield (
            f"Code not compared: {_listed(marks.absent)} is not here; run in its folder, or put "
            "that on PYTHONPATH."
        )
    if marks.unknown:
        yield (
            f"Code unknown: {_trials(marks.unknown)} of an earlier semisweep, which kept no digest "
            "of the code that trains; whether it changed since cannot be told."
        )


def code_warnings(marks: CodeMarks) -> Iterator[str]:
    """Yield in short what `code_notes` say in full."""
    if marks.changed:
        yield f"{MARK} Other code trained {_trials(len(marks.changed))}."
    if marks.mixed:
        yield f"Mixed code: {_listed(marks.mixed)}."
    if marks.absent:
        yield f"Code not compared: {_listed(marks.absent)} is not here."
    if marks.unknown:
        yield f"Code unknown: {_trials(marks.unknown)}."


def _trials(count: int) -> str:
    return f"{count} trial{'s' if count > 1 else ''}"


def _listed(modules: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in modules)
