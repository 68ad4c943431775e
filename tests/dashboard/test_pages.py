"""The pages: who may see them, what they show of a store, and that nothing in it is obeyed."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from report_store import fill_search, fill_table
from resolved import cell, search, table
from starlette.testclient import TestClient

from semisweep import Halving, Store
from semisweep.dashboard.app import make_app
from semisweep.dashboard.serving import listening_on, require_packages
from semisweep.store import stopped_trial
from semisweep.store.resolved_search import RungDecision
from semisweep.store.resolved_study import RaceRecord, StoppedRow
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request

TOKEN = "a-token"
EVIL = "<script>alert(1)</script>"
HERE = "http://127.0.0.1:8700"


def client(root: Path, *, known: bool = True, base: str = HERE) -> TestClient:
    """Return a client of a store's pages, with the cookie unless it is not `known`."""
    request = Request(roots=Roots(root / "absent"), store=str(root))
    app, _ = make_app(Store.open(root), request, TOKEN)
    made = TestClient(app, base_url=base)
    if known:
        made.get("/", params={"token": TOKEN}, follow_redirects=False)
    return made


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, tiny_shapes: Path) -> Path:
    """A store of a table and a search."""
    made = tmp_path_factory.mktemp("dashboard") / "store"
    fill_table(made, "quickstart", tiny_shapes.parent)
    fill_search(made, tiny_shapes.parent)
    return made


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    """A store whose every text is a script."""
    store = Store.open(tmp_path / "store", create=True)
    study = table(cell(["k0", "k1"], row=EVIL, column=EVIL), name=EVIL, title=EVIL)
    store.write_study(EVIL, "mini", study)
    store.trial("k0").fail({"error": f"Error\n{EVIL}\x1b[2J", "attempts": 1, "trial": {}})
    store.trial("k1").describe({"trial": {"method": EVIL, EVIL: EVIL}})
    store.trial("k1").append_history([{"step": 1, f"{EVIL}loss": 0.5}])
    (tmp_path / "store" / "trials" / "k1" / "log-0001.txt").write_text(EVIL)
    return tmp_path / "store"


def test_without_the_token_nothing_is_shown(root: Path) -> None:
    stranger = client(root, known=False)
    for path in ("/", "/study?of=quickstart@mini", "/curves?key=a", "/events", "/static/x"):
        answer = stranger.get(path, follow_redirects=False)
        assert answer.status_code == 403
        assert answer.text.count("\n") == 1
    assert stranger.get("/?token=wrong", follow_redirects=False).status_code == 403


def test_the_token_leaves_the_address_for_a_cookie(root: Path) -> None:
    newcomer = client(root, known=False)
    answer = newcomer.get("/study?of=quickstart%40mini&token=a-token", follow_redirects=False)

    assert answer.status_code == 303
    assert answer.headers["location"] == "/study?of=quickstart%40mini"
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert newcomer.get("/").status_code == 200


def test_a_redirection_leads_to_no_other_machine(root: Path) -> None:
    answer = client(root, known=False).get(
        f"{HERE}//evil.example/?token=a-token", follow_redirects=False
    )

    assert not answer.headers["location"].startswith("//")


def test_a_strangers_name_for_this_machine_is_refused(root: Path) -> None:
    answer = client(root, known=False, base="http://evil.example").get("/?token=a-token")

    assert answer.status_code == 400
    assert "set-cookie" not in answer.headers


def test_pages_may_load_from_here_alone(root: Path) -> None:
    answer = client(root).get("/")

    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_written(root: Path, method: str) -> None:
    assert client(root).request(method, "/").status_code == 405


def test_the_first_page_says_how_far_studies_are(root: Path) -> None:
    text = client(root).get("/").text

    assert "Quickstart: what unlabelled images bring" in text
    assert "9/9" in text
    assert "12/12" in text
    assert "/study?of=rankmatch_search%40mini" in text


def test_a_study_has_its_section_of_the_report_and_all_trials(root: Path) -> None:
    study = Store.open(root).read_study("quickstart", "mini")
    assert study is not None
    text = client(root).get("/study?of=quickstart@mini").text

    assert "IoU of each class" in text
    for key in study.keys:
        assert f'name="key" value="{key}"' in text
        assert f'href="/trial/{key}"' in text


