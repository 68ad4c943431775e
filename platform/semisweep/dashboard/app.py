"""The pages by their addresses, the changes that they are told of, and what they load."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import anyio
from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

from semisweep.core.errors import SemisweepError
from semisweep.dashboard import curves
from semisweep.dashboard.access import TokenGate
from semisweep.dashboard.comparison import Pictures, comparison, labels_of
from semisweep.dashboard.overview import overview
from semisweep.dashboard.store_watch import StoreWatch
from semisweep.dashboard.study_view import SEEN, StudyViews
from semisweep.dashboard.trial_view import trial_view
from semisweep.report.page import environment, rendered, sections_for
from semisweep.store.resolved_search import ResolvedSearch
from semisweep.store.resolved_study import Label, ResolvedCell, ResolvedStudy
from semisweep.store.store import Store
from semisweep.store.study_files import StoredStudy

if TYPE_CHECKING:
    from semisweep.study.request import Request as Wanted

HERE = Path(__file__).parent
OWN_FILES = ("dashboard.js", "dashboard.css")
RUNNING_CURVES = 8  # running trials whose curves a study's page shows
RUNNING_FIGURES = 4
# A table of nothing, which loads what the first results of any other need.
NO_STUDY = ResolvedStudy(
    name="none",
    metric="miou",
    base="a",
    rows=(Label("a", "a"), Label("b", "b")),
    columns=(Label("c", "c"),),
    cells=(ResolvedCell(row="a", column="c"), ResolvedCell(row="b", column="c")),
)
ASKED_SECONDS = 0.2  # between two times that a stream asks for changes; looks have their own pace
QUIET = 75  # such times without a change after which a page hears that the server is there


class Dashboard:
    """The pages of one store."""

    def __init__(self, store: Store, request: Wanted) -> None:
        self.store, self.request = store, request
        self.watch = StoreWatch(store)
        self.studies = StudyViews(self.watch, request)
        self.pictures = Pictures(store, request.roots)
        self.templates = environment(HERE)
        self.templates.globals.update(store=request.store, curves_of=curves_address)
        self.closing = self.prepared = False

    def first(self, request: Request) -> Response:
        """Return how far all studies are."""
        answer = self._page(request, "overview.html", "all", found=partial(overview, self.watch))
        answer.background = BackgroundTask(self._prepare)
        return answer

    def _prepare(self) -> None:
        """Make the page of the first study, for what that loads: it takes a second or two."""
        if self.prepared:
            return
        self.prepared = True
        with suppress(SemisweepError):  # whoever asks for that page sees why
            if self.watch.studies:
                self.studies.of(self.watch.studies[0])
            else:  # a sweep is about to begin
                sections_for([NO_STUDY], self.request, self.store)

    def study(self, request: Request) -> Response:
        """Return the page of a study, which the address names as NAME@SCALE or with a variant."""
        self.watch.look()
        place = request.query_params.get("of", "")
        stored = self.watch.study(place)
        if stored is None:
            raise HTTPException(404, f"a study must be one of this store, got of={place}")
        kinds = [kind for kind in SEEN if kind in request.query_params]
        return self._page(
            request, "study.html", f"study={place}", place=place, more=_more(stored, kinds),
            found=partial(self.studies.with_seen, stored, kinds),
            curves=RUNNING_CURVES, figures=RUNNING_FIGURES,
        )  # fmt: skip

    def trial(self, request: Request) -> Response:
        """Return the page of a trial; the start of its key will do."""
        key = self.store.find(request.path_params["key"])
        attempt = request.query_params.get("attempt", "")
        chosen = int(attempt) if attempt.isdecimal() else None
        found = partial(trial_view, self.watch, key, chosen)
        return self._page(request, "trial.html", f"key={key}", found=found)

    def compare(self, request: Request) -> Response:
        """Return the page that compares the trials that the address names."""
        keys = request.query_params.getlist("key")
        pictures = self.pictures if "pictures" in request.query_params else None
        found = partial(comparison, self.watch, keys, pictures)
        watched = urlencode([("key", key) for key in keys])
        return self._page(request, "compare.html", watched, found=found, keys=keys)

    def curves(self, request: Request) -> Response:
        """Return the curves of trials as JSON."""
        self.watch.look()
        keys = [self.store.find(key) for key in request.query_params.getlist("key")]
        most = request.query_params.get("most", "")
        limit = int(most) if most.isdecimal() else curves.MOST
        return JSONResponse(curves.figures(self.store, labels_of(self.watch, keys), limit))

    async def events(self, request: Request) -> Response:
        """Return a stream that says when what a page shows has changed."""
        return StreamingResponse(self._events(request), media_type="text/event-stream")

    async def _events(self, request: Request) -> AsyncIterator[str]:
        last = request.headers.get("last-event-id") or request.query_params.get("since", "")
        since, quiet = int(last) if last.isdecimal() else 0, 0
        yield "retry: 2000\n\n"
        while not self.closing and not await request.is_disconnected():
            try:
                version = await run_sync(self._changed, request)
            except SemisweepError:  # such as storage that does not answer now
                version = since
            quiet += 1
            if version > since:
                since, quiet = version, 0
                yield f"id: {version}\nevent: change\ndata: {version}\n\n"
            elif quiet % QUIET == 0:
                yield "event: quiet\ndata:\n\n"
            await anyio.sleep(ASKED_SECONDS)

    def _changed(self, request: Request) -> int:
        """Return the version at which what a page shows changed last."""
        version = self.watch.look()
        keys = self._watched(request)
        return version if keys is None else self.watch.version_of(keys)

    def _watched(self, request: Request) -> Collection[str] | None:
        """Return the trials that a page shows, None of all."""
        if place := request.query_params.get("study"):
            stored = self.watch.study(place)
            return None if stored is None else stored.study.keys
        return request.query_params.getlist("key") or None

    def _page(self, request: Request, template: str, watched: str, **values: Any) -> Response:
        """Return a page; what it shows is found after a look at the store."""
        version = self.watch.look()
        found = values.pop("found")()
        values.setdefault("place", "")  # of the study that the page is of
        text = rendered(
            self.templates,
            template,
            found=found,
            watched=watched,
            since=version,
            studies=self.watch.studies,
            finished=self.watch.finished,
            sections=[found.section] if hasattr(found, "section") else [],
            **values,
        )
        return HTMLResponse(text)

    def refused(self, request: Request, error: Exception) -> Response:
        """Return a page with one line for what cannot be shown."""
        code = error.status_code if isinstance(error, HTTPException) else 400
        line = error.detail if isinstance(error, HTTPException) else str(error)
        text = rendered(
            self.templates,
            "refused.html",
            line=line,
            watched="",
            since=0,
            studies=self.watch.studies,
            sections=[],
            place="",
            finished=self.watch.finished,
        )
        return HTMLResponse(text, status_code=code)


def make_app(store: Store, request: Wanted, token: str) -> tuple[Starlette, Dashboard]:
    """Return the application for a store, and its pages, whose `closing` ends all streams."""
    pages = Dashboard(store, request)
    app = Starlette(
        routes=[
            Route("/", pages.first),
            Route("/study", pages.study),
            Route("/trial/{key}", pages.trial),
            Route("/compare", pages.compare),
            Route("/curves", pages.curves),
            Route("/events", pages.events),
            Route("/static/{name}", _static),
        ],
        middleware=[Middleware(TokenGate, token=token), Middleware(GZipMiddleware)],
        exception_handlers={SemisweepError: pages.refused, HTTPException: pages.refused},
    )
    return app, pages


def _static(request: Request) -> Response:
    """Return a file of ours, or Plotly's script from its installed package."""
    name = request.path_params["name"]
    if name == "plotly.min.js":
        import plotly

        path = Path(plotly.__file__).parent / "package_data" / name
        # As large as all else together, and another one only with another package.
        return FileResponse(path, headers={"Cache-Control": "private, max-age=86400"})
    if name not in OWN_FILES:
        raise HTTPException(404, f"a file must be one of the pages', got name={name}")
    return FileResponse(HERE / name)


def _more(stored: StoredStudy, kinds: Collection[str]) -> list[tuple[str, str]]:
    """Return texts and addresses of a study's page that also shows what arms see."""
    if isinstance(stored.study, ResolvedSearch):
        return []
    place = ("of", str(stored.place))
    return [
        (text, urlencode([place, *((kind, "yes") for kind in (*kinds, own))]))
        for own, text in SEEN.items()
        if own not in kinds
    ]


def curves_address(keys: Collection[str], most: int = curves.MOST) -> str:
    """Return where the curves of trials are."""
    return f"/curves?{urlencode([*(('key', key) for key in keys), ('most', most)])}"
