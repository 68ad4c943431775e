"""What ends a worker's processes, and how often anything is tried again: the one policy of retries.

A fault after a trial was taken counts as an attempt at that trial: after three it is a failed row.
A fault before that counts against the slot's start: after three in a row the slot is given up, or
the sweep ends where no other slot works. The loss of a controller or of one of Tune's actors is no
fault of a trial: it is replaced, and after three in a row the sweep ends. What has come on counts
anew. Errors that a user can mend (`SemisweepError`) are the same each time: they are not tried
again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

TRIES = 3
TEXT_CHARACTERS = 16_000  # kept of what a process said when it ended
SHOWN_LINES = 3  # of it, in the terminal


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Why the processes of a slot ended: `text`, and what comes of it.

    `key`, `label` and `store` are those of the trial that it cost an attempt, if it was one.
    """

    slot: str
    text: str
    what: str  # such as "attempt 1 of 3"
    key: str = ""
    label: str = ""
    store: str = ""

    def shown(self, name: str = "") -> str:
        """Return what the terminal says: who, which attempt, and the error's last lines."""
        who = name or (f"{self.label or 'trial'} {self.key[:8]}" if self.key else self.slot)
        return f"{who}, {self.what}: {' | '.join(last_lines(self.text))}"


def last_lines(text: str) -> list[str]:
    """Return the last lines of what an error says: of a traceback, those of the error itself."""
    lines = [line.rstrip() for line in text.strip().splitlines() if line.strip()]
    if text.startswith("Traceback"):
        indented = [number for number, line in enumerate(lines) if line.startswith("  ")]
        lines = lines[max(indented, default=-1) + 1 :] or lines
    return [line.strip() for line in lines[-SHOWN_LINES:]]


class Retries:
    """Counts what went wrong in a row; each method returns whether there is another try."""

    def __init__(self) -> None:
        self.attempts: Counter[str] = Counter()  # by trial
        self.starts: Counter[str] = Counter()  # by slot
        self.losses: Counter[str] = Counter()  # by slot or job

    def attempt(self, key: str) -> bool:
        """Count an attempt at a trial that ended its processes."""
        return self._count(self.attempts, key)

    def start(self, slot: str) -> bool:
        """Count a group of workers that ended before it took a trial."""
        return self._count(self.starts, slot)

    def loss(self, who: str) -> bool:
        """Count the loss of an actor that serves a slot or a job."""
        return self._count(self.losses, who)

    def started(self, slot: str) -> None:
        """Count a slot's starts anew: it has taken a trial."""
        self.starts.pop(slot, None)

    def ended(self, key: str, *others: str) -> None:
        """Count a trial's attempts anew, and the losses of `others`: it has an outcome."""
        self.attempts.pop(key, None)
        for who in (key, *others):
            self.losses.pop(who, None)

    @staticmethod
    def _count(counter: Counter[str], name: str) -> bool:
        counter[name] += 1
        return counter[name] < TRIES


def failed_text(text: str) -> str:
    """Return the error of a trial whose last attempt ended with `text`: a traceback, or a reason.

    A traceback stays as it is.
    """
    if text.startswith("Traceback"):
        return text
    return (
        f"a trial may end the processes that train it {TRIES} times, got attempts={TRIES}, "
        f"the last one: {text}; --retry-failed starts it anew"
    )
