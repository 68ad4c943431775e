"""The command line, one file a group of commands: the only room that imports click."""

from __future__ import annotations

from semisweep.cli.commands import main

__all__ = ["main"]
