"""The lines of the guides that call semisweep."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("*/README.md"))]
BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def lines() -> list[list[str]]:
    """Return the words of every call of semisweep that stands on a line of its own in a guide."""
    found = []
    for page in PAGES:
        for language, body in BLOCK.findall(page.read_text()):
            for line in body.splitlines() if language in ("", "sh", "bash") else ():
                words = shlex.split(line, comments=True)
                if words and words[0].endswith("semisweep"):
                    found.append(words[1:])
    return found


def files() -> dict[str, str]:
    """Return the files that guides write, by name: Python that begins with "# NAME.py"."""
    found = {}
    for page in PAGES:
        for language, body in BLOCK.findall(page.read_text()):
            first = body.partition("\n")[0]
            if language == "python" and re.fullmatch(r"# \w+\.py", first):
                found[first.removeprefix("# ")] = body
    return found
