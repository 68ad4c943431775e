"""Comparing the states of two trainings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def different(first: Any, second: Any, path: str = "state") -> list[str]:
    """Return where two nested states differ; the seconds that passed do not count."""
    if isinstance(first, Tensor):
        return [] if torch.equal(first, second) else [path]
    if isinstance(first, Mapping):
        if set(first) != set(second):
            return [path]
        names = [name for name in first if name != "seconds"]
        triples = [(first[name], second[name], f"{path}.{name}") for name in names]
        return [at for triple in triples for at in different(*triple)]
    if isinstance(first, (list, tuple)):
        pairs = enumerate(zip(first, second, strict=True))
        return [at for i, (a, b) in pairs for at in different(a, b, f"{path}.{i}")]
    both_nan = first != first and second != second
    return [] if first == second or both_nan else [path]
