"""The searches of tuned rows, before their table: all of them at a time, each as if it were alone.

Each is a search in the store like any other (`semisweep.running.search_run`): its trials run once,
and it goes on where it was killed. One sweep has the trials of all, so that no slot is idle while
one of them ends. `semisweep.search.tuning_choice` reads from the store what they have chosen.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

from semisweep.checks.remembered_checks import check_before
from semisweep.cluster.connection import Connection
from semisweep.cluster.job import WAIT, Job, Outcome, Wait
from semisweep.cluster.progress import SweepProgress
from semisweep.cluster.prometheus import SweepMetrics
from semisweep.cluster.sweep import sweep
from semisweep.running.preparation import Say, place_of
from semisweep.running.search_run import Suggestions, lag_of, turn
from semisweep.search.tuning_choice import searches_of
from semisweep.store.store import Store
from semisweep.study.declaration import Study
from semisweep.study.request import Request
from semisweep.study.resolve import Splits
from semisweep.tables.table_looks import TableLooks


def run_tuning(
    study: Study,
    request: Request,
    connection: Connection,
    store: Store,
    splits: Splits,
    say: Say = lambda text: None,
) -> bool:
    """Run the searches of a study's tuned cells until each has its trials.

    Returns whether there was anything to run. If so, the arms are checked before, at the values
    that they declare. Raises `ConfigError` for an arm that is refused. Another process that runs
    one of these searches is waited for.
    """
    searches = searches_of(study, request, TableLooks(store, place_of(study.name, request)).stored)

    def wait(name: str) -> None:
        say(f"{name}: waits, as another process goes on with it in store={store.root}")
        connection.disconnect()  # else workers that do nothing could be in the way of its own

    with ExitStack() as turns:
        lag, sources = lag_of(request, connection), list[Suggestions]()
        for place, search in sorted(searches.items()):  # two processes wait in the same order
            taken = turn(store, search.name, request.stored_scale, partial(wait, search.name))
            confirm = turns.enter_context(taken)
            called = ", ".join(place)
            sources.append(Suggestions(search, request, store, lag, confirm, say, called))
        source = TogetherSuggested(sources)
        if not source.total:
            return False
        if request.check and not request.smoke:
            for finding in check_before(study, request.scale, request.changes, splits, store):
                say(f"warning: {study.name}: {finding}")
        with SweepProgress(source.total, source.names) as progress:
            source.show(progress)
            watch = SweepMetrics(study.name, progress)
            sweep(source, connection, watch, in_order=True, retries=request.retry_failed)
    return True


class TogetherSuggested:
    """A sweep's source that hands out the suggestions of several searches, in turn.

    A trial that two of them suggest is handed out once; both hear of its end.
    """

    def __init__(self, sources: Sequence[Suggestions]) -> None:
        self.sources = list(sources)
        self.total = sum(source.total for source in sources)
        self.names = ChainMap(*(source.names for source in sources))
        self._asked: dict[str, list[Suggestions]] = {}  # by the key of a trial that is handed out

    def show(self, progress: SweepProgress) -> None:
        """Show the ends of trials from now on."""
        for source in self.sources:
            source.progress = progress

    def next(self) -> Job | Wait | None:
        """Return the next job of the search whose turn it is, or of one that need not wait."""
        waits = False
        for source in list(self.sources):
            job = source.next()
            while isinstance(job, Job) and job.key in self._asked:
                self._asked[job.key].append(source)
                waits, job = True, source.next()
            waits = waits or isinstance(job, Wait)
            if isinstance(job, Job):
                self.sources.remove(source)
                self.sources.append(source)
                self._asked[job.key] = [source]
                return job
        return WAIT if waits else None

    def done(self, outcome: Outcome) -> None:
        """Take the outcome of a job, for each search that has suggested it."""
        for source in self._asked.pop(outcome.key):
            source.done(outcome)
