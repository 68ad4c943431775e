"""A study of one trial, whose worker meets the faults that the environment asks for."""

from __future__ import annotations

from crash_studies import make

single = make("single", 1)
