"""Where the numbers of a table come from: the trials of every cell, and how to repeat each."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping

from semisweep.store.resolved_study import ResolvedStudy
from semisweep.store.store import Store
from semisweep.store.study_choice import set_options
from semisweep.study.request import Request
from semisweep.tables.command_words import data_words, study_place


def trial_lines(
    study: ResolvedStudy, store: Store | None, name: str, request: Request
) -> Iterator[list[str]]:
    """Yield row, column, replicate, key, state and command of every trial of a resolved study."""
    place = study_place(name, store)
    for cell in study.cells:
        for replicate, key in cell.trials.items():
            where = [cell.row, cell.column, replicate, key]
            command = repeat_command(
                place, request, cell.row, cell.column, replicate, study.changes
            )
            yield [*where, _state(store, key), command]


def repeat_command(
    place: str,
    request: Request,
    row: str,
    column: str,
    replicate: str,
    changes: Mapping[str, object],
) -> str:
    """Return the command that trains one trial of a study anew, into another store."""
    draw, _, seed = replicate.partition("/")
    words = [row, "--column", column, "--seed", seed]
    words += ["--draw", draw] if draw != "0" else []
    words += ["--scale", request.scale, "--store", "another-store", *set_options(changes)]
    return " ".join(["semisweep debug", place, shlex.join(words), *data_words(request)])


def _state(store: Store | None, key: str) -> str:
    if store is None:
        return "missing"
    folder = store.trial(key)
    if folder.finished:
        return "finished"
    return "missing" if folder.failure() is None else "failed"
