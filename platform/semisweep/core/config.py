"""Frozen, typed configurations: dotted changes, JSON, and the identity of a trial.

A configuration is a class decorated with `@config`: a frozen, keyword-only dataclass whose values
are checked against their annotations when it is made. `setting` gives a field its value and the
provenance of it (what the paper says, what the released code does, what is used and why), and says
when the field matters at all.

    @config
    class RankMatchConfig(MethodConfig):
        rank_weight: NonNegative = setting(0.1, symbol="lambda", paper="0.1 (Sec. 4.1)", code="0.1")
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    TypedDict,
    TypeGuard,
    TypeVar,
    Unpack,
    cast,
    dataclass_transform,
    overload,
)

import pydantic
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass as pydantic_dataclass

from semisweep.core.errors import ConfigError, unknown

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
D = TypeVar("D", bound="DataclassInstance")

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
LARGEST = 2**63 - 1  # what a column of whole numbers holds
Count = Annotated[int, Field(ge=1, le=LARGEST)]
NonNegativeCount = Annotated[int, Field(ge=0, le=LARGEST)]
LONGEST = 120  # characters of a value that an error shows

# What takes a configuration, or a value, of a class that nobody knows here.
Predicate = Callable[[Any], bool]
Reduction = Callable[[Any], object]

_UNSET = object()


@dataclasses.dataclass(frozen=True)
class Setting:
    """Where a field's value comes from, and when it matters."""

    symbol: str = ""
    paper: str = ""
    code: str = ""
    why: str = ""
    neutral: object = _UNSET
    matters: Predicate | None = None
    identity: Reduction | None = None
    off: object = _UNSET
    switch: str = ""
    needs: tuple[str, ...] = ()

    @property
    def has_off(self) -> bool:
        """Whether the field is a part of the method that can be off."""
        return self.off is not _UNSET


class About(TypedDict, total=False):
    """What a `Setting` may be made of."""

    symbol: str
    paper: str
    code: str
    why: str
    neutral: object
    matters: Predicate
    identity: Reduction
    off: object
    switch: str
    needs: tuple[str, ...]


@overload
def setting(default: T, **about: Unpack[About]) -> T: ...
@overload
def setting(*, factory: Callable[[], T], **about: Unpack[About]) -> T: ...
def setting(
    default: object = dataclasses.MISSING,
    *,
    factory: Callable[[], object] | None = None,
    **about: Unpack[About],
) -> object:
    """Return a dataclass field with a value, given or made, that carries a `Setting`.

    `neutral`: the value at which the field is left out of the key, so that adding the field changes
    no key. `matters`: a predicate on the whole configuration; where it is false the field cannot
    change the result and is left out of the key. `identity`: turns a value (a path, say) into what
    the key should hold of it. `off`: the value at which a part of the method is off, so that it can
    be ablated; `switch`: what that part is called, and `needs`: those without which it means
    nothing (see `semisweep.training.switches`).
    """
    metadata = {"setting": Setting(**about)}
    if factory is not None:
        return dataclasses.field(default_factory=factory, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


# `setting` is no field specifier: to a type checker a field made by it simply has a value, of which
# the checker compares the type with the annotation.
@dataclass_transform(
    frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field,)
)
def config(cls: type[T]) -> type[T]:
    """Make `cls` a frozen, keyword-only dataclass that checks values and refuses unknown fields."""
    rules = ConfigDict(extra="forbid", validate_default=True)
    return cast(type[T], pydantic_dataclass(frozen=True, kw_only=True, config=rules)(cls))


def is_configuration(value: object) -> TypeGuard[DataclassInstance]:
    """Return whether a value is of a dataclass, as configurations are."""
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def settings(value: DataclassInstance) -> Iterator[tuple[str, object, Setting]]:
    """Yield name, value and setting of each field of a configuration."""
    for field in dataclasses.fields(value):
        yield field.name, getattr(value, field.name), field.metadata.get("setting", Setting())


