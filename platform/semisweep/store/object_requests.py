"""Requests to object storage: repeated for a bounded time, and refused in one line without secrets.

Credentials come from the environment only (AWS_ACCESS_KEY_ID and so on, as `obstore` reads them).
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

from semisweep.core.errors import StoreError

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
