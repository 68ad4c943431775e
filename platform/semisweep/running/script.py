"""Running a study from a script or a notebook, as the command line runs it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from semisweep.core.errors import ConfigError
from semisweep.study.request import RunOptions, make_request
from semisweep.tables.rendering import Reading, keep_table
from semisweep.tables.results import Results

if TYPE_CHECKING:
    from semisweep.study.catalogue import Named


def run(study: Named, store: str | Path | None = None, **options: Unpack[RunOptions]) -> Results:
    """Train what a study has no result for; return its table and trials. Again goes on.

    `study`: a `Study` or `Search`, or a name as the command line has it. It may be made in a
    notebook; its methods may not, as other processes import them. `store`: a folder or
    s3://BUCKET/PREFIX, by default $SEMISWEEP_STORE or "semisweep-store". `options` are those of
    `semisweep run`: see `RunOptions`.

    Raises a `SemisweepError`, such as `ConfigError`, for what the command line refuses in one line.
    Failed trials raise nothing: they are in `failures` of what is returned. After Ctrl-C, running
    trials write checkpoints before KeyboardInterrupt is raised.
    """
    from semisweep.running import launch

    with _explained():
        request = make_request(store, options, [study])
        kept = launch.run([study], request, _say)
        reading = Reading([study], request, kept)
        results = Results(reading)
        keep_table(reading, results.to_markdown())
    return results


@contextmanager
def _explained() -> Iterator[None]:
    """Say in one line what a value breaks, and after Ctrl-C how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        _say("interrupted; what is finished is kept. To go on: run it again")
        raise
    except ValueError as error:
        pydantic = sys.modules.get("pydantic")
        if pydantic is None or not isinstance(error, pydantic.ValidationError):
            raise
        from semisweep.core.config import explain

        raise ConfigError(explain(error)) from None


def _say(text: str) -> None:
    print(text, file=sys.stderr)
