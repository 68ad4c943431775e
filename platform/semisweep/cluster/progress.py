"""Live progress of a sweep: bars in a terminal or a notebook, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from semisweep.cluster.notebook import NotebookOutput, in_notebook
from semisweep.store.trial_records import TrialProgress
from semisweep.tables.status import duration

LINE_SECONDS = 15.0
TOLD_FROM = 0.2  # so many trials, or parts of them, tell how long the others will take


class SweepProgress:
    """Shows how many trials are done and how far the running ones have come."""

    def __init__(self, total: int, names: Mapping[str, str], stream: TextIO | None = None) -> None:
        self.total, self.names, self.done, self.failed = total, names, 0, 0
        self.output = NotebookOutput(total) if stream is None and in_notebook() else None
        default = sys.stderr if self.output is None else sys.stdout
        self.console = Console(file=stream or default, highlight=False, force_jupyter=False)
        self.known = 0  # of those done, which had their results before
        self.training_since: float | None = None
        self.started = self.last_line = time.monotonic()
        self.tasks: dict[str, TaskID] = {}
        self.bars = Progress(
            TextColumn("{task.description}", table_column=_cut(2)),
            BarColumn(bar_width=12),
            TextColumn("{task.fields[note]}", table_column=_cut(3)),
            TimeElapsedColumn(),
            expand=True,
            console=self.console,
            disable=self.output is not None or not self.console.is_terminal,
        )
        self.overall = self.bars.add_task("trials", total=total, note="Ray is starting")

    def __enter__(self) -> SweepProgress:
        self.bars.start()
        if self.output is not None:
            self.output.show(0, f"{self.total} trials; Ray is starting", [], now=True)
            return self
        self._line(f"{self.total} trials to run; Ray is starting")
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()
        if self.output is not None:
            self.output.show(self.done, f"{self.done} of {self.total} trials", [], now=True)

    def watch(self, running: Mapping[str, TrialProgress | None], elsewhere: int = 0) -> None:
        """Show how far each running trial has come, and how many other sweeps train."""
        for key in [key for key in self.tasks if key not in running]:
            self.bars.remove_task(self.tasks.pop(key))
        for key, told in running.items():
            if key not in self.tasks:
                self.tasks[key] = self.bars.add_task(self.name(key), note="", total=None)
            self.bars.update(
                self.tasks[key],
                completed=told.step if told else 0,
                total=told.total_steps if told else None,
                note=describe(told),
            )
        others = f", {elsewhere} trained by other sweeps" if elsewhere else ""
        others += self._left(running)
        self.bars.update(self.overall, note=f"{self.done} of {self.total}{others}")
        if self.output is not None:
            note = f"{self.done} of {self.total} trials{others}"
            self.output.show(self.done, note, self._each(running))
        elif time.monotonic() - self.last_line > LINE_SECONDS:
            self._line(f"{self.done} of {self.total} done{others}" + self._running(running))

    def finished(self, key: str, status: str, note: str) -> None:
        """Show that a trial has ended."""
        self.done += 1
        self.known += status == "known"
        self.failed += status == "failed"
        self.bars.update(self.overall, completed=self.done, note=f"{self.done} of {self.total}")
        counted = f"[{self.done}/{self.total}] " if self.bars.disable else ""
        self.say(f"{counted}{status:8} {self.name(key)}  {note}")

    def say(self, text: str) -> None:
        """Show a line."""
        if self.bars.disable:
            self._line(text)
        else:
            self.bars.console.print(text, markup=False)

    def name(self, key: str) -> str:
        """Return how a trial is called on the screen."""
        return f"{self.names.get(key, '')} {key[:8]}".strip()

    def _each(self, running: Mapping[str, TrialProgress | None]) -> list[str]:
        return [f"{self.name(key)} {describe(told)}" for key, told in running.items()]

    def _left(self, running: Mapping[str, TrialProgress | None]) -> str:
        """Return how long the rest will take at the pace so far, "" before it can be told."""
        shares = [told.step / told.total_steps for told in running.values() if told]
        if self.training_since is None:
            self.training_since = time.monotonic() if any(shares) else None
            return ""
        trained = self.done - self.known + sum(shares)
        seconds = time.monotonic() - self.training_since
        if trained < TOLD_FROM or seconds < 1:
            return ""
        left = seconds / trained * max(0.0, self.total - self.known - trained)
        return f", about {duration(left)} left"

    def _running(self, running: Mapping[str, TrialProgress | None]) -> str:
        parts = self._each(running)
        return f"; running: {', '.join(parts)}" if parts else ""

    def _line(self, text: str) -> None:
        self.last_line = time.monotonic()
        if self.bars.disable:
            seconds = self.last_line - self.started
            self.console.print(f"{seconds:6.0f} s  {text}", markup=False, soft_wrap=True)


def _cut(ratio: int) -> Column:
    """Return a column of a table that takes a share of the width, and cuts what is longer."""
    return Column(ratio=ratio, no_wrap=True, overflow="ellipsis")


def describe(told: TrialProgress | None) -> str:
    """Return step and last validation score of a running trial in a few words."""
    if told is None:
        return "0/?"
    score = told.evaluation.number("val.miou") if told.evaluation else None
    text = f"{told.step}/{told.total_steps}" + " compiling" * told.compiles
    return text if score is None else f"{text} val {100 * score:.1f}"