def encode(value: object) -> object:
    """Return a configuration as JSON-ready dictionaries, lists and scalars."""
    if is_configuration(value):
        return {name: encode(item) for name, item, _ in settings(value)}
    if isinstance(value, Mapping):
        return {str(name): encode(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    return value


def decode(kind: type[T], data: object) -> T:
    """Return a configuration of class `kind` from what `encode` gave; raise `ConfigError`."""
    try:
        return TypeAdapter(kind).validate_python(data)
    except pydantic.ValidationError as error:
        raise ConfigError(explain(error)) from None


def flatten(value: object, prefix: str = "") -> dict[str, object]:
    """Return the leaves of an encoded configuration under dotted names, in order."""
    if not isinstance(value, Mapping):
        return {prefix: value}
    leaves: dict[str, object] = {}
    for name, item in value.items():
        leaves |= flatten(item, f"{prefix}.{name}" if prefix else name)
    return leaves


def replace(value: T, changes: Mapping[str, object]) -> T:
    """Return `value` with dotted fields changed: `replace(trial, {"config.threshold": 0.9})`.

    Raises `ConfigError` for an unknown field, naming the nearest ones, or a value that breaks a
    rule.
    """
    paths = {tuple(path.split(".")): item for path, item in changes.items()}
    return cast(T, _replace(value, paths, "")) if paths else value


def common(kind: type[D], config: object) -> D:
    """Return a `kind` with the values that `config` has for its fields; it must have all of them.

    For a method that becomes the one it extends where its own part is switched off.
    """
    return kind(**{field.name: getattr(config, field.name) for field in dataclasses.fields(kind)})


def _replace(value: object, changes: Mapping[tuple[str, ...], object], prefix: str) -> object:
    """Return `value` with all changes made at once, so that rules see them together."""
    known = _field_names(value, prefix)
    new: dict[str, object] = {}
    for name in dict.fromkeys(path[0] for path in changes):
        inner = {path[1:]: item for path, item in changes.items() if path[0] == name}
        if name not in known and not isinstance(value, Mapping):
            whole = prefix + ".".join((name, *next(iter(inner))))
            raise unknown("field", whole, [prefix + other for other in known])
        item = inner.pop(()) if () in inner else known.get(name, {})
        new[name] = _replace(item, inner, f"{prefix}{name}.") if inner else item
    if isinstance(value, Mapping):
        return {**value, **new}
    assert is_configuration(value)
    try:
        return dataclasses.replace(value, **new)
    except pydantic.ValidationError as error:
        raise ConfigError(explain(error, prefix)) from None
    except ConfigError as error:
        raise ConfigError(f"{error} (setting {', '.join(prefix + name for name in new)})") from None


def _field_names(value: object, prefix: str) -> Mapping[str, object]:
    if isinstance(value, Mapping):
        return value
    if is_configuration(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    raise ConfigError(f"a field to set must be one of a configuration, got field={prefix[:-1]!r}")


def parse_value(text: str) -> object:
    """Return the Python literal that `text` spells, or the text itself.

    So 0.5 is a number, true and none are what they say in any case of letters, resnet50 is a text.
    """
    words = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
    return found if _is_plain(found) else text


def _is_plain(value: object) -> bool:
    """Return whether a value is what JSON and TOML have, with tuples for lists."""
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, Mapping):
        return all(isinstance(name, str) and _is_plain(own) for name, own in value.items())
    return isinstance(value, bool | int | float | str | None)


def shortened(value: object) -> str:
    """Return what a value looks like in an error, the middle of a long one left out."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 20]} ... {text[-15:]}"


def explain(error: pydantic.ValidationError, prefix: str = "") -> str:
    """Return the first broken rule of a validation error as one line with name=value.

    `prefix` is what stands before the names that the error knows, such as "training.".
    """
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"] if not str(part).startswith("function-"))
    name = (prefix + where).rstrip(".")
    rule = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "value_error":
        return rule
    return f"{rule[0].lower()}{rule[1:]}, got {name}={shortened(first['input'])}"


def identity(value: DataclassInstance) -> dict[str, object]:
    """Return what of a configuration can change the result: what keys are digests of, JSON-ready.

    Fields at their neutral value and fields that do not matter in this configuration are left out.
    """
    kept: dict[str, object] = {}
    for name, item, about in settings(value):
        if about.matters is not None and not about.matters(value):
            continue
        if about.neutral is not _UNSET and item == about.neutral:
            continue
        kept[name] = _identity(about.identity(item) if about.identity else item)
    return kept


def _identity(value: object) -> object:
    if is_configuration(value):
        return identity(value)
    if isinstance(value, Mapping):
        return {str(name): _identity(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_identity(item) for item in value]
    return value


def canonical(value: object) -> str:
    """Return JSON text that is the same for the same JSON value: sorted names, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: object, length: int = 20) -> str:
    """Return the first `length` hexadecimal digits of the SHA-256 of the canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:length]
