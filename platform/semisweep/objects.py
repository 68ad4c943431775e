"""Object storage as a store needs it: what `pathlib.Path` does for files, done for whole objects.

There is no rename, no append and no empty folder. An object is made or replaced at once, and
`create` makes it only where there is none, which the storage decides for everybody. Every request
is repeated for a bounded time while the storage does not answer. Credentials come from the
environment only (AWS_ACCESS_KEY_ID and so on, as `obstore` reads them) and are in no message.

The only file that imports `obstore`.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from semisweep.errors import StoreError

SCHEME = "s3"
PATIENCE_SECONDS = 45.0  # after that a request that always fails is given up
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 4.0
CHUNK_BYTES = 16 * 2**20  # larger objects are sent in pieces

_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_TOKEN")
_CONFIGURATION = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AWS_REGION", "AWS_DEFAULT_REGION")
_REMEDIES = {
    "NoSuchBucket": "make the bucket, or mend its name",
    "AccessDenied": "give these credentials the right to list, read, write and delete there",
    "InvalidAccessKeyId": "mend AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "mend AWS_SECRET_ACCESS_KEY",
    "RequestTimeTooSkewed": "set this machine's clock",
}

Answer = TypeVar("Answer")


class ObjectStat(NamedTuple):
    """An object's size in bytes, and when and as what it was written."""

    st_size: int
    st_mtime_ns: int
    version: int  # differs whenever time or content (by its etag) does


@dataclass(frozen=True)
class ObjectPath:
    """A place in a bucket: an object, or the start of the names of several, as a folder is."""

    bucket: str
    key: str = ""

    @classmethod
    def parse(cls, url: str) -> ObjectPath:
        """Return the place of an s3://bucket/prefix; raise `StoreError` for anything else."""
        found = urlsplit(url)
        if found.username or found.password or "@" in found.netloc:
            raise StoreError(
                "credentials must be in the environment, got some in the store's URL; "
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead"
            )
        names = [name for name in found.path.split("/") if name]
        odd = found.query or found.fragment or ".." in names or "." in names
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", found.netloc, re.ASCII) or odd:
            raise StoreError(f"a store must be {SCHEME}://BUCKET/PREFIX, got store={url!r}")
        return cls(found.netloc, "/".join(names))

    def __truediv__(self, name: str) -> ObjectPath:
        return ObjectPath(self.bucket, f"{self.key}/{name}" if self.key else name)

    def __str__(self) -> str:
        return f"{SCHEME}://{self.bucket}" + (f"/{self.key}" if self.key else "")

    @property
    def name(self) -> str:
        """The last of its names."""
        return self.key.rpartition("/")[2]

    @property
    def parent(self) -> ObjectPath:
        """The place that holds it."""
        return ObjectPath(self.bucket, self.key.rpartition("/")[0])

    def stat(self) -> ObjectStat:
        """Return size, time and version of the object; raise `FileNotFoundError` for none."""
        import obstore

        return _stat(_ask(self, lambda client: obstore.head(client, self.key)))

    def is_file(self) -> bool:
        """Return whether there is such an object."""
        try:
            self.stat()
        except FileNotFoundError:
            return False
        return True

    def exists(self) -> bool:
        """Return whether there is such an object, or any below."""
        return self.is_file() or _ask(self, lambda _: next(self._listed(1), None)) is not None

    def read_bytes(self) -> bytes:
        """Return the whole object; raise `FileNotFoundError` if there is none."""
        import obstore

        return _ask(self, lambda client: obstore.get(client, self.key).bytes().to_bytes())

    def write_bytes(self, data: bytes) -> None:
        """Make the object, or replace it."""
        import obstore

        large = len(data) > CHUNK_BYTES
        _ask(
            self,
            lambda client: obstore.put(
                client, self.key, data, use_multipart=large, chunk_size=CHUNK_BYTES
            ),
        )

    def create(self, data: bytes) -> bool:
        """Make the object and return True; return False if there is one already.

        A request that was carried out, but whose answer was lost, is known by its `data`: so that
        of two processes has to differ.
        """
        import obstore

        tries = 0

        def put(client: Any) -> bool:
            nonlocal tries
            tries += 1
            try:
                obstore.put(client, self.key, data, mode="create", use_multipart=False)
                return True
            except obstore.exceptions.AlreadyExistsError:
                pass
            try:
                found = obstore.get(client, self.key).bytes().to_bytes()
            except FileNotFoundError:  # refused for another request that came to nothing
                raise obstore.exceptions.GenericError("status code: 409 Conflict") from None
            return tries > 1 and found == data

        return _ask(self, put)

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the object; whether there is one is not asked."""
        import obstore

        _ask(self, lambda client: obstore.delete(client, self.key))

    def remove(self, names: Sequence[str]) -> None:
        """Remove objects below, in few requests; whether they are there is not asked."""
        import obstore

        for start in range(0, len(names), 1000):
            keys = [(self / name).key for name in names[start : start + 1000]]
            _ask(self, lambda client, keys=keys: obstore.delete(client, keys))  # type: ignore[misc]

    def copy(self, target: ObjectPath) -> None:
        """Make the object's content another object of the bucket too, within the storage."""
        import obstore

        _ask(self, lambda client: obstore.copy(client, self.key, target.key))

    def children(self) -> list[ObjectEntry]:
        """Return what lies right below: objects, and names that others begin with."""
        import obstore

        def names(client: Any) -> Any:
            return obstore.list_with_delimiter(client, self.key or None)

        found = _ask(self, names)
        folders = [ObjectEntry(_last(prefix), None) for prefix in found["common_prefixes"]]
        return folders + [ObjectEntry(_last(m["path"]), _stat(m)) for m in found["objects"]]

    def below(self) -> dict[str, ObjectStat]:
        """Return all objects below, at any depth, under their names from here on."""
        start = len(self.key) + 1 if self.key else 0
        found = _ask(self, lambda _: list(self._listed()))
        return {item["path"][start:]: _stat(item) for item in found}

    def _listed(self, chunk: int = 1000) -> Iterator[Any]:
        import obstore

        for items in obstore.list(_client_here(self.bucket), self.key or None, chunk_size=chunk):
            yield from items


