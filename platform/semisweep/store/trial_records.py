"""What a trial's files say, as types: its result, its failure, its description, its evaluations."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from semisweep.core.errors import StoreError
from semisweep.store.json_fields import Fields


class ResultError(StoreError):
    """The result of a trial has values of other types than it must have."""

    def __init__(self, message: str, key: str) -> None:
        super().__init__(message)
        self.key = key


class Result(Mapping[str, object]):
    """The row of a finished trial: metrics by name, configuration, facts and times (run.*).

    Numbers and texts are asked for as what they must be.
    """

    __slots__ = ("key", "values_by_name")

    def __init__(self, key: str, values: Mapping[str, object]) -> None:
        self.key, self.values_by_name = key, values

    def __getitem__(self, name: str) -> object:
        return self.values_by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self.values_by_name

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_by_name)

    def __len__(self) -> int:
        return len(self.values_by_name)

    def __repr__(self) -> str:
        return f"Result({self.key!r}, {dict(self)!r})"

    def number(self, name: str) -> float | None:
        """Return a number, None where the row has none; raise `StoreError` for a text."""
        value = self.values_by_name.get(name)
        if value is None or isinstance(value, int | float):
            return value
        raise self._wrong(name, "a number", value)

    def needed(self, name: str) -> float:
        """Return a number that must be there; raise `StoreError` where it is not."""
        value = self.number(name)
        if value is None:
            raise self._wrong(name, "a number", value)
        return value

    def count(self, name: str) -> int:
        """Return a whole number that must be there; raise `StoreError` where it is not."""
        value = self.needed(name)
        if not math.isfinite(value) or int(value) != value:
            raise self._wrong(name, "a whole number", value)
        return int(value)

    def text(self, name: str) -> str | None:
        """Return a text, None where the row has none; raise `StoreError` for a number."""
        value = self.values_by_name.get(name)
        if value is None or isinstance(value, str):
            return value
        raise self._wrong(name, "a text", value)

    @property
    def method(self) -> str | None:
        """Which method was trained, as "package.module:Class"."""
        return self.text("method")

    @property
    def total_steps(self) -> int:
        """How many steps it was trained for."""
        return self.count("total_steps")

    @property
    def source(self) -> str | None:
        """The digest of all of semisweep's source code, of early versions with the method's."""
        return self.text("source.digest")

    @property
    def code(self) -> str | None:
        """The digest of the code that trained it; None in results of early versions."""
        return self.text("source.code")

    @property
    def seen_digest(self) -> str | None:
        """The digest of the data that decided its weights; None in results of early versions."""
        return self.text("data.seen_digest") or None

    @property
    def test_digest(self) -> str | None:
        """The digest of its test images and masks; None where there are none or nobody knows."""
        return self.text("data.test_digest") or None

    @property
    def labelled_digest(self) -> str | None:
        """The digest of its labelled images; None where it does not say."""
        return self.text("data.labelled_digest") or None

    @property
    def seconds(self) -> float | None:
        """How long it took, over all attempts."""
        return self.number("run.seconds")

    @property
    def device_seconds(self) -> float | None:
        """How long its devices were in use, summed over workers."""
        return self.number("run.device_seconds")

    @property
    def finished_at(self) -> float | None:
        """When it ended, in seconds since 1970."""
        return self.number("run.finished_at")

    @property
    def peak_memory_bytes(self) -> float | None:
        """The most memory that its device held."""
        return self.number("run.peak_memory_bytes")

    def beside(self, more: Mapping[str, object]) -> Result:
        """Return the result with further columns."""
        return Result(self.key, {**self, **more})

    @property
    def stopped_because(self) -> str:
        """Why a search stopped it on its way."""
        return self.text("stopped.reason") or ""

    def _wrong(self, name: str, kind: str, value: object) -> ResultError:
        told = f"a result must have {name}, {kind}, got {value!r:.80}, key={self.key}"
        return ResultError(told, self.key)


@dataclass(frozen=True)
class Failure:
    """Why a trial failed, after so many attempts, and its configuration."""

    error: str
    attempts: int
    trial: Mapping[str, Any]


@dataclass(frozen=True)
class Description:
    """What a trial is: its configuration as JSON has it, and what its key is a digest of."""

    trial: Mapping[str, Any]
    fields: Fields

    @property
    def identity(self) -> Mapping[str, object] | None:
        """What the key is a digest of; None where the file does not say."""
        found = self.fields.values.get("identity")
        return None if found is None else self.fields.mapping("identity")

    @property
    def steps(self) -> int | None:
        """How many steps it trains; None where they are counted in epochs."""
        training = self.fields.inner("trial", "a trial").mapping("training", {})
        return Fields(training, "the training of a trial", self.fields.path).maybe_integer("steps")

    @property
    def total_steps(self) -> int:
        """How many steps it trains, however they are counted."""
        own = self.fields.inner("identity", "the identity of a trial")
        return own.inner("training", "the training of a trial").integer("total_steps")


@dataclass(frozen=True)
class Evaluation:
    """One line of a history: what was measured after some steps; "step" is one of the values."""

    step: int
    values: Mapping[str, object]

    def number(self, name: str) -> float | None:
        """Return a number that was measured, None where it was not."""
        value = self.values.get(name)
        return value if isinstance(value, int | float) else None


@dataclass(frozen=True, kw_only=True)
class TrialProgress:
    """How far a trial has come, as its first worker tells it."""

    step: int
    total_steps: int
    device: str = ""  # told before the first step
    compiles: bool = False  # then too: networks may have to be compiled first
    evaluation: Evaluation | None = None  # told after one


def decode_failure(found: Mapping[str, object], path: object) -> Failure:
    """Return the failure that a file holds; raise `StoreError` for one of another shape."""
    fields = Fields(found, "a failure", path)
    return Failure(
        fields.text("error", ""), fields.integer("attempts", 0), fields.mapping("trial", {})
    )


def decode_description(found: Mapping[str, object], path: object) -> Description:
    """Return the description that a file holds; raise `StoreError` for one of another shape."""
    fields = Fields(found, "a description of a trial", path)
    return Description(fields.mapping("trial"), fields)
