"""Says whether an interrupted Slurm job gave the table of an undisturbed sweep.

python judge.py LOG STEPS RESTARTS TABLE
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

log, steps, restarts, table = sys.argv[1:]
said = Path(log).read_text()
traces = {path.name: list(map(int, path.read_text().split())) for path in Path(steps).iterdir()}
repeated = sum(count - 1 for trace in traces.values() for count in Counter(trace).values())
passed = {
    "the time limit came in mid-sweep, and the job went back into the queue": int(restarts) >= 1
    and "put back into the queue" in said,
    "the job's log ends with the table of the undisturbed sweep": table.strip() in said,
    "four trials took all of their 30 steps": len(traces) == 4
    and all(set(trace) == set(range(30)) for trace in traces.values()),
    "no trial began anew: each went on from its checkpoint": all(
        trace.count(0) == 1 for trace in traces.values()
    ),
}
for line, is_so in passed.items():
    print(f"{'yes' if is_so else 'NO '}  {line}")
print(f"steps taken twice, of 120: {repeated}")
print(f"{sum(passed.values())} passed, {len(passed) - sum(passed.values())} failed")
sys.exit(0 if all(passed.values()) else 1)