@dataclass(frozen=True)
class ObjectEntry:
    """One line of a listing, as `os.DirEntry` is."""

    name: str
    found: ObjectStat | None

    def is_dir(self) -> bool:
        """Return whether it is the start of others' names rather than an object."""
        return self.found is None

    def stat(self) -> ObjectStat:
        """Return size, time and version as they were listed."""
        if self.found is None:
            raise FileNotFoundError(self.name)
        return self.found


def _ask(path: ObjectPath, request: Callable[[Any], Answer]) -> Answer:
    """Return what a request answers, repeating it while the storage fails in passing.

    Raises `FileNotFoundError` for an object that is not there, `StoreError` for all else.
    """
    from obstore.exceptions import BaseError

    started, tries = time.monotonic(), 0
    while True:
        try:
            return request(_client_here(path.bucket))
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise _refused(path, error) from None
            raise FileNotFoundError(str(path)) from None
        except BaseError as error:
            tries += 1
            if not _passes(error) or time.monotonic() - started > PATIENCE_SECONDS:
                raise _refused(path, error) from None
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


def _refused(path: ObjectPath, error: Exception) -> StoreError:
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
            f"object storage must answer, got store={path} at {_without_user(where)}: {reason}; "
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


def _client_here(bucket: str) -> Any:
    """Return this process's client of a bucket, as the environment is now."""
    names = (*_CONFIGURATION, *_SECRETS)
    return _client(bucket, os.getpid(), tuple(os.environ.get(name) for name in names))


@lru_cache(maxsize=16)
def _client(bucket: str, process: int, environment: tuple[str | None, ...]) -> Any:
    from obstore.exceptions import BaseError
    from obstore.store import S3Store

    endpoint = environment[0] or environment[1] or ""
    try:
        # `_ask` repeats requests, with what only it knows: which of them may be.
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


def _stat(item: Any) -> ObjectStat:
    written = int(item["last_modified"].timestamp() * 1e6) * 1000
    text = f"{item['e_tag']} {written} {item['size']}"
    version = int(hashlib.sha256(text.encode()).hexdigest()[:15], 16)
    return ObjectStat(item["size"], written, version)


def _last(key: str) -> str:
    return key.rstrip("/").rpartition("/")[2]
