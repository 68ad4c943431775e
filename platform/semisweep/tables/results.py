"""What a store has of a study, for scripts and notebooks: its table, its failures, its trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from semisweep.core.errors import ConfigError
from semisweep.store.resolved_search import ResolvedSearch
from semisweep.study.catalogue import check_study_name
from semisweep.study.request import RunOptions, make_request
from semisweep.tables.rendering import Reading

if TYPE_CHECKING:
    import pandas as pd

    from semisweep.store.store import Store
    from semisweep.study.catalogue import Named


class Results:
    """A study's table and trials, as the store had them when this was made.

    It prints as the command line shows the table, and a notebook shows it as HTML. With `notes` all
    notes are beneath the table, with `compact` it is the table of a paper.
    """

    def __init__(self, reading: Reading, *, notes: bool = False, compact: bool = False) -> None:
        self._reading, self._notes, self._compact = reading, notes, compact
        (self._study,) = reading.studies

    @property
    def name(self) -> str:
        """The name of the study."""
        return self._study.name

    @property
    def failures(self) -> list[str]:
        """One line for each failed trial: its key and its error's last line."""
        return self._reading.failures()

    def trials(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Return a row for each of its trials that finished or failed: see `semisweep.load`."""
        from semisweep.store.query import load

        return load(self._store(), keys=self._study.keys, columns=columns)

    def history(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Return a row for each evaluation of its trials: see `semisweep.history`."""
        from semisweep.store.query import history

        return history(self._store(), keys=self._study.keys, columns=columns)

    def effects(self) -> pd.DataFrame:
        """Return a row for each part and interaction of a design, in points: see `--effects`.

        Raises `ConfigError` for a study that has no design.
        """
        from io import StringIO

        import pandas as pd

        return pd.read_csv(StringIO(self._reading.text("csv", effects_alone=True)))

    def to_markdown(self) -> str:
        """Return the table as Markdown."""
        return self._text("markdown")

    def to_latex(self) -> str:
        """Return the table as LaTeX; it needs the packages booktabs and textcomp, and T1 fonts."""
        return self._text("latex")

    def to_html(self) -> str:
        """Return the table as a page of HTML."""
        return self._text("html")

    def to_csv(self) -> str:
        """Return the table as CSV."""
        return self._text("csv")

    def __str__(self) -> str:
        """Return the table as Markdown, and a line for each failed trial."""
        failed = [f"failed: {line}\n" for line in self.failures]
        return self._text("markdown") + "".join(failed)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return the table as HTML for a notebook, and a line for each failed trial."""
        if isinstance(self._study, ResolvedSearch):
            return f"<pre>{escape(str(self))}</pre>"
        failed = "".join(f"<li>failed: {escape(line)}</li>" for line in self.failures)
        return self._text("fragment") + (f"<ul>{failed}</ul>" if failed else "")

    def _text(self, form: str) -> str:
        return self._reading.text(form, further=self._notes, compact=self._compact)

    def _store(self) -> Store:
        if self._reading.store is None:
            raise ConfigError(
                f"a store must be there to be read, got store={self._reading.request.store}; "
                "run the study first"
            )
        return self._reading.store


def table(
    study: Named,
    store: str | Path | None = None,
    *,
    scale: str | None = None,
    data: Mapping[str, str | Path] | None = None,
    seeds: int | None = None,
    draws: int | None = None,
    set: Mapping[str, object] | None = None,
    notes: bool = False,
    compact: bool = False,
) -> Results:
    """Return what a store has of a study, as `semisweep table` prints it; trains nothing.

    `store`: $SEMISWEEP_STORE or "semisweep-store" where none is named; `scale`: mini, or the only
    one that the study has. Raises `ConfigError`,
    `StoreError`.
    """
    check_study_name(study)
    options = RunOptions(scale=scale, data=data or {}, seeds=seeds, draws=draws, set=set or {})
    reading = Reading([study], make_request(store, options, [study]))
    return Results(reading, notes=notes, compact=compact)
