"""Names, errors and logs that are written to be obeyed: in a browser none of them is."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from browser import Browser, browser, executable
from dashboard_server import serving
from resolved import cell, search, table

from semisweep import Store
from semisweep.report import page as report
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request

HOSTILE = (
    "</title></style></script><script>window.obeyed=1</script>\"'>"
    "<img src=x onerror=window.obeyed=2><svg onload=window.obeyed=3>"
    "<a href='javascript:window.obeyed=4'>&lt;b&gt;{{ 7191 * 7 }}"
    "\x1b]0;title\x07\x1b[2J\x9b2J\u202e"
)
NAME = "<img src=x onerror=window.obeyed=5>\x1b[2J"  # short enough for a file's name
# What none of the texts may become: an element that runs, loads or leads away, or a handler.
ELEMENTS = """
[...document.querySelectorAll('#main *, nav *, header *')].filter((own) =>
  ['SCRIPT', 'IMG', 'IFRAME', 'OBJECT', 'STYLE'].includes(own.tagName) ||
  [...own.attributes].some((at) => at.name.startsWith('on') ||
    (['href', 'src', 'xlink:href'].includes(at.name) && /^\\s*javascript:/i.test(at.value)))
).map((own) => own.outerHTML)
"""
CONTROL = (
    "/[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f]/.test(document.documentElement.outerHTML)"
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of a table and a search all of whose texts are hostile."""
    root = tmp_path_factory.mktemp("hostile") / "store"
    store = Store.open(root, create=True)
    keys = ("k0", "k1", "k2", "k3")
    cells = [cell([key], row=f"{HOSTILE}{key}", column=HOSTILE) for key in keys]
    named = {"title": HOSTILE, "notes": (HOSTILE,), "metric_note": HOSTILE, "paper": HOSTILE}
    store.write_study(NAME, "mini", table(*cells, name=NAME, **named))
    found = search(["s0", "s1"], name="found", title=HOSTILE)
    store.write_study("found", "mini", found)
    for number, key in enumerate(("k0", "k1", "s0", "s1")):
        folder = store.trial(key)
        folder.describe({"trial": {"method": HOSTILE, f"config.{HOSTILE}": HOSTILE}})
        folder.append_history(
            [{"step": step, f"{HOSTILE}.loss": 0.5, "val.miou": 0.1} for step in (1, 2)]
        )
        scores = {f"last.{part}.{name}": 0.5 + number / 10
                  for part in ("val", "test") for name in ("miou", f"iou.{HOSTILE}")}  # fmt: skip
        folder.complete({**scores, "run.host": HOSTILE, "run.device": HOSTILE})
        (root / "trials" / key / "log-0001.txt").write_text(HOSTILE)
    error = f"Traceback\n{HOSTILE}\nError: {HOSTILE}"
    store.trial("k2").fail({"error": error, "attempts": 1, "trial": {}})
    return root


def check(page: Browser) -> None:
    """Fail where anything of the store is obeyed on the page that is open."""
    assert page.value(ELEMENTS) == []
    assert page.value("window.obeyed ?? null") is None
    assert page.value("document.documentElement.textContent.includes('window.obeyed=1')")
    assert not page.value("document.body.textContent.includes('50337')")
    assert not page.value(CONTROL)


@pytest.mark.skipif(executable() is None, reason="there is no Chromium on PATH")
def test_a_browser_obeys_no_text_of_a_store(root: Path, tmp_path: Path) -> None:
    study = quote(f"{NAME}@mini", safe="")
    paths = ("/", "/study?of=found@mini", "/trial/k0", "/trial/k2", "/compare?key=k0&key=k1")
    with serving(root) as address, browser(tmp_path) as page:
        page.open(address)
        for path in (*paths, f"/study?of={study}"):
            page.open(address.partition("/?")[0] + path)
            check(page)
            if path.startswith(("/trial/k0", "/compare")):
                page.wait("document.querySelectorAll('.chart .main-svg').length > 1")
                assert page.value("document.querySelector('.charts').textContent.includes('<img')")
                check(page)
        assert not page.complaints


@pytest.mark.skipif(executable() is None, reason="there is no Chromium on PATH")
def test_a_report_obeys_no_text_of_a_store(root: Path, tmp_path: Path) -> None:
    request = Request(roots=Roots(tmp_path), store=str(root))
    sections = report.sections_for(report.studies_for((), request), request)
    report.write(report.page(sections, request.store), tmp_path / "report.html")

    with browser(tmp_path / "files") as page:
        page.open((tmp_path / "report.html").as_uri())
        check(page)
        assert not page.complaints


HOSTS = (
    "evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "evil.example:{port}",
    "127.0.0.1@evil.example", "evil.example#127.0.0.1", "127.0.0.1#evil.example", "0.0.0.0",
    "[::1]", "", "127.0.0.1 evil", "127.0.0.1:80:{port}",
)  # fmt: skip


def answer_to(port: int, path: str, host: str) -> tuple[int, str, str]:
    """Return status, text and headers of the answer to a request that names a host."""
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    asked.putrequest("GET", path, skip_host=True)
    asked.putheader("Host", host)
    asked.endheaders()
    answer = asked.getresponse()
    text = answer.read().decode()
    asked.close()
    return answer.status, text, str(answer.headers)


def test_other_hosts_are_refused_and_the_token_is_never_logged(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "semisweep", "dashboard", "--store", str(root)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with (
        open(tmp_path / "errors", "w") as errors,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, env=environment, text=True
        ) as server,
    ):
        try:
            assert server.stdout is not None
            address = urlsplit(server.stdout.readline().strip())
            port, token = address.port, address.query.removeprefix("token=")
            assert port
            for host in HOSTS:
                for path in (f"/?token={token}", "/"):
                    status, text, headers = answer_to(port, path, host.format(port=port))
                    assert status == 400, host
                    assert "set-cookie" not in headers.lower()
                    assert token not in text + headers
            for path in ("/", "/study?of=x&", "/trial/zzz?", "/absent?", f"/%zz{chr(126)}?"):
                answer_to(port, f"{path}token={token}", f"127.0.0.1:{port}")
            assert answer_to(port, f"/?token={token}", f"localhost:{port}")[0] == 303
            server.send_signal(signal.SIGINT)
            said = server.stdout.read()
            assert server.wait(40) == 0
        finally:
            server.kill()
    assert token not in said
    assert token not in (tmp_path / "errors").read_text()
