"""Titles of studies, read as text: a list of them imports neither torch nor the studies."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from semisweep.core.training_code import module_file


def study_title(path: str) -> str:
    """Return the title of the study "package.module:attribute", as its module writes it.

    Where it is made by other code than a call with `title="..."`, the study is imported.
    """
    module, _, attribute = path.partition(":")
    file = module_file(module)
    found = _titles(file).get(attribute) if file is not None else None
    if found is None:
        from semisweep.study.catalogue import find_study

        found = find_study(path).title
    return found


@cache
def _titles(file: Path) -> dict[str, str]:
    """Return the titles that a module gives its values, by the name of each."""
    found: dict[str, str] = {}
    for node in ast.parse(file.read_bytes()).body:
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
            continue
        title = _title(node.value, found)
        for target in node.targets:
            if isinstance(target, ast.Name) and title is not None:
                found[target.id] = title
    return found


def _title(call: ast.Call, known: Mapping[str, str]) -> str | None:
    """Return the title that a call is given, or has of what it replaces parts of."""
    for word in call.keywords:
        if word.arg == "title":
            return _text(word.value)
    first = call.args[0] if call.args else None
    if ast.unparse(call.func) == "dataclasses.replace" and isinstance(first, ast.Name):
        return known.get(first.id)
    return None


def _text(node: ast.expr) -> str | None:
    found = node.value if isinstance(node, ast.Constant) else None
    return found if isinstance(found, str) else None
