"""Fields of a JSON object that a store keeps, read as what they must be: the door of the store.

What does not fit is one `StoreError` that names the file, here and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from semisweep.core.errors import StoreError

Single = bool | int | float | str | None  # neither a list nor an object
SHOWN = 40  # characters of a value that does not fit


class Fields:
    """The fields of one JSON object, of a file and of a kind that errors name.

    A field that is null counts as absent. Without a default a field must be there.
    """

    def __init__(self, value: object, what: str, path: object) -> None:
        self.what, self.path = what, path
        if not isinstance(value, Mapping):
            raise StoreError(f"{what} must be a JSON object, got {_shown(value)}, path={path}")
        self.values: Mapping[str, object] = value

    def text(self, name: str, default: str | None = None) -> str:
        """Return a text."""
        value = self._value(name, default)
        if not isinstance(value, str):
            raise self.wrong(name, "a text")
        return value

    def maybe_text(self, name: str) -> str | None:
        """Return a text, or None where there is none."""
        return None if self.values.get(name) is None else self.text(name)

    def number(self, name: str, default: float | None = None) -> float:
        """Return a number."""
        value = self._value(name, default)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.wrong(name, "a number")
        return value

    def maybe_number(self, name: str) -> float | None:
        """Return a number, or None where there is none."""
        return None if self.values.get(name) is None else self.number(name)

    def number_or_nan(self, name: str) -> float:
        """Return a number; null, as which JSON keeps what is no number, is NaN."""
        return self.number(name, math.nan)

    def integer(self, name: str, default: int | None = None) -> int:
        """Return a whole number."""
        value = self._value(name, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.wrong(name, "a whole number")
        return value

    def maybe_integer(self, name: str) -> int | None:
        """Return a whole number, or None where there is none."""
        return None if self.values.get(name) is None else self.integer(name)

    def flag(self, name: str, default: bool | None = None) -> bool:
        """Return a Boolean."""
        value = self._value(name, default)
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return value

    def texts(self, name: str, default: Sequence[str] | None = None) -> tuple[str, ...]:
        """Return a list of texts."""
        values = self._list(name, default)
        if not all(isinstance(value, str) for value in values):
            raise self.wrong(name, "a list of texts")
        return tuple(str(value) for value in values)

    def numbers(self, name: str) -> tuple[float, ...]:
        """Return a list of numbers."""
        values = self._list(name, None)
        found = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
        if len(found) < len(values):
            raise self.wrong(name, "a list of numbers")
        return tuple(found)

    def numbers_or_nan(self, name: str) -> tuple[float, ...]:
        """Return a list of numbers; null, as which JSON keeps what is no number, is NaN."""
        values = [math.nan if value is None else value for value in self._list(name, None)]
        return Fields({name: values}, self.what, self.path).numbers(name)

    def integers(self, name: str) -> tuple[int, ...]:
        """Return a list of whole numbers."""
        values = self._list(name, None)
        found = [v for v in values if isinstance(v, int) and not isinstance(v, bool)]
        if len(found) < len(values):
            raise self.wrong(name, "a list of whole numbers")
        return tuple(found)

    def mapping(self, name: str, default: Mapping[str, object] | None = None) -> dict[str, object]:
        """Return an object of any fields."""
        value = self._value(name, default)
        if not isinstance(value, Mapping):
            raise self.wrong(name, "an object")
        return dict(value)

    def texts_by_name(self, name: str) -> dict[str, str]:
        """Return an object whose fields are texts."""
        found = self.mapping(name)
        if not all(isinstance(value, str) for value in found.values()):
            raise self.wrong(name, "an object of texts")
        return {key: str(value) for key, value in found.items()}

    def single_values(self, name: str) -> dict[str, Single]:
        """Return an object whose fields are neither lists nor objects."""
        found = self.mapping(name)
        known = {key: own for key, own in found.items() if isinstance(own, Single)}
        if len(known) < len(found):
            raise self.wrong(name, "an object of single values")
        return known

    def lists_of_texts(self, name: str) -> tuple[tuple[str, ...], ...]:
        """Return a list of lists of texts."""
        numbered = {str(place): value for place, value in enumerate(self._list(name, None))}
        own = Fields(numbered, f"{name} of {self.what}", self.path)
        return tuple(own.texts(place) for place in numbered)

    def lists_of_texts_by_name(self, name: str) -> dict[str, tuple[str, ...]]:
        """Return an object whose fields are lists of texts."""
        own = Fields(self.mapping(name), f"{name} of {self.what}", self.path)
        return {key: own.texts(key) for key in own.values}

    def numbers_by_name(self, name: str) -> dict[str, float]:
        """Return an object whose fields are numbers."""
        own = Fields(self.mapping(name), f"{name} of {self.what}", self.path)
        return {key: own.number_or_nan(key) for key in own.values}

    def inner(self, name: str, what: str) -> Fields:
        """Return the fields of an object within this one."""
        return Fields(self.mapping(name), what, self.path)

    def items(self, name: str, what: str, default: Sequence[object] | None = None) -> list[Fields]:
        """Return the fields of each object of a list."""
        return [Fields(value, what, self.path) for value in self._list(name, default)]

    def pairs(
        self, name: str, default: Sequence[object] | None = None
    ) -> list[tuple[object, object]]:
        """Return a list of pairs of anything."""
        values = self._list(name, default)
        found = [(v[0], v[1]) for v in values if isinstance(v, list | tuple) and len(v) == 2]
        if len(found) < len(values):
            raise self.wrong(name, "a list of pairs")
        return found

    def wrong(self, name: str, kind: str) -> StoreError:
        """Return the error of a field that is not of its kind."""
        value = _shown(self.values[name]) if name in self.values else "none"
        return StoreError(f"{self.what} must have {name}, {kind}, got {value}, path={self.path}")

    def _value(self, name: str, default: object) -> object:
        value = self.values.get(name)
        return default if value is None else value

    def _list(self, name: str, default: Sequence[object] | None) -> Sequence[object]:
        value = self._value(name, default)
        if not isinstance(value, list | tuple):
            raise self.wrong(name, "a list")
        return value


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
