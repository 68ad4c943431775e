"""What is written for people: links lead somewhere, commands exist, examples are Python."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

from semisweep.cli.commands import cli

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("*/README.md"))]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"\bsemisweep ([a-z]+(?:-[a-z]+)*)\b(?: ([a-z]+)\b)?")

every_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix()
)


def links(text: str) -> list[str]:
    return [first or second for first, second in LINK.findall(text)]


def anchors(text: str) -> set[str]:
    """Return the anchors that headings get, as GitHub makes them."""
    headings = re.findall(r"^#+\s+(.*)$", BLOCK.sub("", text), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }


def blocks(text: str, *languages: str) -> list[str]:
    return [body for language, body in BLOCK.findall(text) if language in languages]


def commands(text: str) -> set[tuple[str, str]]:
    """Return first and second word of the calls of semisweep in code, spans and blocks."""
    code = [body for _, body in BLOCK.findall(text)]
    code += re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))
    lines = (line.split("#")[0] for body in code for line in body.splitlines())
    return {
        pair
        for line in lines
        if not re.match(r"\s*(from|import)\b", line)
        for pair in COMMAND.findall(line)
    }


def test_the_readme_is_there() -> None:
    assert ROOT / "README.md" in PAGES


@every_page
def test_relative_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    for link in links(text):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{link} leads nowhere"
        assert path.is_relative_to(ROOT), f"{link} leads out of the repository"
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path.read_text()), f"{link} names no heading"


@every_page
def test_commands_exist(page: Path) -> None:
    for name, below in commands(page.read_text()):
        assert name in cli.commands, f"there is no command semisweep {name}"
        group = getattr(cli.commands[name], "commands", None)
        if group is not None:
            assert below in group, f"there is no command semisweep {name} {below}"


@every_page
def test_examples_are_python_and_import_what_is_there(page: Path) -> None:
    for body in blocks(page.read_text(), "python", "py"):
        tree = compile(body, str(page), "exec", ast.PyCF_ONLY_AST)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(str(node.module))
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"


def test_the_tests_above_see_what_they_look_for() -> None:
    text = (
        '# Title: a *b*\n[a](b.md#c) ![d](e.png "f")\n\n[g]: h.md\n`semisweep run quickstart`\n'
        "```sh\nsemisweep data make shapes\n```\n"
        "```python\nfrom semisweep import load\nx = 1\n```\n"
    )

    assert links(text) == ["b.md#c", "e.png", "h.md"]
    assert anchors(text) == {"title-a-b"}
    assert commands(text) == {("run", "quickstart"), ("data", "make")}
    assert blocks(text, "python") == ["from semisweep import load\nx = 1\n"]