def test_a_search_has_its_history_importance_and_parallel_coordinates(root: Path) -> None:
    text = client(root).get("/study?of=rankmatch_search@mini").text

    for part in ("The course of the search", "Importance", "Parameters and score of each trial"):
        assert part in text


def test_a_trial_that_a_search_stopped_is_called_so(tmp_path: Path) -> None:
    stop = RungDecision(step=10, rung=0.3, value=0.1, stop=True, against={"k1": 0.5})
    found = search(["k0", "k1", "k2"], halving=Halving())
    trials = (replace(found.trials[0], rungs=(stop,)), *found.trials[1:])
    store = Store.open(tmp_path, create=True)
    stopped_trial.stop(store.trial("k2"), 10, {"val.miou": 0.2})  # of a search that still runs
    store.write_study("looked", "mini", replace(found, name="looked", scale="mini", trials=trials))

    text = client(tmp_path).get("/study?of=looked@mini").text

    assert text.count('<td class="left state stopped">stopped</td>') == 2
    assert text.count('<td class="left state waiting">waiting</td>') == 1


def test_rows_that_a_race_stopped_are_in_the_list_and_the_curves(tmp_path: Path) -> None:
    stopped = StoppedRow(column="one", replicates=2, planned=5, level=0.01, row="slow", best="fast",
                         delta=-9.0, p=0.001, n=2)  # fmt: skip
    race = RaceRecord(alpha=0.005, spending="", looks=1, comparisons=1, stopped=(stopped,))
    keys = {"fast": [f"f{seed}" for seed in range(5)], "slow": ["s0", "s1"]}
    cells = [cell(own, row=row) for row, own in keys.items()]
    store = Store.open(tmp_path, create=True)
    store.write_study("raced", "mini", table(*cells, name="raced", base="fast", race=race))
    for key in (*keys["fast"], *keys["slow"]):
        store.trial(key).append_history([{"step": step, "val.miou": 0.5} for step in (1, 2)])
        store.trial(key).complete({"last.test.miou": 0.5 + int(key[1]) / 100})

    text = client(tmp_path).get("/study?of=raced@mini").text

    assert "slow, one: 3 further of 5, by the race" in text
    assert text.count('<td class="left state stopped">stopped</td>') == 1
    assert "<span>slow (stopped)</span>" in text
    assert text.count('name="key"') == 7


def test_a_trial_has_its_curves_configuration_and_scores(root: Path) -> None:
    store = Store.open(root)
    key = store.read_study("quickstart", "mini").keys[0]  # type: ignore[union-attr]
    pages = client(root)
    text, figures = pages.get(f"/trial/{key[:10]}").text, pages.get(f"/curves?key={key}").json()

    assert key in text
    assert "<dt>training.crop_pixels</dt>" in text
    assert "<dt>last.test.miou</dt>" in text
    assert "It has not said anything." in text
    assert [figure["title"] for figure in figures] == ["validation mIoU (%)", "student.loss"]
    rows = store.trial(key).evaluations()
    (trace,) = figures[0]["traces"]
    assert trace["x"] == [row.step for row in rows]
    assert trace["y"] == pytest.approx([100 * (row.number("val.miou") or 0) for row in rows])


def test_a_comparison_has_what_differs_and_no_more(root: Path) -> None:
    keys = Store.open(root).read_study("quickstart", "mini").keys[:3]  # type: ignore[union-attr]
    text = client(root).get("/compare", params={"key": keys}).text

    assert '<th scope="row">data.draw</th>' in text
    assert "training.crop_pixels" not in text
    assert "IoU of each class" in text
    assert "Show what each sees" in text


def test_pictures_that_cannot_be_are_explained_in_a_line(root: Path) -> None:
    keys = Store.open(root).read_study("quickstart", "mini").keys[:2]  # type: ignore[union-attr]
    text = client(root).get("/compare", params={"key": keys, "pictures": "yes"}).text

    assert "pictures need trials with kept weights" in text


