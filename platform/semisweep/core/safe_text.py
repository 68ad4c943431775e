"""Texts of a store as a terminal or a page may show them: the store may be a stranger's."""

from __future__ import annotations

import re


def printable(text: str) -> str:
    """Return a text without what could steer a terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def one_line(text: str) -> str:
    """Return a text in one line, whose HTML a page would show and not obey.

    A "<" before a space begins no tag and stays.
    """
    return re.sub(r"<(?! )", "&lt;", printable(" ".join(text.split())))
