"""Calls of the command line in this process, and what of their ends is wrong."""

from __future__ import annotations

import contextlib
import io
import resource
import signal
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from semisweep.cli import main

ENDS = (None, 0, 1, 2)  # exit codes
SECONDS = 60  # that a call may take, on a busy machine
MEMORY_BYTES = 14 * 2**30
SHOWN = 60  # characters of an argument


class TooLate(BaseException):
    """A call has taken longer than it may."""


class Calls:
    """Runs calls, counts them, and keeps an example of each kind of wrong end."""

    def __init__(self) -> None:
        self.count = 0
        self.wrong: Counter[tuple[object, ...]] = Counter()
        self.examples: dict[tuple[object, ...], str] = {}
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        signal.signal(signal.SIGALRM, _too_late)

    def run(self, arguments: Sequence[str], about: str = "") -> tuple[int | None, str, str]:
        """Run a call; return its exit code and what it printed. Notes what is wrong with its end.

        Wrong are: an exception or traceback, another exit code than is documented, no or several
        lines for bad input, what steers a terminal, and a call that does not end.
        """
        out, error = io.StringIO(), io.StringIO()
        code: int | None = None
        self.count += 1
        signal.alarm(SECONDS)
        kind: tuple[object, ...] = ()
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
                main(list(arguments))
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else None
            kind = _wrong(end.code, _without(arguments, out), _without(arguments, error))
        except TooLate:
            kind = ("does not end",)
        except Exception as raised:
            place = _own_frame(raised)
            kind = (type(raised).__name__, Path(place.filename).name, place.lineno)
        finally:
            signal.alarm(0)
        if kind:
            self.note((arguments[0], *kind), f"{[own[:SHOWN] for own in arguments]} {about}")
        return code, out.getvalue(), error.getvalue()

    def note(self, kind: tuple[object, ...], example: str) -> None:
        """Note that something was wrong."""
        self.wrong[kind] += 1
        self.examples.setdefault(kind, example)

    def report(self) -> int:
        """Print what was wrong; return the exit code."""
        print(f"{self.count} calls, {self.wrong.total()} wrong ends")
        for kind, count in self.wrong.most_common():
            print(f"{count} x {kind}: {self.examples[kind]!r}")
        return 1 if self.wrong else 0


def _without(arguments: Sequence[str], stream: io.StringIO) -> str:
    """Return what was printed, but paths that were given, which are named as they are."""
    text = stream.getvalue()
    for own in arguments:
        text = text.replace(own, "") if "\x1b" in own else text
    return text


def _wrong(code: object, out: str, error: str) -> tuple[object, ...]:
    if code not in ENDS:
        return ("exit code", code)
    if "Traceback" in error:
        return ("a traceback",)
    if "\x1b" in out + error:
        return ("what steers a terminal",)
    lines = [line for line in error.splitlines() if line.startswith("error: ")]
    if code == 2 and len(lines) != 1:
        return ("lines of an error", len(lines))
    return ()


def _own_frame(error: BaseException) -> traceback.FrameSummary:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "semisweep" in Path(frame.filename).parts]
    return (own or frames)[-1]


def _too_late(number: int, frame: FrameType | None) -> None:
    raise TooLate
