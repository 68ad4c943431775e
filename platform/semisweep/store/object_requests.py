"""Requests to object storage: repeated for a bounded time, and refused in one line without secrets.

Credentials come from the environment only (AWS_ACCESS_KEY_ID and so on, as `obstore` reads them).
"""

from __future__ import annotations

import os
import random
import re
import socket
import time
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

from semisweep.core.errors import StoreError
from semisweep.core.safe_text import one_line

CONNECT_SECONDS = 3.0  # until an endpoint that was never reached is given up
PROXIES = ("http_proxy", "https_proxy", "all_proxy")
PATIENCE_SECONDS = 45.0  # after that a request that always fails is given up
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 4.0

_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_TOKEN")
_CONFIGURATION = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AWS_REGION", "AWS_DEFAULT_REGION")
_REMEDIES = {
    "NoSuchBucket": "make the bucket, or mend its name",
    "AccessDenied": "give these credentials the right to list, read, write and delete there",
    "InvalidAccessKeyId": "mend AWS_ACCESS_KEY_ID",
    "ExpiredToken": "renew AWS_SESSION_TOKEN and the keys that belong to it",
    "SignatureDoesNotMatch": "mend AWS_SECRET_ACCESS_KEY",
    "RequestTimeTooSkewed": "set this machine's clock",
}

Answer = TypeVar("Answer")


def check_endpoint() -> None:
    """Raise `StoreError` soon where the endpoint of the environment is no URL or does not answer.

    Once it has answered, `ask` is patient. Behind a proxy, and at AWS itself, nothing is asked.
    """
    endpoint = os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT")
    if endpoint:
        _check_url(endpoint)
        proxies = {*PROXIES, *map(str.upper, PROXIES)}
        if not any(os.environ.get(name) for name in proxies):
            _connect(endpoint)


def _check_url(endpoint: str) -> None:
    try:
        found = urlsplit(endpoint)
        whole = found.scheme in ("http", "https") and bool(found.hostname)
        port: int | None = found.port
    except ValueError:
        whole, port = False, None
    if not whole or port == 0:
        raise StoreError(
            "an endpoint must be http://HOST or https://HOST, with :PORT if need be, got "
            f"AWS_ENDPOINT_URL={one_line(_without_user(endpoint))}"
        )


@cache
def _connect(endpoint: str) -> None:
    found = urlsplit(endpoint)
    place = (found.hostname or "", found.port or (443 if found.scheme == "https" else 80))
    until = time.monotonic() + CONNECT_SECONDS
    while True:
        try:
            socket.create_connection(place, timeout=CONNECT_SECONDS).close()
        except OSError as error:
            if time.monotonic() + FIRST_PAUSE_SECONDS < until:
                time.sleep(FIRST_PAUSE_SECONDS)
                continue
            raise StoreError(
                "object storage must answer, got "
                f"AWS_ENDPOINT_URL={one_line(_without_user(endpoint))}: "
                f"{error.strerror or error}; see that it is right and runs, and run again"
            ) from None
        return


def ask(url: str, bucket: str, request: Callable[[Any], Answer]) -> Answer:
    """Return what a request answers, repeating it while the storage fails in passing.

    Raises `FileNotFoundError` for an object that is not there, `StoreError` for all else.
    """
    from obstore.exceptions import BaseError

    started, tries = time.monotonic(), 0
    while True:
        try:
            return request(client_here(bucket))
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise _refused(url, error) from None
            raise FileNotFoundError(url) from None
        except BaseError as error:
            tries += 1
            if not _passes(error) or time.monotonic() - started > PATIENCE_SECONDS:
                raise _refused(url, error) from None
        _pause(tries)


def _pause(tries: int) -> None:
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(tries - 1, 10))
    time.sleep(random.uniform(0.5, 1) * longest)


def _passes(error: Exception) -> bool:
    """Return whether a failure may be over when the request is made again."""
    from obstore.exceptions import GenericError, JoinError

    status = re.search(r"status code: (\d+)", str(error))
    lasting = status is not None and 400 <= int(status[1]) < 500
    in_passing = status is not None and status[1] in ("408", "409", "425", "429")
    return isinstance(error, (GenericError, JoinError)) and (in_passing or not lasting)


def _refused(url: str, error: Exception) -> StoreError:
    text = str(error)
    code = re.search(r"<Code>(\w+)</Code>", text)
    status = re.search(r"status code: (\d+ ?[A-Za-z ]*)", text)
    kind = re.search(r"kind: (\w+)", text)
    reason = "the request failed"
    if code or status:
        reason = code[1] if code else status[1].strip() if status else reason
    elif kind:
        reason = {"Connect": "no connection", "Timeout": "no answer"}.get(kind[1], kind[1])
    where = os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT") or "AWS"
    remedy = _REMEDIES.get(reason)
    if remedy is None:
        remedy = "see that AWS_ENDPOINT_URL and the credentials in the environment are right"
        remedy += " and run again, nothing finished is lost"
    return StoreError(
        _without_secrets(
            f"object storage must answer, got store={url} at {_without_user(where)}: {reason}; "
            + remedy
        )
    )


def _without_user(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url)


def _without_secrets(text: str) -> str:
    for name in _SECRETS:
        value = os.environ.get(name)
        if value:
            text = text.replace(value, f"${name}")
    return text


def client_here(bucket: str) -> Any:
    """Return this process's client of a bucket, as the environment is now."""
    names = (*_CONFIGURATION, *_SECRETS)
    return _client(bucket, os.getpid(), tuple(os.environ.get(name) for name in names))


@lru_cache(maxsize=16)
def _client(bucket: str, process: int, environment: tuple[str | None, ...]) -> Any:
    from obstore.exceptions import BaseError
    from obstore.store import S3Store

    endpoint = environment[0] or environment[1] or ""
    if endpoint:
        _check_url(endpoint)
    try:
        # `ask` repeats requests, with what only it knows: which of them may be.
        return S3Store(
            bucket,
            client_options={
                "allow_http": endpoint.startswith("http://"),
                "connect_timeout": "5s",
                "read_timeout": "60s",
                "timeout": "20min",
            },
            retry_config={"max_retries": 0},
        )
    except (BaseError, ValueError) as error:
        reason = _without_secrets(str(error).partition("\n")[0])
        raise StoreError(
            f"object storage must be configured by AWS_* variables, got bucket={bucket}: {reason}"
        ) from None
