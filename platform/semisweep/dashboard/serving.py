"""The server of the pages: on loopback alone, until Ctrl-C."""

from __future__ import annotations

import secrets
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from signal import SIGINT, SIGTERM
from typing import TYPE_CHECKING

from semisweep.core.errors import ConfigError
from semisweep.store.store import Store

if TYPE_CHECKING:
    from types import FrameType

    from semisweep.study.request import Request

LOOPBACK = "127.0.0.1"
PORT = 8700
GRACE_SECONDS = 2
PACKAGES = ("starlette", "uvicorn", "plotly")


def serve(store: Store, request: Request, port: int | None, told: Callable[[str], None]) -> None:
    """Serve the pages of a store until a signal; tell the address, with its token, at first.

    Without a port it is `PORT`, or any free one where that is in use. Raises `ConfigError` for a
    port in use and without the packages of `semisweep[dashboard]`.
    """
    require_packages()
    import uvicorn

    from semisweep.dashboard.app import make_app

    token = secrets.token_urlsafe(24)
    app, pages = make_app(store, request, token)
    listening = listening_on(port)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE_SECONDS
    )

    class Server(uvicorn.Server):
        """Ends the streams of pages at a signal, which would keep it else."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            pages.closing = True
            super().handle_exit(sig, frame)

    server = Server(config)
    with listening, _ended_by_signals(server.handle_exit):
        own = listening.getsockname()[1]
        told(f"http://{LOOPBACK}:{own}/?token={token}")
        told(
            f"shows {request.store}, read-only; from another machine: ssh -L "
            f"{own}:{LOOPBACK}:{own} to this one, then this address; Ctrl-C ends it"
        )
        server.run(sockets=[listening])


@contextmanager
def _ended_by_signals(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end what is served, also before it has begun."""
    before = {number: signal.signal(number, handler) for number in (SIGINT, SIGTERM)}
    try:
        yield
    finally:
        for number, own in before.items():
            signal.signal(number, own)


def require_packages() -> None:
    """Raise `ConfigError` unless what serves and draws the pages is installed."""
    from importlib.util import find_spec

    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"a dashboard needs further packages, got no package {', '.join(missing)}; "
            "pip install 'semisweep[dashboard]'"
        )


def listening_on(port: int | None) -> socket.socket:
    """Return a socket that listens on loopback; raise `ConfigError` for a port in use."""
    wanted = [PORT, 0] if port is None else [port]
    for number in wanted:
        found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((LOOPBACK, number))
            found.listen()  # before anybody knows of it
        except OSError as error:
            found.close()
            reason = error.strerror or str(error)
        else:
            return found
    raise ConfigError(
        f"a port must be free to be listened on, got port={port}: {reason}; "
        "leave --port out to have a free one"
    )
