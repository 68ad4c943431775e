"""A grammar of values that people type by mistake, and of values that nobody types."""

from __future__ import annotations

import random
from collections.abc import Callable

NUMBERS = (
    "0",
    "1",
    "-1",
    "2",
    "7",
    "1.5",
    "-0.0",
    "1e30",
    "1e400",
    "nan",
    "inf",
    "-inf",
    "1_000",
    "0x10",
)
LARGE = (str(2**31), str(2**63), str(2**64), "9" * 23, "9" * 6000, "-" * 5000 + "1")
WORDS = ("", " ", "auto", "none", "null", "true", "mini", "paper", "all", "KEY", "-", "--", "-h")
TEXTS = (
    "ä",
    "日本",
    "a b",
    "a\nb",
    "\x1b[31mred",
    "\x00",
    "\udcff",
    "'",
    '"',
    "`ls`",
    "$(ls)",
    "%s",
    "{}",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "/dev/null",
    "/proc/self/mem",
    "x" * 300,
    "/".join("x" * 200 for _ in range(30)),
    "a" * 100_000,
    "os:path",
    "os:system",
    "no.py:x",
    "./:x",
    ":",
    "::",
    "a:",
    ":a",
    "s3://",
    "s3:///",
    "s3://b",
    "file:///tmp",
    "http://x",
    "s3://a/../b",
)
LITERALS = (
    "{[]:1}",
    "b'1'",
    "[1,",
    "(1",
    "{1:2}",
    "[]",
    "()",
    "{}",
    "1j",
    "...",
    "lambda: 1",
    "__import__",
    "[[[[1]]]]",
    "'a'",
    "None",
    "True",
    "1,2",
    "0 if 1 else 2",
    "9**9**9",
    "[" * 300,
    "'" * 301,
)
FIELDS = (
    "training.steps",
    "training.evaluations",
    "training.crop_pixels",
    "training.labelled_batch",
    "training.learning_rate",
    "training.precision",
    "training.epochs",
    "data.labelled",
    "data.name",
    "data.family",
    "config.threshold",
    "config.agents",
    "seed",
    "training",
    "no.field",
    "",
    ".",
    "a..b",
)

Generator = random.Random


def word(numbers: Generator) -> str:
    """Return a value of any kind."""
    kinds: tuple[Callable[[Generator], str], ...] = (
        lambda own: own.choice(NUMBERS),
        lambda own: own.choice(LARGE),
        lambda own: own.choice(WORDS),
        lambda own: own.choice(TEXTS),
        lambda own: own.choice(LITERALS),
        assignment,
        _mixed,
    )
    return numbers.choice(kinds)(numbers)


def assignment(numbers: Generator) -> str:
    """Return NAME=VALUE, for options that want it."""
    value = numbers.choice((NUMBERS, LARGE, WORDS, TEXTS, LITERALS))
    return f"{numbers.choice(FIELDS)}={numbers.choice(value)}"


def _mixed(numbers: Generator) -> str:
    """Return characters of all kinds in a row."""
    letters = "aZ0_-./:=,;[](){}'\"\\\n\t\x1b\x7f é$%&*?!#~|<>@+"
    return "".join(numbers.choice(letters) for _ in range(numbers.randrange(1, 12)))
