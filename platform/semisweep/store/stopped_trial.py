"""Trials that a search stopped on their way, and what it decided at their rungs.

<trial>/rung-<step>-<search>.json    a decision; the first one of a search at a step stands
<trial>/stopped-<step>.parquet       one row: as far as a search let the trial come

Neither is a result: a trial can still be trained to its end, from its checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence

from semisweep.store import files
from semisweep.store.files import Location
from semisweep.store.json_fields import Fields
from semisweep.store.resolved_search import RungDecision, decode_decision
from semisweep.store.result_file import encode_row, read_row
from semisweep.store.trial_folder import TrialFolder
from semisweep.store.trial_records import Result

_RUNG = re.compile(r"rung-\d+-[0-9a-f]{12}\.json")
_STOPPED = re.compile(r"stopped-\d+\.parquet")


def append_rung(folder: TrialFolder, decision: RungDecision) -> None:
    """Keep a decision at a rung. It stands even if training goes back to an earlier step."""
    search = hashlib.sha256(decision.search.encode()).hexdigest()[:12]
    path = folder.path / f"rung-{decision.step:08d}-{search}.json"
    files.create(path, json.dumps(files.plain(decision.encoded())).encode())


def read_rungs(folder: TrialFolder) -> list[RungDecision]:
    """Return the decisions at rungs in order of their steps."""
    names = sorted(entry.name for entry in files.scan(folder.path) if _RUNG.fullmatch(entry.name))
    found = ((folder.path / name, files.read_json(folder.path / name)) for name in names)
    return [
        decode_decision(Fields(decision, "a decision at a rung", path))
        for path, decision in found
        if decision is not None
    ]


def stop(folder: TrialFolder, step: int, row: Mapping[str, object]) -> None:
    """Keep `row` as the state of a trial that a search stopped; the first one stays.

    The caller has the right to train the trial.
    """
    files.create(
        folder.path / f"stopped-{step:08d}.parquet", encode_row({"key": folder.key, **row})
    )


def stopped(folder: TrialFolder, columns: Sequence[str] | None = None) -> Result | None:
    """Return the row of the latest `stop`; None without one, and for a trial that finished."""
    path = stopped_path(folder)
    row = None if path is None or folder.finished else read_row(path, columns)
    return None if row is None else Result(folder.key, row)


def stopped_path(folder: TrialFolder) -> Location | None:
    """Return the file of the latest `stop`, if there is one."""
    names = [entry.name for entry in files.scan(folder.path) if _STOPPED.fullmatch(entry.name)]
    return folder.path / max(names) if names else None
