"""A study and a method in a file of one's own, with a sibling module, from another folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from html import unescape
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.request import HTTPCookieProcessor, build_opener

import pytest
from dashboard_server import serving

from semisweep import Store
from semisweep.store.study_origin import study_origin

Call = Callable[..., Any]
Check = Callable[..., None]

LOSSES = """
def twice(loss):
    return 2 * loss
"""
MINE = """
from dataclasses import replace

from my_losses import twice
from semisweep import Column, Row, Study, Update
from semisweep.training.functional import supervised_loss
from semisweep_methods.supervised import Supervised
from semisweep_studies.presets import MINI


class Doubled(Supervised):
    name = "my_study:Doubled"

    def step(self, batch, progress):
        logits = self.network(batch.image).logits
        loss = twice(supervised_loss(self.config.supervised_loss, logits, batch.label))
        yield Update("network", loss, {"supervised": loss.detach()})


training = replace(MINI.training, steps=2, evaluations=1, crop_pixels=32)
study = Study(
    name="doubled",
    title="Twice the loss",
    presets={"large": replace(MINI, training=training, draws=1)},
    base="once",
    rows=[Row(name="once", method=Supervised), Row(name="twice", method=Doubled)],
    columns=[Column(name="8 labelled", set={"large": {"data.labelled": 8}})],
    seeds=1,
)
"""
STUDY = "../lab/my_study.py:study"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, tiny_shapes: Path) -> Path:
    """Return a folder of somebody's code, data beside it, and an empty folder to call from."""
    root = tmp_path_factory.mktemp("somebody")
    (root / "lab").mkdir()
    (root / "elsewhere").mkdir()
    (root / "lab" / "my_losses.py").write_text(LOSSES)
    (root / "lab" / "my_study.py").write_text(MINE)
    shutil.copytree(tiny_shapes, root / "elsewhere" / "semisweep-data" / "shapes")
    return root


@pytest.fixture(scope="module")
def trained(lab: Path) -> Store:
    """Return the store in which one trial of each row was trained, in this process."""
    import os

    from semisweep.core import own_code
    from semisweep.running.debugging import debug_trial
    from semisweep.running.preparation import prepare
    from semisweep.store.study_origin import note_origin
    from semisweep.study.catalogue import find_study, origin_of
    from semisweep.study.data_roots import Roots
    from semisweep.study.declaration import Study
    from semisweep.study.request import Request
    from semisweep.study.resolve import Splits

    before = Path.cwd()
    os.chdir(lab / "elsewhere")
    try:
        roots = Roots(lab / "elsewhere" / "semisweep-data")
        request = Request(roots=roots, scale="large", store=str(lab / "elsewhere/semisweep-store"))
        store = Store.open(request.store, create=True)
        study = find_study(STUDY)
        assert isinstance(study, Study)
        note_origin(store.root, study.name, origin_of(STUDY))
        prepare(study, request, Splits(roots), store, print)
        for row in ("once", "twice"):
            debug_trial(STUDY, row, None, 0, request, print)
        return store
    finally:
        os.chdir(before)
        own_code.forget()


