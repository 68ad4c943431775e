"""What a file of W&B's has of a run: in offline mode it is all there is to ask.

Steps that were logged but had not reached the file when a process was killed are in no other
place. The file is a log as LevelDB has it: blocks of 32 KiB of records, each with a checksum,
a length and a part number before it, after a header of 7 bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

BLOCK = 32768
HEADER = 7  # bytes of the file's own, and of each part's
WHOLE, LAST = 1, 4  # the parts that end a record; others are the first and the middle ones


class Written(NamedTuple):
    """What a file has of a run."""

    last_step: int = -1
    closed: bool = False


def read(path: Path) -> Written:
    """Return the last step that a file has, and whether its end is there; torn ends are nothing."""
    from wandb.proto.wandb_internal_pb2 import Record

    last, closed = -1, False
    for data in records(path.read_bytes()):
        record = Record.FromString(data)
        kind = record.WhichOneof("record_type")
        closed = closed or kind == "exit"
        if kind == "history":
            last = max(last, record.history.step.num)
    return Written(last, closed)


def records(data: bytes) -> Iterator[bytes]:
    """Yield the whole records of a file."""
    position, record = HEADER, b""
    while position + HEADER <= len(data):
        left = BLOCK - position % BLOCK
        if left < HEADER:
            position += left
            continue
        _, length, part = struct.unpack_from("<IHB", data, position)
        position += HEADER
        if position + length > len(data) or not WHOLE <= part <= LAST:
            return
        record += data[position : position + length]
        position += length
        if part in (WHOLE, LAST):
            yield record
            record = b""
