"""Which cells of a table were trained on other labelled images than the rest of their column.

Cells are compared only within one digest of the labelled images: to differ in those alone moves
mIoU by more than most methods do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from semisweep.store.resolved_study import Place, ResolvedCell
from semisweep.store.trial_records import Result

Given = Mapping[Place, ResolvedCell]
Results = Mapping[str, Result]
Digests = dict[str, str]  # draw -> digest


def differing_cells(given: Given, base: str, results: Results) -> set[Place]:
    """Return the cells whose labelled images differ from those of the base row in some draw.

    Results that do not say which images were labelled differ from nothing.
    """
    found = set()
    for row, column in given:
        base_cell = given.get((base, column))
        origin = {} if base_cell is None else _digests(base_cell, results)
        own = _digests(given[row, column], results)
        if any(origin.get(draw, digest) != digest for draw, digest in own.items()):
            found.add((row, column))
    return found


def mixed(given: Given, results: Results) -> dict[str, tuple[str, ...]]:
    """Return for each column that mixes them a line a draw: its digests, and the rows of each."""
    columns = dict.fromkeys(column for _, column in given)
    lines = {column: tuple(_lines(given, column, results)) for column in columns}
    return {column: told for column, told in lines.items() if told}


def _lines(given: Given, column: str, results: Results) -> Iterator[str]:
    rows: dict[str, dict[str, list[str]]] = {}  # draw -> digest -> rows
    for row, other in given:
        if other == column:
            for draw, digest in _digests(given[row, column], results).items():
                rows.setdefault(draw, {}).setdefault(digest, []).append(row)
    for draw, lists in rows.items():
        if len(lists) > 1:
            told = "; ".join(f"{digest}: {', '.join(who)}" for digest, who in lists.items())
            yield f"draw {draw}, {told}"


def _digests(cell: ResolvedCell, results: Results) -> Digests:
    """Return the digest of the labelled images of each draw that has a result.

    Trials of one draw have one: a key is of one list.
    """
    return {
        replicate.partition("/")[0]: digest
        for replicate, key in cell.trials.items()
        if key in results and (digest := results[key].labelled_digest)
    }
