"""Which cells of a table were trained on other labelled images, or tested on other test images.

Cells are compared only within one digest of each: to differ in labelled images alone moves mIoU by
more than most methods do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from semisweep.store.resolved_study import Place, ResolvedCell
from semisweep.store.trial_records import Result

Given = Mapping[Place, ResolvedCell]
Results = Mapping[str, Result]
Digests = dict[str, str]  # draw -> digest


def differing_cells(given: Given, base: str, results: Results) -> set[Place]:
    """Return the cells whose labelled or test images differ from those of the base row.

    Results that do not say which images these were differ from nothing.
    """
    found = set()
    for row, column in given:
        base_cell = given.get((base, column))
        origin = {} if base_cell is None else _digests(base_cell, results)
        own = _digests(given[row, column], results)
        tests = [_tests(cell, results) for cell in (base_cell, given[row, column]) if cell]
        other_tests = all(tests) and len(set().union(*tests)) > 1
        if other_tests or any(origin.get(draw, digest) != digest for draw, digest in own.items()):
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
    places = {f"draw {draw}": lists for draw, lists in rows.items()}
    for row, other in given:
        for digest in _tests(given[row, column], results) if other == column else ():
            places.setdefault("test images", {}).setdefault(digest, []).append(row)
    for place, lists in places.items():
        if len(lists) > 1:
            told = "; ".join(f"{digest}: {', '.join(who)}" for digest, who in lists.items())
            yield f"{place}, {told}"


def _tests(cell: ResolvedCell, results: Results) -> set[str]:
    """Return the digests of the test images that a cell's results are of, as far as they say."""
    found = (results[key].test_digest for key in cell.trials.values() if key in results)
    return {digest for digest in found if digest}


def _digests(cell: ResolvedCell, results: Results) -> Digests:
    """Return the digest of the labelled images of each draw that has a result.

    Trials of one draw have one: a key is of one list.
    """
    return {
        replicate.partition("/")[0]: digest
        for replicate, key in cell.trials.items()
        if key in results and (digest := results[key].labelled_digest)
    }
