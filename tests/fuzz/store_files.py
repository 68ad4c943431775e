"""Every field of every file of a store with a value of another type, and every command on it.

python tests/fuzz/store_files.py FOLDER [--changes 100] [--seed 0] [--all] [--only TEXT]

FOLDER must be new. Whatever is damaged, the commands end as documented, and a damaged trial does
not hide the others.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from calls import Calls
from mutations import of_file
from report_store import fill_search, fill_table

from semisweep import Store
from semisweep.data.shapes import make
from semisweep.store.compaction import compact
from semisweep.store.look_log import Entry, note_look
from semisweep.store.resolved_study import ResolvedStudy
from semisweep.store.study_files import StudyPlace
from semisweep.store.study_origin import note_origin
from semisweep.tables.imported_numbers import ImportedNumber, keep

TABLE, SEARCH = "rankmatch_weight", "rankmatch_search"
FORMS = (
    *(["--format", form] for form in ("html", "latex", "csv")),
    *(["--notes"], ["--keys"], ["--compact"]),
)


def main() -> int:
    """Damage, call, and print what went wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--changes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--only", default="", help="Changes whose description has this.")
    asked = parser.parse_args()
    asked.folder.mkdir()
    whole, damaged, data = (asked.folder / name for name in ("whole", "damaged", "data"))
    make_store(whole, data)
    changes = [
        (path.relative_to(whole), what, content)
        for path in one_of_each_kind(whole)
        for what, content in of_file(path)
        if asked.only in what
    ]
    random.Random(asked.seed).shuffle(changes)
    calls = Calls()
    for path, what, content in changes if asked.all else changes[: asked.changes]:
        shutil.rmtree(damaged, ignore_errors=True)
        shutil.copytree(whole, damaged)
        (damaged / path).write_bytes(content)
        ask(calls, damaged, data, path, what)
    print(f"{len(changes)} changes there are")
    return calls.report()


def make_store(root: Path, data: Path) -> None:
    """Make a store that has files of every kind."""
    make(data / "shapes", train=48, val=4, test=4, size=32)
    fill_table(root, TABLE, data)
    fill_search(root, data, trials=3, confirmed=True)
    store = Store.open(root)
    trial = store.trial(store.keys()[0]).description().trial
    for key in ("failed", "other"):
        store.trial(key).describe({"format": 1, "key": key, "trial": trial})
    failure = {"key": "failed", "error": "ValueError: no\nmore", "attempts": 1, "trial": trial}
    store.trial("failed").fail(failure)
    note_origin(root, TABLE, "/lab/mine.py:study")
    study = store.read_study(TABLE, "mini")
    assert isinstance(study, ResolvedStudy)
    seen = {cell.place: tuple(cell.trials.values()) for cell in study.cells}
    note_look(store.root, StudyPlace(TABLE, "mini"), Entry(look=1, judged=True, trials=seen), 1)
    row, column = study.cells[0].place
    about = {"study": TABLE, "scale": "mini", "row": row, "column": column, "replicate": "0/0"}
    keep(store, [ImportedNumber(**about, value=70.0, source="a file")])
    compact(store)


def one_of_each_kind(root: Path) -> list[Path]:
    """Return a file of each kind: trials' by their own name, others by their folder's."""
    found: dict[str, Path] = {}
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.name.endswith("lock"):
            parts = path.relative_to(root).parts
            kind = path.name if parts[0] == "trials" else "/".join(parts[:-1]) or path.name
            found.setdefault(re.sub(r"[0-9a-f]{8,}|\d+", "", kind), path)
    return list(found.values())


def ask(calls: Calls, root: Path, data: Path, path: Path, what: str) -> None:
    """Ask all of a damaged store; note where it hides trials that are whole."""
    keys = [own.name for own in sorted((root / "trials").iterdir())]
    key = path.parts[1] if path.parts[0] == "trials" else keys[0]
    about = f"{path}: {what}"
    for words in questions(key, next(own for own in keys if own != key), data):
        code, out, _ = calls.run([*words, "--store", str(root)], about)
        shows = words[:2] == ["table", TABLE] or words[0] == "report"
        hidden = shows and code and path.parts[0] in ("trials", "results", "history")
        if hidden:
            calls.note(("hides the other trials", path.name), about)
        if words == ["status"] and path.parts[0] == "trials" and TABLE not in out:
            calls.note(("status hides the study", path.name), about)
    carry(calls, root, path, about)
    page = root.parent / "page.html"
    text = page.read_text() if page.exists() else ""
    if "\x1b" in text or "strange</script>" in text:
        calls.note(("report", "obeys a text"), about)
    for name in ("page.html", "o.log"):
        (root.parent / name).unlink(missing_ok=True)
    shutil.rmtree(root.parent / "events", ignore_errors=True)


def carry(calls: Calls, root: Path, path: Path, about: str) -> None:
    """Pack a damaged store, and merge it and the archive; note where whole trials are lost."""
    archive, merged = root.parent / "carried.tar.gz", root.parent / "merged"
    calls.run(["store", "pack", "--store", str(root), "--output", str(archive)], about)
    for source in (root, archive):
        shutil.rmtree(merged, ignore_errors=True)
        if source.exists():
            code, _, _ = calls.run(["store", "merge", str(source), "--store", str(merged)], about)
            damaged = {path.parts[1]} if path.parts[0] == "trials" else set()
            kept = {own.parent.name for own in merged.glob("trials/*/result.parquet")}
            lost = {own.parent.name for own in root.glob("trials/*/result.parquet")} - kept
            if code in (0, 1) and not lost <= damaged:
                calls.note(("merge loses whole trials", path.name), about)
    archive.unlink(missing_ok=True)


def questions(key: str, other: str, data: Path) -> Iterator[list[str]]:
    """Yield the words of each command that reads a store."""
    yield ["status"]
    yield ["list"]
    yield from (["table", own] for own in (TABLE, SEARCH))
    yield from (["table", TABLE, *more] for more in FORMS)
    yield from (["show", key], ["logs", key], ["diff", key, other])
    yield ["report", "--output", str(data.parent / "page.html")]
    yield ["export-tensorboard", TABLE, "--output", str(data.parent / "events")]
    yield ["export-optuna", SEARCH, "--output", str(data.parent / "o.log")]
    yield ["plan", TABLE, "--data", f"shapes={data / 'shapes'}"]
    yield ["gc", "--dry-run"]
    yield ["evaluate", key]
    yield ["rm", key, "--yes"]
    yield ["compact"]


if __name__ == "__main__":
    sys.exit(main())
