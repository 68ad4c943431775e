"""A real S3 server on loopback for tests: moto's, in a process of its own, with faults on request.

`python s3_server.py` prints its port. PUT /faults?rate=0.3&seed=1 makes that share of the requests
after it late, refused, or carried out without an answer; rate=0 ends it, &kinds=refused makes all
of one kind, of which "expired" refuses the credentials. PUT /careless?on=1 makes
it overlook If-None-Match, as some storage does. GET /requests tells how many there were.
"""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

KINDS = ["late", "refused", "answer lost", "connection lost"]


class Server:
    """One request at a time, as what a single key is concerned S3 is: check and write are one."""

    def __init__(self) -> None:
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.lock = threading.Lock()
        self.random, self.rate = random.Random(0), 0.0
        self.requests = self.faults = 0
        self.kinds, self.careless = KINDS, False

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path, query = environ["PATH_INFO"], parse_qs(environ.get("QUERY_STRING", ""))
        if path == "/faults":
            self.rate = float(query["rate"][0])
            self.random = random.Random(int(query["seed"][0]))
            self.kinds = query.get("kinds", KINDS)
            return self.answer(start)
        if path == "/careless":
            self.careless = query["on"] == ["1"]
            return self.answer(start)
        if path == "/requests":
            return self.answer(start)
        self.requests += 1
        if self.careless:
            environ.pop("HTTP_IF_NONE_MATCH", None)
        fault = self.draw()
        if fault == "late":
            time.sleep(self.random.uniform(0, 0.2))
        if fault == "expired":
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start("403 Forbidden", [("Content-Type", "application/xml")])
            return [b"<Error><Code>ExpiredToken</Code><Message>It has expired.</Message></Error>"]
        if fault == "refused":
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start("503 Slow Down", [("Content-Length", "0")])
            return []
        with self.lock:
            if fault in ("answer lost", "connection lost"):
                list(self.moto(environ, lambda *_: None))
            else:
                return list(self.moto(environ, start))
        if fault == "connection lost":
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        start("500 Internal Server Error", [("Content-Length", "0")])
        return []

    def draw(self) -> str:
        if self.random.random() >= self.rate:
            return ""
        self.faults += 1
        return self.random.choice(self.kinds)

    def answer(self, start: Callable[..., Any]) -> Iterable[bytes]:
        start("200 OK", [("Content-Type", "application/json")])
        return [json.dumps({"requests": self.requests, "faults": self.faults}).encode()]


if __name__ == "__main__":
    server = make_server("127.0.0.1", 0, Server(), threaded=True)
    print(server.server_port, flush=True)
    server.serve_forever()
