"""What can go wrong, as one hierarchy.

SemisweepError            anything a user can mend; the command line shows one line, exit code 2
  ConfigError             a name, field or value that breaks a rule (also a ValueError)
  DataError               a data set on disk that is not what it should be
  StoreError              a store that cannot be read, written or understood
    LeaseError            a trial whose training another process has taken over
  ClusterError            a Ray cluster that does not answer or does not fit the request
  SweepError              a sweep that cannot go on, by no fault of a trial; exit code 1
  TrainingError           a trial whose training cannot go on, such as a loss that is not finite

Messages state the rule, then `name=value`, then the remedy where one is known.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

INTERRUPTED = 130  # exit code of a process that a signal has ended


class SemisweepError(Exception):
    """Base of every error that a user, rather than a developer, can mend."""


class ConfigError(SemisweepError, ValueError):
    """A name, field or value breaks a rule."""


class DataError(SemisweepError):
    """A data set on disk is incomplete, inconsistent or unreadable."""


class StoreError(SemisweepError):
    """A store cannot be read or written, or has another format version."""


class LeaseError(StoreError):
    """Another process has taken over the training of a trial, whose result it will make."""


class ClusterError(SemisweepError):
    """A Ray cluster does not answer, or cannot hold what is asked of it."""


class SweepError(SemisweepError):
    """A sweep cannot go on, by no fault of a trial: the same command goes on with it."""


class TrainingError(SemisweepError):
    """A trial's training cannot go on."""


def unknown(kind: str, name: str, known: Iterable[str]) -> ConfigError:
    """Return the error for a name that does not exist, with the nearest ones that do."""
    choices = sorted(known)
    near = get_close_matches(name, choices, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(choices[:20])}"
    return ConfigError(f"unknown {kind} {name!r}; {hint}")


def interruption(arguments: Sequence[str] | None = None) -> str:
    """Return what is said of a command, by default this process's, that a signal has ended."""
    again = " ".join(["semisweep", *(arguments or sys.argv[1:])])
    return f"interrupted; what is finished is kept. To go on: {again}"
