"""Texts that terminals and files can have."""

from __future__ import annotations

import os

from semisweep.core.safe_text import as_bytes, one_line, printable


def test_what_is_no_text_is_written_as_escapes() -> None:
    path = os.fsdecode(b"/data/\xff")

    assert as_bytes(f"in {path}, é") == "in /data/\\udcff, é".encode()


def test_what_steers_a_terminal_or_a_page_is_made_visible() -> None:
    assert printable("a\x1b[2Jb\tc\n") == "a\ufffd[2Jb\tc\n"
    assert one_line("a\n<b> < c") == "a &lt;b> < c"
