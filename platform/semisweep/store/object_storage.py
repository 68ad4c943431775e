"""Object storage as a store needs it: what `pathlib.Path` does for files, done for whole objects.

There is no rename, no append and no empty folder. An object is made or replaced at once, and
`create` makes it only where there is none, which the storage decides for everybody. Every request
is repeated for a bounded time while the storage does not answer. Credentials come from the
environment only and are in no message (see `semisweep.store.object_requests`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from semisweep.core.errors import StoreError
from semisweep.store.object_requests import ask, client_here

SCHEME = "s3"
CHUNK_BYTES = 16 * 2**20  # larger objects are sent in pieces


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

        return _stat(ask(str(self), self.bucket, lambda client: obstore.head(client, self.key)))

    def is_file(self) -> bool:
        """Return whether there is such an object."""
        try:
            self.stat()
        except FileNotFoundError:
            return False
        return True

    def exists(self) -> bool:
        """Return whether there is such an object, or any below."""
        return (
            self.is_file()
            or ask(str(self), self.bucket, lambda _: next(self._listed(1), None)) is not None
        )

    def read_bytes(self) -> bytes:
        """Return the whole object; raise `FileNotFoundError` if there is none."""
        import obstore

        return ask(
            str(self), self.bucket, lambda client: obstore.get(client, self.key).bytes().to_bytes()
        )

    def write_bytes(self, data: bytes) -> None:
        """Make the object, or replace it."""
        import obstore

        large = len(data) > CHUNK_BYTES
        ask(
            str(self),
            self.bucket,
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

        return ask(str(self), self.bucket, put)

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the object; whether there is one is not asked."""
        import obstore

        ask(str(self), self.bucket, lambda client: obstore.delete(client, self.key))

    def remove(self, names: Sequence[str]) -> None:
        """Remove objects below, in few requests; whether they are there is not asked."""
        import obstore

        for start in range(0, len(names), 1000):
            keys = [(self / name).key for name in names[start : start + 1000]]
            ask(str(self), self.bucket, lambda client, keys=keys: obstore.delete(client, keys))  # type: ignore[misc]

    def copy(self, target: ObjectPath) -> None:
        """Make the object's content another object of the bucket too, within the storage."""
        import obstore

        ask(str(self), self.bucket, lambda client: obstore.copy(client, self.key, target.key))

    def children(self) -> list[ObjectEntry]:
        """Return what lies right below: objects, and names that others begin with."""
        import obstore

        def names(client: Any) -> Any:
            return obstore.list_with_delimiter(client, self.key or None)

        found = ask(str(self), self.bucket, names)
        folders = [ObjectEntry(_last(prefix), None) for prefix in found["common_prefixes"]]
        return folders + [ObjectEntry(_last(m["path"]), _stat(m)) for m in found["objects"]]

    def below(self) -> dict[str, ObjectStat]:
        """Return all objects below, at any depth, under their names from here on."""
        start = len(self.key) + 1 if self.key else 0
        found = ask(str(self), self.bucket, lambda _: list(self._listed()))
        return {item["path"][start:]: _stat(item) for item in found}

    def _listed(self, chunk: int = 1000) -> Iterator[Any]:
        import obstore

        for items in obstore.list(client_here(self.bucket), self.key or None, chunk_size=chunk):
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


def _stat(item: Any) -> ObjectStat:
    written = int(item["last_modified"].timestamp() * 1e6) * 1000
    text = f"{item['e_tag']} {written} {item['size']}"
    version = int(hashlib.sha256(text.encode()).hexdigest()[:15], 16)
    return ObjectStat(item["size"], written, version)


def _last(key: str) -> str:
    return key.rstrip("/").rpartition("/")[2]