@pytest.mark.parametrize(
    ("path", "code", "line"),
    [
        ("/study?of=absent", 404, "a study must be one of this store, got of=absent"),
        ("/trial/zzzz", 400, "got key=&#39;zzzz&#39; of none"),
        ("/trial/..%2f..%2fetc", 404, "Not Found"),
        ("/compare", 400, "from 2 to 8 trials can be compared, got trials=0"),
        ("/static/app.py", 404, "a file must be one of the pages"),
        ("/absent", 404, "Not Found"),
    ],
)
def test_what_is_not_there_is_said_in_a_line(root: Path, path: str, code: int, line: str) -> None:
    answer = client(root).get(path)

    assert answer.status_code == code
    assert line in answer.text
    assert "Traceback" not in answer.text


def test_no_text_of_a_store_is_obeyed(evil: Path) -> None:
    pages = client(evil)
    for path in ("/", "/trial/k0", "/trial/k1", "/compare?key=k0&key=k1"):
        answer = pages.get(path)
        assert answer.status_code == 200
        assert "&lt;script&gt;alert(1)" in answer.text
        assert EVIL not in answer.text
        assert "\x1b" not in answer.text
    study = pages.get("/study", params={"of": f"{EVIL}@mini"})
    assert study.status_code == 200
    assert EVIL not in study.text


def test_a_page_of_a_study_is_made_again_when_a_trial_ends(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    store.write_study("example", "mini", table(cell(["k0", "k1"])))
    store.trial("k0").complete({"last.test.miou": 0.5})
    request = Request(roots=Roots(tmp_path), store=str(tmp_path / "store"))
    app, pages = make_app(store, request, TOKEN)
    visitor = TestClient(app, base_url=HERE)
    visitor.get("/", params={"token": TOKEN})
    assert "1 of 2 trials finished" in visitor.get("/study?of=example@mini").text

    store.trial("k1").complete({"last.test.miou": 0.625})
    pages.watch.look_next_time()

    text = visitor.get("/study?of=example@mini").text
    assert "2 of 2 trials finished" in text
    assert "62.50" in text


def test_a_stream_tells_of_changes_since_a_page_was_made(root: Path) -> None:
    request = Request(roots=Roots(root), store=str(root))
    app, pages = make_app(Store.open(root), request, TOKEN)
    visitor = TestClient(app, base_url=HERE)
    visitor.get("/", params={"token": TOKEN})
    threading.Timer(1.2, setattr, (pages, "closing", True)).start()
    old = visitor.get("/events?since=0")

    assert old.headers["content-type"].startswith("text/event-stream")
    assert old.text.count("event: change") == 1
    assert f"id: {pages.watch.version}\n" in old.text
    assert "event: change" not in visitor.get(f"/events?since={pages.watch.version}").text


def test_a_port_in_use_is_refused_and_another_one_found() -> None:
    with listening_on(0) as first:
        port = first.getsockname()[1]
        with pytest.raises(ValueError, match=f"a port must be free.*port={port}"):
            listening_on(port)
        assert first.getsockname()[0] == "127.0.0.1"


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semisweep.dashboard.serving.PACKAGES", ("plotly", "absent_package"))
    with pytest.raises(ValueError, match=r"absent_package; pip install 'semisweep\[dashboard\]'"):
        require_packages()


def test_the_command_refuses_what_is_no_store(
    call: Callable[..., Any], refused: Callable[..., None], tmp_path: Path
) -> None:
    refused(call("dashboard", "--store", tmp_path / "absent"), "no store at", "run a study first")


def test_pages_need_neither_torch_nor_ray(root: Path) -> None:
    script = f"""
import sys
sys.path[:0] = {sys.path!r}
from test_pages import client
from pathlib import Path
visitor = client(Path({str(root)!r}))
for path in ("/", "/study?of=quickstart@mini", "/study?of=rankmatch_search@mini"):
    assert visitor.get(path).status_code == 200
assert not {{"torch", "ray"}} & set(sys.modules), "imported"
"""
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=here, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_a_method_taken_apart_shows_its_parts(tmp_path: Path, tiny_shapes: Path) -> None:
    fill_table(tmp_path / "store", "gps/shapley", tiny_shapes.parent)
    pages = client(tmp_path / "store")
    page = pages.get("/study", params={"of": "gps/shapley@mini"})

    assert page.status_code == 200
    assert "What each part adds" in page.text
    assert "Shapley value of each part" in page.text
    assert 'class="tile' in page.text
    assert "gps/shapley" in pages.get("/").text
