"""Running `python -m semisweep` is the same as running the command `semisweep`."""

from __future__ import annotations

from semisweep.cli import main

if __name__ == "__main__":
    main()
