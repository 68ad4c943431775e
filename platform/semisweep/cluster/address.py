"""Addresses of running Ray clusters, and which token they want.

All of it is asked before Ray connects: where a cluster does not answer, or refuses the token, Ray
repeats its own message every second, for twenty seconds or for ever.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import suppress

from semisweep.cluster import ray_internals
from semisweep.core.errors import ClusterError

AUTH_MODE = "RAY_AUTH_MODE"
ADDRESS_SECONDS = 5.0
CONTENT_TYPE = "application/grpc"
# The cheapest call that a head answers, without any argument.
CALL = "/ray.rpc.NodeInfoGcsService/GetClusterId"
# What a client of HTTP/2, which gRPC speaks, says first, and its (empty) settings.
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
DATA, HEADERS, SETTINGS = 0, 1, 4  # types of frames
LAST, WHOLE = 1, 4  # flags of frames: nothing follows in this direction, the headers end here
OKAY = b"grpc-status\x010"
REFUSED = b"InvalidAuthToken"
_NOT_RAY = "something else than Ray listens there"


def find(address: str) -> str:
    """Return host:port of the head of a cluster, which `auto` looks for on this machine.

    Raises `ClusterError` within seconds if nothing answers there as a head does.
    """
    if address == "auto":
        return _found_here()
    host, _, port = address.rpartition(":")
    if address.startswith("ray://"):
        raise ClusterError(
            f"a sweep must be started on a machine of the cluster, got address={address!r}, which "
            "is Ray Client's; use auto or the head's host:port (6379) there, or `ray job submit`"
        )
    if not host or not port.isdigit():
        raise ClusterError(f"a Ray address must be host:port or auto, got address={address!r}")
    try:
        is_refused(address)
    except OSError as error:
        raise ClusterError(
            f"a Ray cluster must answer, got address={address!r}: {error}; "
            "is `ray start --head` up?"
        ) from None
    return address


def fitting_mode(address: str) -> str:
    """Return the RAY_AUTH_MODE with which the cluster at host:port accepts a driver.

    Each side refuses the other's calls unless both have the same. Raises `ClusterError` where the
    user's own RAY_AUTH_MODE or token is another one than the cluster's.
    """
    chosen = os.environ.get(AUTH_MODE, "").lower()
    if _uses_tls():
        return chosen or ("token" if _token() else "disabled")
    if not is_refused(address):
        if chosen == "token":
            raise ClusterError(
                f"a Ray cluster must ask for a token where {AUTH_MODE}=token, got "
                f"address={address!r}, which asks for none; unset {AUTH_MODE} to use it as it is"
            )
        return "disabled"
    if chosen == "disabled":
        raise ClusterError(
            f"a Ray cluster that asks for a token must be shown it, got address={address!r}, "
            f"{AUTH_MODE}={chosen!r}; unset {AUTH_MODE}"
        )
    token = _token()
    if not token or is_refused(address, token):
        raise ClusterError(
            f"a Ray cluster must be shown the token that it was started with, got "
            f"address={address!r} and {'another' if token else 'no token'}; set RAY_AUTH_TOKEN, "
            "or copy ~/.ray/auth_token from its head"
        )
    return "token"


def is_refused(address: str, token: str = "") -> bool:
    """Return whether the head at host:port wants another token, or one at all.

    Raises `OSError` unless the other side answers as a head does: a process that takes connections
    and does not answer would keep Ray waiting for minutes.
    """
    host, _, port = address.rpartition(":")
    where = (host.strip("[]"), int(port))
    with socket.create_connection(where, timeout=ADDRESS_SECONDS) as connection:
        if _uses_tls():
            return False
        connection.sendall(GREETING + _call(address, token))
        answer = _answer(connection)
    if OKAY not in answer and REFUSED not in answer:
        raise OSError(_NOT_RAY)
    return REFUSED in answer


def is_loopback(address: str) -> bool:
    """Return whether an address is one that only this machine reaches."""
    host = address.rpartition(":")[0].strip("[]")
    return host in ("localhost", "::1") or host.startswith("127.")


def _found_here() -> str:
    """Return the cluster that `ray start` started here last, or the only one that runs here."""
    last = ray_internals.last_head()
    if last and _answers(last):
        return last
    found = [other for other in ray_internals.heads_here() if _answers(other)]
    if len(found) == 1:
        return found[0]
    raise ClusterError(
        "one Ray cluster must run on this machine, got address='auto' and "
        f"{' and '.join(found) or 'none'}; start one with `ray start --head`, name one by "
        "--address host:port, or leave --address out"
    )


def _answers(address: str) -> bool:
    with suppress(OSError):
        is_refused(address)
        return True
    return False


def _token() -> str:
    """Return the user's token, wherever Ray looks for it, or nothing."""
    from ray.exceptions import AuthenticationError

    try:
        return ray_internals.token()
    except AuthenticationError as error:  # such as for a file that is named and not there
        raise ClusterError(f"a token must be readable: {str(error).partition('. ')[0]}") from None


def _uses_tls() -> bool:
    return os.environ.get("RAY_USE_TLS", "0") != "0"


def _call(address: str, token: str) -> bytes:
    """Return the frames of a call over gRPC."""
    fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", CALL),
        (":authority", address),
        ("te", "trailers"),
        ("content-type", CONTENT_TYPE),
    ]
    if token:
        fields.append(("authorization", f"Bearer {token}"))
    return _frame(HEADERS, WHOLE, _block(fields)) + _frame(DATA, LAST, b"\0" * 5)


def _frame(kind: int, flags: int, content: bytes) -> bytes:
    """Return a frame of the first stream."""
    return len(content).to_bytes(3, "big") + bytes([kind, flags, 0, 0, 0, 1]) + content


def _block(fields: Sequence[tuple[str, str]]) -> bytes:
    """Return header fields as HPACK has them, none of them compressed."""
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in fields)


def _text(text: str) -> bytes:
    """Return a string with its length before, which from 127 on takes more than one byte."""
    content = text.encode()
    if len(content) < 127:
        return bytes([len(content)]) + content
    left, length = len(content) - 127, bytearray([127])
    while left >= 128:
        length.append(left % 128 + 128)
        left //= 128
    return bytes([*length, left]) + content


def _answer(connection: socket.socket) -> bytes:
    """Return the block of header fields that ends an answer; they come as they are."""
    kind, _, _ = _next_frame(connection)
    if kind != SETTINGS:
        raise OSError(_NOT_RAY)
    while True:
        kind, flags, content = _next_frame(connection)
        if kind == HEADERS and flags & LAST:
            return content


def _next_frame(connection: socket.socket) -> tuple[int, int, bytes]:
    """Return type, flags and content of a frame."""
    head = _exactly(connection, 9)
    kind, size = head[3], int.from_bytes(head[:3], "big")
    if kind > 9 or size > 1 << 14:  # as of HTTP/1
        raise OSError(_NOT_RAY)
    return kind, head[4], _exactly(connection, size)


def _exactly(connection: socket.socket, size: int) -> bytes:
    content = connection.recv(size, socket.MSG_WAITALL) if size else b""
    if len(content) < size:
        raise OSError(_NOT_RAY)
    return content
