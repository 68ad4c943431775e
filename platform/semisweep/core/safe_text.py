"""Texts of a store as a terminal or a page may show them: the store may be a stranger's."""

from __future__ import annotations

import re


def printable(text: str) -> str:
    """Return a text without what could steer a terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


# What steers a terminal, or turns the direction of the text around it; no line ends or tabs.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def without_controls(page: str) -> str:
    """Return a whole page, whose text is escaped already, without what steers more than it."""
    return _CONTROLS.sub("\ufffd", page)


def one_line(text: str) -> str:
    """Return a text in one line, whose HTML a page would show and not obey.

    A "<" before a space begins no tag and stays.
    """
    return re.sub(r"<(?! )", "&lt;", printable(" ".join(text.split())))


def as_bytes(text: str) -> bytes:
    """Return text as UTF-8, in which bytes of a path in another encoding stand as escapes."""
    return text.encode("utf-8", "backslashreplace")
