"""Confusion matrices of images as one array of a file, which may be a stranger's."""

from __future__ import annotations

import io
import math
import tokenize
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

from semisweep.core.errors import StoreError
from semisweep.core.safe_text import one_line
from semisweep.store import files
from semisweep.store.files import Location

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ARRAY_BYTES = 2**31  # of 5,000 images of 171 classes they are half of it
ENTRY = "confusion"
# What zipfile and numpy raise for bytes that are no such file.
_BROKEN: tuple[type[Exception], ...] = (OSError, EOFError, ValueError, LookupError, TypeError)
_BROKEN += (RuntimeError, MemoryError, SyntaxError, zipfile.BadZipFile, zlib.error)
_BROKEN += (tokenize.TokenError,)


def read_array(path: Location) -> NDArray[np.integer[Any]]:
    """Return the array [N, C, C] of a file; raise `StoreError` if missing or damaged."""
    try:
        data = files.read(path)
    except OSError as error:
        raise StoreError(f"an array must be there and whole, got path={path}: {error}") from error
    try:
        return _decoded(data)
    except _BROKEN as error:
        told = one_line(str(error) or type(error).__name__)
        raise StoreError(f"an array must be there and whole, got path={path}: {told}") from None


def _decoded(data: bytes) -> NDArray[np.integer[Any]]:
    import numpy as np
    from numpy.lib import format as header

    with zipfile.ZipFile(io.BytesIO(data)) as whole:
        size = whole.getinfo(f"{ENTRY}.npy").file_size
        if size > ARRAY_BYTES:
            raise ValueError(f"it must have at most {ARRAY_BYTES} bytes, got bytes={size}")
        with whole.open(f"{ENTRY}.npy") as entry:
            read = {
                (1, 0): header.read_array_header_1_0,
                (2, 0): header.read_array_header_2_0,
            }[header.read_magic(entry)]
            shape, _, kind = read(entry)
    if kind.hasobject:
        raise ValueError("it is a pickle, which is never read")
    if math.prod(shape) * kind.itemsize > size:
        raise ValueError(f"it has not what shape={shape} needs")
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        array: NDArray[np.integer[Any]] = stored[ENTRY]
    return array