@pytest.fixture
def ask(lab: Path, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run the command line in a copy of the folder elsewhere."""
    shutil.copytree(lab, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    return call


def key_of(store: Store, row: str) -> str:
    table = store.read_table("doubled", "large")
    assert table is not None
    return table.at[row, "8 labelled"].trials["0/0"]


def test_the_store_remembers_where_a_study_came_from(lab: Path, trained: Store) -> None:
    assert study_origin(trained.root, "doubled") == f"{lab}/lab/my_study.py:study"
    assert study_origin(trained.root, "quickstart") == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("plan", STUDY), "2 trials by ../lab/my_study.py:study at large scale"),
        (("check", STUDY), "2 rows, 0 refused"),
        (("studies", STUDY), "my_study:Doubled"),
        (("table", STUDY), "Twice the loss (large scale)"),
        (("table", "doubled"), "Twice the loss (large scale)"),
        (("table", STUDY, "--keys"), "semisweep debug ../lab/my_study.py:study twice"),
        (("table", STUDY, "--curve", "val.miou"), "val.miou"),
        (("report", STUDY, "--images", 1), "1 studies"),
        (("debug", STUDY, "twice"), "known: last.test.miou"),
        (("status",), "doubled large"),
    ],
)
def test_every_command_finds_the_file_and_what_lies_beside_it(
    trained: Store, ask: Call, arguments: tuple[object, ...], told: str
) -> None:
    said = ask(*arguments)

    assert said.code == 0, said.error
    assert told in said.out


def test_numbers_from_elsewhere_come_into_the_table(
    trained: Store, ask: Call, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere" / "mine.csv").write_text(
        "study,row,column,value,scale,source\ndoubled,twice,8 labelled,50,large,theirs\n"
    )

    said = ask("import", "mine.csv")

    assert said.code == 0, said.error
    assert "1 of 1 numbers are new" in said.out


@pytest.mark.parametrize("named", [("--code", "../lab/my_study.py"), ("--code", "../lab")])
def test_a_trial_of_own_code_is_scored_and_shown_where_it_is_named(
    trained: Store, ask: Call, tmp_path: Path, named: tuple[str, ...]
) -> None:
    key = key_of(trained, "twice")
    image = next((tmp_path / "elsewhere/semisweep-data/shapes/JPEGImages").iterdir())

    scored = ask("evaluate", key, "--part", "val", *named)
    seen = ask("predict", key, image, *named)

    assert scored.code == seen.code == 0, scored.error + seen.error
    assert "mIoU" in scored.out
    assert f"{image.stem}-mask.png" in seen.out


def test_code_that_only_the_store_names_does_not_run(
    lab: Path, trained: Store, ask: Call, refused: Check
) -> None:
    key = key_of(trained, "twice")

    unnamed = ask("evaluate", key, "--part", "val")
    trusted = ask("evaluate", key, "--part", "val", "--trust")

    refused(unnamed, "must be named", "my_study:Doubled", f"--code {lab}/lab/my_study.py")
    assert trusted.code == 0, trusted.error


@pytest.mark.parametrize("named", ["", "--code", "--trust"])
def test_the_dashboard_shows_pictures_of_own_code_where_it_is_named(
    lab: Path, trained: Store, named: str
) -> None:
    keys = "&".join(f"key={key_of(trained, row)}" for row in ("once", "twice"))
    options = [named, *([lab / "lab/my_study.py"] if named == "--code" else [])] if named else []
    data = f"shapes={lab}/elsewhere/semisweep-data/shapes"
    opener = build_opener(HTTPCookieProcessor(CookieJar()))

    with serving(Path(str(trained.root)), "--data", data, *map(str, options)) as address:
        opener.open(address).close()
        base = address.partition("/?")[0]
        texts = [
            unescape(opener.open(f"{base}/{path}&pictures=yes").read().decode())
            for path in (f"compare?{keys}", "study?of=doubled@large")
        ]

    for text in texts:
        remedy = f"add --code {lab}/lab/my_study.py, or --trust"
        assert (remedy in text) == (not named)
        assert text.count("data:image/png") == (
            12 if named else 0
        )  # truth and two arms, four times


def test_a_shipped_method_needs_no_name(trained: Store, ask: Call) -> None:
    said = ask("evaluate", key_of(trained, "once"), "--part", "val")

    assert said.code == 0, said.error


@pytest.mark.ray
def test_workers_find_the_file_and_what_lies_beside_it(lab: Path, process: Call) -> None:
    options = ("--store", "new-store", "--slots", 1, "--no-check")
    said = process("run", STUDY, *options, folder=lab / "elsewhere")

    assert said.code == 0, said.error
    assert "Twice the loss (large scale)" in said.out
    assert said.error.count("finished") == 2
