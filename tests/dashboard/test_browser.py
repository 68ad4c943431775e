"""The pages in a browser: results come without reloading, by keys alone, wide and narrow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, browser, executable
from dashboard_server import serving
from report_store import fill_search, fill_table
from resolved import cell, table

from semisweep import Store

pytestmark = pytest.mark.skipif(executable() is None, reason="there is no Chromium on PATH")
SECONDS = 3.0  # until a result is on the page, of the soonest of three: others use this machine
WIDTHS = (420, 1400)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, tiny_shapes: Path) -> Path:
    """A store of a table, a search, and a study that has just begun."""
    made = tmp_path_factory.mktemp("pages") / "store"
    fill_table(made, "quickstart", tiny_shapes.parent)
    fill_search(made, tiny_shapes.parent)
    store = Store.open(made)
    store.write_study("begun", "mini", table(cell([f"k{n}" for n in range(7)]), name="begun"))
    store.trial("k0").complete({"last.test.miou": 0.5})
    store.trial("k4").fail({"error": "Traceback\nError: it broke", "attempts": 3, "trial": {}})
    return made


@pytest.fixture(scope="module")
def address(root: Path) -> Iterator[str]:
    """Where the store's pages are."""
    with serving(root) as found:
        yield found


@pytest.fixture(scope="module")
def shared_page(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as found:
        found.open(address)
        yield found


@pytest.fixture
def page(shared_page: Browser) -> Iterator[Browser]:
    """A browser that has the cookie; its console must stay empty."""
    shared_page.resize(1400)
    yield shared_page
    assert not shared_page.complaints


def at(address: str, path: str) -> str:
    """Return the address of another page."""
    return address.partition("/?")[0] + path


def has(text: str) -> str:
    """Return the expression of whether the page shows a text."""
    return f"document.getElementById('main').textContent.includes({text!r})"


def open_live(page: Browser, address: str) -> None:
    """Open a page and wait until it listens; mark it, so that a reload would show."""
    page.open(address)
    page.wait("document.getElementById('live').textContent.startsWith('Live')")
    page.value("window.marked = true")


def test_a_result_appears_within_seconds_without_reloading(
    page: Browser, address: str, root: Path
) -> None:
    open_live(page, at(address, "/study?of=begun@mini"))
    took = []
    for key, score, text in (
        ("k1", 0.6125, "61.25"),
        ("k5", 0.6325, "63.25"),
        ("k6", 0.6425, "64.25"),
    ):
        assert not page.value(has(text))
        before = page.value("document.querySelectorAll('.state.finished').length")
        Store.open(root).trial(key).complete({"last.test.miou": score})
        shown = f"document.querySelectorAll('.state.finished').length === {before + 1}"
        took.append(page.wait(shown))
        assert page.value(has(text))

    assert min(took) < SECONDS
    assert page.value(has("4 of 7 trials finished, 1 failed"))
    assert page.value("window.marked") is True


def test_what_the_reader_did_stays_when_a_section_changes(
    page: Browser, address: str, root: Path
) -> None:
    open_live(page, at(address, "/study?of=begun@mini"))
    page.value("document.querySelector('input[value=k0]').click()")
    page.value("document.querySelector('details.failure').open = true")
    page.value("document.querySelector('input[value=k0]').focus()")

    Store.open(root).trial("k2").complete({"last.test.miou": 0.6225})
    page.wait(has("62.25"))

    assert page.value("document.querySelector('input[value=k0]').checked")
    assert page.value("document.querySelector('details.failure').open")
    assert page.value("document.activeElement.value") == "k0"


def test_curves_and_log_of_a_running_trial_grow(page: Browser, address: str, root: Path) -> None:
    folder = Store.open(root).trial("k3")
    points = "document.querySelector('.chart')?.data?.[0].x.length ?? 0"
    with folder.lock():
        folder.start_attempt()
        folder.append_history([{"step": 10, "student.loss": 1.0, "val.miou": 0.1}])
        open_live(page, at(address, "/trial/k3"))
        page.wait(f"({points}) === 1")
        for step in (20, 30):
            folder.append_history([{"step": step, "student.loss": 0.5, "val.miou": 0.2}])
        (root / "trials" / "k3" / "log-0001.txt").write_text("a new line\n")
        page.wait(f"({points}) === 3")
        page.wait(has("a new line"))

        assert page.value("document.querySelectorAll('.chart').length") == 2
        page.open(at(address, "/"))
        assert page.value("document.getElementById('running').textContent.includes('30')")


def test_trials_are_compared_by_keys_alone(page: Browser, address: str) -> None:
    page.open(at(address, "/study?of=quickstart@mini"))
    page.press("Tab")
    assert page.value("document.activeElement.className") == "skip"
    page.value("document.querySelectorAll('input[name=key]')[0].focus()")
    page.press(" ")
    page.press("Tab")
    page.press("Tab")
    page.press(" ")
    page.value("document.querySelector('form button').focus()")
    page.press("Enter")

    page.wait("location.pathname === '/compare' && document.readyState === 'complete'")
    page.wait("document.querySelector('.chart')?.data?.length === 2")
    assert page.value("document.title") == "2 trials compared"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("path", ["/", "/study?of=quickstart@mini", "/study?of=rankmatch_search@mini", "/trial/k0"])  # fmt: skip  # noqa: E501
def test_pages_fit_and_can_be_read(
    page: Browser, address: str, path: str, width: int, dark: bool
) -> None:
    page.resize(width, dark=dark)
    page.open(at(address, path))

    assert page.value("document.documentElement.scrollWidth") <= width
    contrasts = "[...document.querySelectorAll('h2, p, td, th, a, summary')].map(contrast)"
    assert page.value(f"{CONTRAST} Math.min(...{contrasts})") >= 4.0


# Of a text's colour against the panel that it stands on, as WCAG 2 has it.
CONTRAST = """
function light(text) {
  const [r, g, b] = text.match(/[\\d.]+/g).map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function contrast(own) {
  const panel = getComputedStyle(document.querySelector('main > section')).backgroundColor;
  const [a, b] = [light(getComputedStyle(own).color), light(panel)].sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
}
"""


def test_a_server_that_is_gone_is_said(root: Path, tmp_path: Path) -> None:
    with browser(tmp_path) as page:
        with serving(root) as found:
            open_live(page, found)
        page.wait("document.getElementById('live').className === 'lost'")
