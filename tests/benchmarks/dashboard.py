"""What the dashboard's first views of a large store cost: 10,000 trials, by default.

The store is that of `queries`, compacted. The server is a process of its own, asked for the first
time; each figure is the fastest of three servers. A look is what the server does once a second.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.request import HTTPCookieProcessor, build_opener

from queries import make_store

from semisweep import Store
from semisweep.dashboard.store_watch import StoreWatch
from semisweep.store.compaction import compact

LIMIT_SECONDS = 1.0
PAGES = {"first view": "/", "a study, first": "/study?of=study3@paper", "again": "/"}


def main() -> None:
    """Make the store, ask three servers, and print seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--evaluations", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "store"
        make_store(root, options.trials, options.evaluations)
        compact(Store.open(root))
        runs = [ask(root) for _ in range(3)]
        for name in PAGES:
            print(f"{name:16}{min(run[name] for run in runs):8.3f} s")
        met = min(run["first view"] for run in runs) < LIMIT_SECONDS
        print(f"first view below {LIMIT_SECONDS:.0f} s: {'met' if met else 'MISSED'}")
        print(f"{'a look':16}{look(root):8.3f} s")


def ask(root: Path) -> dict[str, float]:
    """Return how long a new server takes for each page, in seconds."""
    command = [sys.executable, "-u", "-m", "semisweep", "dashboard", "--store", str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            base = re.sub(r"/\?.*", "", address)
            opener, found = build_opener(HTTPCookieProcessor(CookieJar())), {}
            for name, path in PAGES.items():
                target = address if not found else base + path
                started = time.perf_counter()
                with opener.open(target) as answer:
                    answer.read()
                found[name] = time.perf_counter() - started
            return found
        finally:
            server.kill()


def look(root: Path) -> float:
    """Return how long a look at a store takes in which nothing has changed, in seconds."""
    watch, found = StoreWatch(Store.open(root)), []
    watch.look()
    for _ in range(3):
        watch.look_next_time()
        started = time.perf_counter()
        watch.look()
        found.append(time.perf_counter() - started)
    return min(found)


if __name__ == "__main__":
    main()
