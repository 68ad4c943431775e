"""Random numbers that depend on what they are for, never on what was drawn before.

Every draw in semisweep comes from a seed derived from its purpose, such as
`derive(seed, "student", "encoder")` or `derive(seed, epoch, image, "strong", view)`. A switch that
draws one number more therefore shifts no other draw, and resuming needs no generator state.
"""

from __future__ import annotations

import hashlib

import numpy as np

Part = int | str


def derive(*parts: Part) -> int:
    """Return a seed in [0, 2**63) that depends on every part and on nothing else."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def numbers(*parts: Part) -> np.random.Generator:
    """Return numpy's generator for this purpose."""
    return np.random.Generator(np.random.Philox(derive(*parts)))
